//! How good a network is on labelled images: in training after each epoch, and as `eval RUN…`.
//!
//! Alone, a run is evaluated as training does it. With options or several runs it is the paper's
//! testing (Simonyan & Zisserman 2014, section 3.2): [`fusion`].

mod evaluation;
mod fusion;
mod posteriors;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use vgg_data::names;
use vgg_model::Checkpoint;
use vgg_tensor::Backend;

use crate::cli::{LinearWeights, Network};
use crate::config::{self, Override};
use crate::data::{self, Part};
use crate::device::{self, Job};
use crate::exit::{Code, Failure};
use crate::file::Output;
use crate::progress::{Throughput, tells_top5};
use crate::run_dir::{CONFIG, require_run};
use crate::ui::{Ui, count, grouped};
use crate::{lines, memory, print, stored};
pub(crate) use evaluation::Evaluation;

/// How images are shown to networks whose posteriors are averaged.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The paper's testing")]
pub(crate) struct Views {
    /// Short sides that images are scaled to, such as 256,384,512; posteriors are averaged over them
    ///
    /// Without it, each run's own test scale. Images are scaled as image folders are in training,
    /// those of Fashion-MNIST, too, which are square.
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    pub scales: Vec<usize>,

    /// What of a scaled image a network sees [default with --scales, --flip or several runs: center]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,

    /// Average over each view and its mirror image
    #[arg(long)]
    pub flip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// A crop of the network's size from the centre
    Center,
    /// All of it: fully connected layers become convolutions, and class scores are averaged over
    /// places, before the softmax
    Dense,
    /// 5×5 crops of the network's size, from corner to corner
    Multicrop,
    /// The mean of dense and multicrop
    Both,
}

/// What is asked for.
pub(crate) struct Request<'a> {
    pub runs: &'a [PathBuf],
    pub network: Network,
    pub views: &'a Views,
    pub confusion: Option<&'a Path>,
    pub json: bool,
}

/// `eval RUN…`.
pub(crate) fn command(request: &Request<'_>, overrides: &[Override], ui: &Ui) -> Result<()> {
    let Request { runs, views, confusion, json, .. } = *request;
    let confusion = confusion.map(|path| Output::new(path, &[])).transpose()?;
    let plain = views.scales.is_empty() && views.mode.is_none() && !views.flip;
    let outcome = match runs {
        [run] if plain => alone(run, request.network, overrides, ui)?,
        _ => fusion::evaluate(request, overrides, ui)?,
    };
    let Outcome { evaluation, classes, .. } = &outcome;
    if let Some(output) = confusion {
        output.write(|out| out.write_all(evaluation.confusion.to_csv(classes).as_bytes()))?;
    }
    match json {
        true => print::json(&outcome.to_json()),
        false => print::lines(outcome.to_text()),
    }
}

/// An evaluation and how it came about.
struct Outcome {
    evaluation: Evaluation,
    classes: Vec<String>,
    /// What was evaluated and how, for JSON.
    settings: Value,
}

/// A run's network on its test images, as training evaluates it.
fn alone(run: &Path, network: Network, overrides: &[Override], ui: &Ui) -> Result<Outcome> {
    require_run(run)?;
    let config = config::load(&run.join(CONFIG), overrides.to_vec())?.config;
    let path = stored::find(run, network.checkpoint)?;
    let checkpoint = stored::load(&path)?;
    let test = data::open(&config, ui)?.test;
    if !names::same(&checkpoint.classes, test.classes()) {
        let message = format!("{} tells other classes apart than the data set's", path.display());
        return Err(Failure::new(Code::Checkpoint, message).into());
    }
    let stored = match network.linear_weights {
        LinearWeights::F32 => "",
        LinearWeights::F16 => ", fully connected weights in f16,",
    };
    ui.status(
        "Evaluating",
        &format!("{}{stored} on {}", path.display(), count(test.len() as u64, "image")),
    );
    let batch = config.train.batch_size.min(test.len()).max(1);
    let linear_weights = network.linear_weights;
    let evaluation = device::run(
        &config.device,
        Evaluate { device: &config.device, checkpoint, linear_weights, batch, test: &test, ui },
    )?;
    let settings = json!({ "checkpoint": path, "linear_weights": linear_weights });
    Ok(Outcome { evaluation, classes: test.classes().to_vec(), settings })
}

struct Evaluate<'a> {
    device: &'a config::Device,
    checkpoint: Checkpoint,
    linear_weights: LinearWeights,
    batch: usize,
    test: &'a Part,
    ui: &'a Ui,
}

impl Job for Evaluate<'_> {
    type Output = Evaluation;

    fn run<B: Backend>(self, backend: B) -> Result<Evaluation> {
        let Self { device, checkpoint, linear_weights, batch, test, ui } = self;
        device::tell(device, &backend, ui);
        let input = checkpoint.input.clone();
        let mut session = stored::session(backend, checkpoint, linear_weights, 1)?;
        let batch = memory::largest_batch(&session, &session.vgg().clone(), &input, batch, None)?;
        session.set_input(&input, batch)?;
        let mut evaluation = Evaluation::new(test.classes().len());
        let start = Instant::now();
        let mut batches = test.loader(batch)?.epoch(0, 0);
        let unreadable = || data::unreadable(&test.images);
        while let Some(batch) = batches.next_batch().with_context(unreadable)? {
            evaluation.add(&session.logits(&batch.pixels)?, &batch.labels);
            let done = evaluation.images();
            let all = test.len() as u64;
            ui.bar(done, all, &lines::images_line(done, all));
        }
        tell(ui, evaluation.images(), start.elapsed(), batches.waited());
        Ok(evaluation)
    }
}

/// Tells how fast it went, in images a second of wall time from the first image on.
fn tell(ui: &Ui, images: u64, wall: Duration, waited: Duration) {
    ui.end_bar();
    ui.status("Evaluated", &lines::seen(&Throughput { images, wall, waited }));
}

impl Outcome {
    fn to_text(&self) -> Vec<String> {
        let evaluation = &self.evaluation;
        let mut lines = vec![
            format!("test images     {}", grouped(evaluation.images())),
            format!("loss            {:.4}", evaluation.loss()),
            format!("top-1 accuracy  {:.2} %", 100.0 * evaluation.accuracy()),
        ];
        if tells_top5(self.classes.len()) {
            lines.push(format!("top-5 accuracy  {:.2} %", 100.0 * evaluation.top5()));
        }
        lines.push(String::new());
        let all = "--confusion FILE writes all";
        lines.extend(evaluation.confusion.per_class(&self.classes, all));
        lines
    }

    fn to_json(&self) -> Value {
        let Self { evaluation, classes, .. } = self;
        let mut json = self.settings.clone();
        json["images"] = evaluation.images().into();
        json["loss"] = evaluation.loss().into();
        json["top1"] = evaluation.accuracy().into();
        json["top5"] = evaluation.top5().into();
        json["confusion"] = evaluation.confusion.rows().collect();
        json["classes"] = evaluation.confusion.to_json(classes).into();
        json
    }
}
