//! `CONFIG --profile`: where the time of a training step goes.

mod breakdown;
mod step;
mod trace;

use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_model::{Params, Trainer};
use vgg_tensor::Backend;
use vgg_tensor::profile::Profiled;

use crate::config::{Config, Override};
use crate::data;
use crate::device::{self, Job};
use crate::file::Output;
use crate::print;
use crate::start::Ready;
use crate::ui::Ui;
use step::{Names, Step};

/// Steps that are timed, after one that is not.
const STEPS: usize = 5;

/// Prints the breakdown of a step and writes the steps to the file `trace`.
pub(crate) fn command(path: &Path, overrides: Vec<Override>, trace: &Path, ui: &Ui) -> Result<()> {
    let trace = &Output::new(trace, &[path])?;
    let config = data::load_noted(path, overrides, ui)?.config;
    print::lines(device::run(&config.device, Measure { config: &config, trace, ui })?)
}

/// Steps to be timed.
struct Measure<'a> {
    config: &'a Config,
    trace: &'a Output,
    ui: &'a Ui,
}

impl Job for Measure<'_> {
    type Output = Vec<String>;

    fn run<B: Backend>(self, backend: B) -> Result<Vec<String>> {
        let Self { config, trace, ui } = self;
        let Ready { vgg, data, batch } = Ready::make(config, ui, &backend, 0)?;
        let (seed, device) = (config.train.seed, backend.describe());
        let params = Params::init(&vgg, &config.init(), seed)?;
        let (input, recipe) = (config.input(), config.recipe());
        let lr = recipe.sgd.lr;
        let backend = Profiled::new(backend)?;
        let mut trainer = Trainer::new(backend, &vgg, &input, &params, batch, recipe, seed)?;
        drop(params); // the trainer has its own copy

        // One batch for all steps: an epoch may have fewer, and its last is short.
        let mut batches = data.train.loader(batch)?.shuffled(seed).epoch(0, 0);
        let images = batches.next_batch()?.context("there are no images to train on")?;
        let names = Names::of(&trainer);
        let mut step = || -> Result<Step> {
            let (before, start) = (trainer.backend().events().len(), trainer.backend().now());
            trainer.submit_mixed(&images.pixels, &images.labels, &images.mix, lr)?;
            trainer.next_metrics(true)?;
            let end = trainer.backend().now();
            let calls = names.give(&trainer.backend().events()[before..]);
            Ok(Step { start, duration: end - start, calls })
        };
        ui.status("Profiling", &format!("{STEPS} steps of {batch} images, after a warm-up"));
        step()?;
        let steps = (0..STEPS).map(|_| step()).collect::<Result<Vec<_>>>()?;

        let json = trace::json(&config.name, &device, &steps);
        trace.write(|out| Ok(serde_json::to_writer(out, &json)?))?;
        ui.status("Trace", &format!("{}: open it in ui.perfetto.dev", trace.path().display()));
        Ok(breakdown::lines(&steps, batch))
    }
}
