//! When the state is saved, and what is said if it cannot be.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vgg_model::Progress;
use vgg_tensor::Backend;

use super::TrainingLoop;
use crate::failure::{Code, Failure};
use crate::run::folder::{Which, checkpoint_path};
use crate::terminal::shell;
use crate::training::checkpoint_writer::{NOT_FINITE, NotSaved, Order};

/// How often the first rank says that it is still writing.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

impl<B: Backend> TrainingLoop<'_, B> {
    /// Copies the state that checkpoints of this step have, while whatever comes next goes on.
    /// The first of several ranks does it for all. The checkpoint before must be written.
    pub(super) fn take(&mut self) -> Result<()> {
        if !self.together.is_first() {
            return Ok(());
        }
        self.writer.take(self.position.step, self.trainer.start_snapshot()?);
        self.state.backend = self.trainer.backend_state()?;
        Ok(())
    }

    /// Orders a checkpoint to be written, unless it was ordered already. The one before must be written.
    pub(super) fn save(&mut self, best: bool) -> Result<()> {
        let Progress { epoch, step, .. } = self.position;
        if self.saved == Some((step, epoch)) || !self.together.is_first() {
            return Ok(());
        }
        if !self.writer.has(step) {
            self.take()?;
        }
        self.writer.write(Order {
            vgg: self.trainer.vgg().config().clone(),
            input: self.config.input(),
            classes: self.data.train.classes().to_vec(),
            progress: self.position,
            run: serde_json::to_value(&self.state)?,
            last: checkpoint_path(self.run, Which::Last),
            best: best.then(|| checkpoint_path(self.run, Which::Best)),
            records: self.reporters.records()?,
        });
        self.saved = Some((step, epoch));
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Looks whether a checkpoint that is being written has failed.
    pub(super) fn check_checkpoint(&mut self) -> Result<()> {
        let done = self.writer.poll();
        self.saved(done)
    }

    /// Waits for the checkpoint that is being written. All ranks do, and are told from time to time that the
    /// first one is at it, so that no disk is so slow that it would seem to hang.
    pub(super) fn wait_for_checkpoint(&mut self) -> Result<()> {
        loop {
            let done = self.writer.finish_within(SIGN_OF_LIFE);
            self.saved(done)?;
            if !self.together.first_says(self.writer.is_writing())? {
                return Ok(());
            }
        }
    }

    fn saved(&mut self, done: Result<(), NotSaved>) -> Result<()> {
        match done {
            Ok(()) => Ok(()),
            Err(NotSaved::NotFinite(at)) => Err(self.diverged(NOT_FINITE, at).into()),
            Err(NotSaved::Failed(error)) => Err(error).with_context(|| {
                let failure = Failure::new(Code::Other, "cannot save a checkpoint");
                let run = shell::word(self.run);
                failure.help(format!("vgg-train resume {run} goes on; {}", self.last_good()))
            }),
        }
    }

    /// What there is to go on from, in words.
    pub(super) fn last_good(&self) -> String {
        let paths = [Which::Last, Which::Best].map(|which| checkpoint_path(self.run, which));
        match paths.iter().find(|path| path.is_file()) {
            Some(path) => format!("the last good checkpoint is {}", path.display()),
            None => "there is no checkpoint yet".into(),
        }
    }
}
