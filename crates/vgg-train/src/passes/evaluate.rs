//! The loop over test images.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vgg_data::Loader;
use vgg_model::{Checkpoint, Session};
use vgg_tensor::Backend;

use super::outputs::Outputs;
use crate::config;
use crate::data::{self, Part};
use crate::machine::device::{self, Job};
use crate::machine::memory;
use crate::run::checkpoints::{self, LinearWeights};
use crate::run::folder::Which;
use crate::scores::tested::Tested;
use crate::terminal::throughput::{Throughput, images_line, seen};
use crate::terminal::ui::Ui;

/// Shows the images of `loader` to a network, which gives the `logits` of pixels. `take` is given
/// those of each batch, `[labels.len(), classes]`, with its labels, and `stop` is asked before each
/// batch. The time that passed in waiting for images.
///
/// # Errors
/// When an image cannot be read; those of `logits` and of `take`.
pub(crate) fn evaluate<S>(
    loader: &Loader,
    mut logits: impl FnMut(&[u8]) -> vgg_tensor::Result<Vec<f32>>,
    mut take: impl FnMut(&[f32], &[u32]) -> Result<()>,
    stop: impl Fn() -> Option<S>,
) -> Result<ControlFlow<S, Duration>> {
    let mut batches = loader.epoch(0, 0);
    let unreadable = || data::unreadable(loader.images());
    while let Some(batch) = batches.next_batch().with_context(unreadable)? {
        if let Some(reason) = stop() {
            return Ok(ControlFlow::Break(reason));
        }
        take(&logits(&batch.pixels)?, &batch.labels)?;
    }
    Ok(ControlFlow::Continue(batches.waited()))
}

/// Tests the network of a checkpoint.
pub(crate) struct Evaluate<'a> {
    pub device: &'a config::Device,
    pub checkpoint: Checkpoint,
    pub linear_weights: LinearWeights,
    /// Images at once, if memory suffices.
    pub batch: usize,
    pub test: &'a Part,
    pub ui: &'a Ui,
}

impl<'a> Evaluate<'a> {
    /// Tests the best network of a run on the images of its config.
    ///
    /// # Errors
    /// If it has no checkpoint, or one that tells other classes apart.
    pub(crate) fn best_of(
        run: &Path,
        config: &'a config::Config,
        test: &'a Part,
        ui: &'a Ui,
    ) -> Result<Self> {
        let path = checkpoints::find(run, Which::Best)?;
        let checkpoint = checkpoints::load(&path)?;
        checkpoints::require_classes(&checkpoint, test.classes(), "the data set's", &path)?;
        let (device, linear_weights) = (&config.device, LinearWeights::F32);
        let batch = config.train.batch_size.min(test.len()).max(1);
        Ok(Self { device, checkpoint, linear_weights, batch, test, ui })
    }

    /// The network, which is shown an image at a time.
    pub(crate) fn session<B: Backend>(self, backend: B) -> Result<Session<B>> {
        device::tell(self.device, &backend, self.ui);
        checkpoints::session(backend, self.checkpoint, self.linear_weights, 1)
    }

    /// Does it, and gives the network as well, which can be shown as many images at once, unless
    /// `stop` says otherwise.
    pub(crate) fn test<B: Backend, S>(
        self,
        backend: B,
        stop: impl Fn() -> Option<S>,
    ) -> Result<ControlFlow<S, (Session<B>, Tested)>> {
        let Self { batch, test, ui, .. } = self;
        let input = self.checkpoint.input.clone();
        let mut session = self.session(backend)?;
        let batch = memory::largest_batch(&session, &session.vgg().clone(), &input, batch, None)?;
        session.set_input(&input, batch)?;
        let (start, loader, all) = (Instant::now(), test.loader(batch)?, test.len() as u64);
        let mut outputs = Outputs::new(session.vgg().config().task, test.classes().len());
        let waited = evaluate(
            &loader,
            |pixels| session.logits(pixels),
            |numbers, labels| {
                outputs.add(numbers, labels);
                let done = outputs.images() as u64;
                ui.bar(done, all, &images_line(done, all));
                Ok(())
            },
            stop,
        )?;
        Ok(match waited {
            ControlFlow::Break(reason) => ControlFlow::Break(reason),
            ControlFlow::Continue(waited) => {
                tell(ui, all, start.elapsed(), waited);
                ControlFlow::Continue((session, outputs.tested(test)?))
            }
        })
    }
}

impl Job for Evaluate<'_> {
    type Output = Tested;

    fn run<B: Backend>(self, backend: B) -> Result<Tested> {
        let ControlFlow::Continue((_, tested)) = self.test(backend, || None::<Infallible>)?;
        Ok(tested)
    }
}

/// Tells how fast it went, in images a second of wall time from the first image on.
pub(super) fn tell(ui: &Ui, images: u64, wall: Duration, waited: Duration) {
    ui.end_bar();
    ui.status("Evaluated", &seen(&Throughput { images, wall, waited }));
}
