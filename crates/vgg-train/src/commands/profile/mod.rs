//! `CONFIG --profile`: where the time of a training step goes.

mod breakdown;
mod step;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;
use vgg_model::{Params, Trainer};
use vgg_tensor::Backend;

use crate::config::{self, Config, Override};
use crate::data;
use crate::machine::device::{self, Job};
use crate::run::new_folder::make_folder;
use crate::run::output::Output;
use crate::terminal::numbers::count;
use crate::terminal::print;
use crate::terminal::ui::Ui;
use crate::training::ready::Ready;
use step::Step;

/// Steps that are timed, after one that is not.
const STEPS: usize = 5;

/// Prints the breakdown of a step and writes the steps to the file `trace`, or else to a new one in
/// `out`, where run folders are.
pub(crate) fn command(
    path: &Path,
    overrides: Vec<Override>,
    trace: Option<&Path>,
    out: &Path,
    ui: &Ui,
) -> Result<()> {
    let loaded = config::load(path, overrides)?;
    let read = [&[path], &loaded.config.data.files()[..]].concat();
    let given = trace.map(|trace| Output::new(trace, &read)).transpose()?;
    let config = &data::note(loaded, path, ui)?.config;
    let (trace, lines) = device::run(&config.device, Measure { config, ui })?;
    let output = match given {
        Some(output) => output,
        None => {
            let path = unused(out, &config.name);
            make_folder(out)?;
            Output::new(&path, &[])?
        }
    };
    output.write(|file| Ok(serde_json::to_writer(file, &trace)?))?;
    ui.status("Trace", &format!("{}: open it in ui.perfetto.dev", output.path().display()));
    print::lines(lines)
}

/// The first `NAME-profile-N.json` that is not there.
fn unused(out: &Path, name: &str) -> PathBuf {
    let mut paths = (1..).map(|n| out.join(format!("{name}-profile-{n}.json")));
    paths.find(|path| !path.exists()).unwrap_or_default()
}

/// Steps to be timed.
struct Measure<'a> {
    config: &'a Config,
    ui: &'a Ui,
}

impl Job for Measure<'_> {
    /// The trace, and the lines of the table.
    type Output = (Value, Vec<String>);

    fn run<B: Backend>(self, backend: B) -> Result<Self::Output> {
        let Self { config, ui } = self;
        let Ready { vgg, data, batch } = Ready::make(config, ui, &backend, 0, config.shards(), 0)?;
        let (seed, device) = (config.train.seed, backend.describe());
        let origin = Instant::now();
        let params = Params::init(&vgg, &config.init(), seed)?;
        let (input, recipe) = (config.input(), config.recipe(data.train.labels()));
        let lr = config.optimizer.lr as f32;
        let mut trainer = Trainer::new(backend, &vgg, &input, &params, batch, recipe, seed)?;
        drop(params); // the trainer has its own copy

        // One batch for all steps: an epoch may have fewer, and its last is short.
        let mut batches = data.train.loader(batch)?.shuffled(seed).epoch(0, 0);
        let images = batches.next_batch()?.context("there are no images to train on")?;
        let mut step = || -> Result<Step> {
            Ok(Step::of(trainer.profile(&images.pixels, data::target(images), lr)?))
        };
        ui.status(
            "Profiling",
            &format!("{STEPS} steps of {}, after a warm-up", count(batch as u64, "image")),
        );
        step()?;
        let steps = (0..STEPS).map(|_| step()).collect::<Result<Vec<_>>>()?;

        Ok((trace::json(&config.name, &device, origin, &steps), breakdown::lines(&steps, batch)))
    }
}
