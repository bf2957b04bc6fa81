//! Checkpoints, written while training goes on.
//!
//! The weights are copied in order with the steps around the copy, and nobody waits for them but a
//! thread, which hashes and writes them. There is one checkpoint at a time: who wants the next one
//! waits for the one before, so memory holds one copy, and a file is never overtaken by an older one.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use vgg_model::{Checkpoint, Input, Progress, Snapshot, TrainerState, VggConfig};
use vgg_tensor::{Download, Error};

use super::background::{Background, Pending};

/// What goes with weights into a checkpoint, and where it goes.
pub(crate) struct Order {
    pub vgg: VggConfig,
    pub input: Input,
    pub classes: Vec<String>,
    pub progress: Progress,
    pub run: serde_json::Value,
    pub last: PathBuf,
    /// A second name, if this is the best network so far.
    pub best: Option<PathBuf>,
    /// Files of records of the steps that it counts: they must be on the disk before it.
    pub records: Vec<(PathBuf, File)>,
}

/// What is said of weights that are no numbers.
pub(super) const NOT_FINITE: &str = "the weights are not numbers any more";

/// Why there is no checkpoint.
pub(crate) enum NotSaved {
    /// The weights were not numbers any more: they must not replace good ones.
    NotFinite(Progress),
    Failed(Error),
}

impl From<Error> for NotSaved {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Writes checkpoints on a thread of its own. Dropping it waits for the one that is being written.
pub(crate) struct CheckpointWriter<D: Download> {
    thread: Background,
    /// Of the training after so many steps.
    taken: Option<(u64, Taken<D>)>,
    writing: Option<Pending<Result<(), NotSaved>>>,
}

/// A copy of a training's state.
enum Taken<D: Download> {
    OnItsWay(Pending<Result<Arrived<D>, Error>>),
    Arrived(Arrived<D>),
}

/// A copy that is on the host, and whether its weights are finite.
struct Arrived<D: Download>(Snapshot<D>, bool);

impl<D: Download> Taken<D> {
    fn wait(self) -> Result<Arrived<D>, Error> {
        match self {
            Self::OnItsWay(pending) => pending.wait()?,
            Self::Arrived(arrived) => Ok(arrived),
        }
    }
}

impl<D: Download> CheckpointWriter<D> {
    pub(crate) fn start() -> Result<Self> {
        let thread = Background::start("checkpoint", "writing checkpoints")?;
        Ok(Self { thread, taken: None, writing: None })
    }

    /// Takes in the training's state after `step` steps, to be written later or not at all. The
    /// checkpoint before must be finished: a second one has no memory.
    pub(crate) fn take(&mut self, step: u64, snapshot: Snapshot<D>) {
        let arrive = move || snapshot.is_finite().map(|finite| Arrived(snapshot, finite));
        self.taken = Some((step, Taken::OnItsWay(self.thread.run(arrive))));
    }

    /// Whether the state after `step` steps was taken in and is not written yet.
    pub(crate) fn has(&self, step: u64) -> bool {
        self.taken.as_ref().is_some_and(|(taken, _)| *taken == step)
    }

    /// Whether the weights that were taken in are numbers. Waits for them to arrive.
    pub(crate) fn is_finite(&mut self) -> Result<bool, Error> {
        let Some((step, taken)) = self.taken.take() else { return Ok(true) };
        let arrived = taken.wait()?;
        let finite = arrived.1;
        self.taken = Some((step, Taken::Arrived(arrived)));
        Ok(finite)
    }

    /// Writes a checkpoint of what was taken in.
    pub(crate) fn write(&mut self, order: Order) {
        let Some((_, taken)) = self.taken.take() else { return };
        self.writing = Some(self.thread.run(move || {
            // What was to be done for it before has been done: nothing is waited for.
            let Arrived(snapshot, finite) = taken.wait()?;
            if !finite {
                return Err(NotSaved::NotFinite(order.progress));
            }
            order.write(snapshot.wait()?)
        }));
    }

    /// Whether a checkpoint is being written, as far as [`CheckpointWriter::poll`] has seen.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// What came of a checkpoint, if that is known by now.
    pub(crate) fn poll(&mut self) -> Result<(), NotSaved> {
        self.finish_within(Duration::ZERO)
    }

    /// Waits for the checkpoint that is being written, up to so long.
    pub(crate) fn finish_within(&mut self, time: Duration) -> Result<(), NotSaved> {
        let Some(writing) = &self.writing else { return Ok(()) };
        let Some(done) = writing.wait_for(time)? else { return Ok(()) };
        self.writing = None;
        done
    }

    /// Waits for the checkpoint that is being written.
    pub(crate) fn finish(&mut self) -> Result<(), NotSaved> {
        self.writing.take().map_or(Ok(()), |writing| writing.wait()?)
    }
}

impl Order {
    fn write(self, state: TrainerState) -> Result<(), NotSaved> {
        let Self { vgg, input, classes, progress, run, last, best, records } = self;
        let TrainerState { params, moments, ema } = state;
        // A network is classified with by its EMA, if it has one, and trained on from itself.
        let (params, unaveraged) = match ema {
            Some(ema) => (ema, Some(params)),
            None => (params, None),
        };
        let checkpoint =
            Checkpoint { vgg, input, classes, params, moments, unaveraged, progress, run };
        for (path, file) in records {
            file.sync_data().map_err(|source| Error::Io { path, source })?;
        }
        checkpoint.save_also_as(best.as_deref(), &last)?;
        let Progress { epoch, step, .. } = progress;
        tracing::info!("saved {} of epoch {epoch}, step {step}", last.display());
        if let Some(best) = best {
            tracing::info!("it is {}, too", best.display());
        }
        Ok(())
    }
}
