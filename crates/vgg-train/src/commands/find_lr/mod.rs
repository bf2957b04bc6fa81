//! `find-lr CONFIG`: the learning rate that a config's training can take, by a test in which the rate
//! rises (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3).

mod curve;
mod told;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use vgg_model::Trainer;
use vgg_tensor::Backend;

use self::curve::{Curve, Point};
use self::told::Told;
use crate::config::{self, Config, Override, TaskName};
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device::{self, Job};
use crate::run::output::Output;
use crate::run::weights;
use crate::signals::Stop;
use crate::terminal::fields::Fields;
use crate::terminal::numbers::{clock, count, short};
use crate::terminal::print;
use crate::terminal::ui::Ui;
use crate::training::initial::initial;
use crate::training::ready::Ready;

/// The rates of the first and of the last step.
const RATES: [f64; 2] = [1e-6, 10.0];

/// How a learning rate is looked for.
#[derive(Debug, Args)]
pub(crate) struct FindLrOptions {
    /// Steps in which the rate rises from 1e-6 to 10
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u32).range(20..=100_000))]
    steps: u32,

    /// Write the curve to FILE, as SVG, or as PNG if its name ends so
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Print the curve and the suggestion as JSON
    #[arg(long)]
    json: bool,
}

/// `find-lr CONFIG`.
pub(crate) fn command(
    path: &Path,
    overrides: Vec<Override>,
    options: &FindLrOptions,
    ui: &Ui,
) -> Result<Code> {
    let loaded = config::load(path, overrides)?;
    let read = [&[path], &loaded.config.data.files()[..]].concat();
    let is_png = |file: &Path| file.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
    let output = options.output.as_deref().map(|file| match is_png(file) {
        true => Output::of_picture(file, &read),
        false => Output::new(file, &read),
    });
    let output = output.transpose()?;
    let mut loaded = data::note(loaded, path, ui)?;
    weights::note(&mut loaded, ui)?;
    device::note(&mut loaded, ui)?;
    let config = &loaded.config;
    if config.model.task == TaskName::Localisation {
        let message = "find-lr is for networks that classify, whose loss of guessing is known";
        let help = "the paper begins at a tenth of the classifier's rate: optimizer.lr = 0.001";
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    let job = RisingRate { config, steps: options.steps.into(), ui };
    let (curve, classes) = match device::run(&config.device, job)? {
        Ok(done) => done,
        Err(code) => {
            ui.status("Stopped", "as asked, before there was anything to tell");
            return Ok(code);
        }
    };
    let told = Told::new(config, &curve, classes);
    if let Some(output) = output {
        let picture = match is_png(output.path()) {
            true => told.picture().png(2.0)?,
            false => told.picture().file().into_bytes(),
        };
        output.write(|out| out.write_all(&picture))?;
        ui.status("Curve", &output.path().display().to_string());
    }
    if told.suggestion().is_none() {
        ui.warn(
            "the loss did not fall below that of guessing at any rate: there is nothing to suggest",
        );
        ui.help("more --steps, a warm start (init.from) or other initial weights (init.weights)");
    }
    match options.json {
        true => print::json(&told.to_json())?,
        false => print::lines(told.to_text())?,
    }
    Ok(Code::Success)
}

/// Training from a run's initial weights, on its batches, at a rate that rises from step to step.
struct RisingRate<'a> {
    config: &'a Config,
    steps: u64,
    ui: &'a Ui,
}

impl Job for RisingRate<'_> {
    /// The curve and the number of classes, or the exit code of who was asked to stop.
    type Output = Result<(Curve, usize), Code>;

    fn run<B: Backend>(self, backend: B) -> Result<Self::Output> {
        let Self { config, steps, ui } = self;
        let Ready { vgg, data, batch } = Ready::make(config, ui, &backend, 0, config.shards(), 0)?;
        let params = initial(config, &vgg, ui)?;
        let (seed, recipe) = (config.train.seed, config.recipe(data.train.labels()));
        let mut trainer =
            Trainer::new(backend, &vgg, &config.input(), &params, batch, recipe, seed)?;
        drop(params); // the trainer has its own copy

        // From here on, Ctrl-C ends the test after the running step.
        let stop = Stop::listen()?;
        let [first, last] = RATES.map(short);
        let images = count(batch as u64, "image");
        ui.status("Testing", &format!("rates from {first} to {last} in {steps} steps of {images}"));
        let loader = data.train.loader(batch)?.shuffled(seed);
        let unreadable = || data::unreadable(&data.train.images);
        let (start, mut curve) = (Instant::now(), Curve::new(steps));
        let (mut epoch, mut batches) = (0, loader.epoch(0, 0));
        for step in 0..steps {
            if let Some(code) = stop.requested() {
                ui.end_bar();
                return Ok(Err(code));
            }
            let lr = rate(step, steps);
            let images = match batches.next_batch().with_context(unreadable)? {
                Some(images) => images,
                None => {
                    epoch += 1;
                    batches = loader.epoch(epoch, 0);
                    let images = batches.next_batch().with_context(unreadable)?;
                    images.context("there are no images to train on")?
                }
            };
            let target = data::target(images);
            trainer.submit(&images.pixels, target, lr)?;
            let metrics = trainer.next_metrics(true)?.context("a step without metrics")?;
            let loss = f64::from(metrics.loss_sum) / target.counted().max(1) as f64;
            let is_over = curve.push(Point { lr: lr.into(), loss });
            ui.bar(step + 1, steps, &progress(start.elapsed(), step + 1, steps, lr, loss));
            if is_over {
                break;
            }
        }
        ui.end_bar();
        if curve.points().is_empty() {
            let message = "the training loss is not a number at the first step, before any update";
            let help =
                "other initial weights (init.weights) or images (data.mean, data.std) may help";
            return Err(Failure::new(Code::Diverged, message).help(help).into());
        }
        Ok(Ok((curve, data.train.classes().len())))
    }
}

/// The rate of a step, each the same multiple of the one before.
fn rate(step: u64, steps: u64) -> f32 {
    let [first, last] = RATES;
    (first * (last / first).powf(step as f64 / (steps - 1) as f64)) as f32
}

fn progress(spent: Duration, done: u64, all: u64, lr: f32, loss: f64) -> Fields {
    let left = spent.div_f64(done as f64).mul_f64((all - done) as f64);
    Fields::default()
        .with(2, format!("step {done} of {all}"))
        .with(0, format!("lr {}", short(lr)))
        .with(1, format!("loss {loss:.3}"))
        .with(3, format!("at most {} left", clock(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_by_the_same_factor() {
        let rates = [0, 1, 2, 3, 4, 5, 6, 7].map(|step| short(rate(step, 8)));
        assert_eq!(rates, ["1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "10"]);
    }
}
