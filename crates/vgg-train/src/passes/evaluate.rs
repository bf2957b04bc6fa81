//! The loop over test images.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vgg_data::Loader;
use vgg_model::Checkpoint;
use vgg_tensor::Backend;

use crate::config;
use crate::data::{self, Part};
use crate::machine::device::{self, Job};
use crate::machine::memory;
use crate::run::checkpoints::{self, LinearWeights};
use crate::scores::evaluation::Evaluation;
use crate::terminal::throughput::{Throughput, images_line, seen};
use crate::terminal::ui::Ui;

/// How good a network is on all test images.
pub(crate) struct Tested {
    pub evaluation: Evaluation,
    /// Time that passed in waiting for images.
    pub waited: Duration,
}

/// Tests the network that gives the `logits` of pixels on the images of `test`, in the batches of
/// their `loader`. `show` is told how many images are done, and `stop` is asked before each batch.
///
/// # Errors
/// When an image cannot be read; those of `logits` and of `show`.
pub(crate) fn evaluate<S>(
    test: &Part,
    loader: &Loader,
    mut logits: impl FnMut(&[u8]) -> vgg_tensor::Result<Vec<f32>>,
    mut show: impl FnMut(u64) -> Result<()>,
    stop: impl Fn() -> Option<S>,
) -> Result<ControlFlow<S, Tested>> {
    let mut evaluation = Evaluation::new(test.classes().len());
    let mut batches = loader.epoch(0, 0);
    let unreadable = || data::unreadable(&test.images);
    while let Some(batch) = batches.next_batch().with_context(unreadable)? {
        if let Some(reason) = stop() {
            return Ok(ControlFlow::Break(reason));
        }
        evaluation.add(&logits(&batch.pixels)?, &batch.labels);
        show(evaluation.images())?;
    }
    Ok(ControlFlow::Continue(Tested { evaluation, waited: batches.waited() }))
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

impl Job for Evaluate<'_> {
    type Output = Evaluation;

    fn run<B: Backend>(self, backend: B) -> Result<Evaluation> {
        let Self { device, checkpoint, linear_weights, batch, test, ui } = self;
        device::tell(device, &backend, ui);
        let input = checkpoint.input.clone();
        let mut session = checkpoints::session(backend, checkpoint, linear_weights, 1)?;
        let batch = memory::largest_batch(&session, &session.vgg().clone(), &input, batch, None)?;
        session.set_input(&input, batch)?;
        let (start, loader, all) = (Instant::now(), test.loader(batch)?, test.len() as u64);
        let ControlFlow::Continue(Tested { evaluation, waited }) = evaluate(
            test,
            &loader,
            |pixels| session.logits(pixels),
            |done| {
                ui.bar(done, all, &images_line(done, all));
                Ok(())
            },
            || None::<Infallible>,
        )?;
        tell(ui, evaluation.images(), start.elapsed(), waited);
        Ok(evaluation)
    }
}

/// Tells how fast it went, in images a second of wall time from the first image on.
pub(super) fn tell(ui: &Ui, images: u64, wall: Duration, waited: Duration) {
    ui.end_bar();
    ui.status("Evaluated", &seen(&Throughput { images, wall, waited }));
}
