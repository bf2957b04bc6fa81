//! `eval RUN…`: how good networks are on labelled images.
//!
//! Alone, a run is evaluated as training does it. With options or several runs it is the paper's
//! testing (Simonyan & Zisserman 2014, section 3.2): [`Fusion`].

mod boxes;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use vgg_data::Images;

use crate::config::{Override, TaskName};
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::evaluate::Evaluate;
use crate::passes::fusion::{Fusion, Member, TestMode};
use crate::passes::shown::Views;
use crate::run::checkpoints::{self, LinearWeights, NetworkOptions};
use crate::run::output::Output;
use crate::scores::evaluation::tells_top5;
use crate::scores::merge;
use crate::scores::predictions::Predictions;
use crate::scores::scored::Scored;
use crate::terminal::numbers::{count, grouped};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;

/// How images are shown to networks whose posteriors are averaged.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The paper's testing")]
pub(crate) struct Averaging {
    /// Short sides that images are scaled to, such as 256,384,512; posteriors are averaged over them
    ///
    /// Without it, each run's own test scale. Images are scaled as image folders are in training,
    /// those of Fashion-MNIST, too, which are square.
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    pub scales: Vec<usize>,

    /// What of a scaled image a network sees [default with other options or several runs: center]
    #[arg(long, value_enum)]
    pub mode: Option<TestMode>,

    #[command(flatten)]
    pub views: Views,
}

/// How a run that locates objects is tested.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Of a run that locates objects")]
pub(crate) struct Locating {
    /// Give the boxes of the five classes that this run's network finds most probable, and rate windows by
    /// it; without it the true class of each image is given
    #[arg(long, value_name = "RUN", value_hint = ValueHint::DirPath)]
    classifier: Option<PathBuf>,

    /// Boxes of an image become one where their distance is below this: that of their centres, as a share
    /// of their side, plus what they do not have in common, as a share of their union
    ///
    /// 0 leaves all apart, so that the best rated one is the answer.
    #[arg(long, value_name = "DISTANCE", value_parser = distance, default_value_t = merge::THRESHOLD)]
    merge_below: f64,
}

fn distance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(distance) if (0.0..f64::INFINITY).contains(&distance) => Ok(distance),
        _ => Err("it must be a number, 0 or more".into()),
    }
}

/// Files that are written.
#[derive(Clone, Debug, Args)]
pub(crate) struct Outputs {
    /// Write the confusion matrix to FILE, as CSV
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    confusion: Option<PathBuf>,

    /// Write what each image is taken for to FILE, as CSV
    ///
    /// A row an image: its number, its file if it is one, the names of its class and of the one it is
    /// taken for, the probability of that, and the probability of each class.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    predictions: Option<PathBuf>,
}

/// What is asked for.
pub(crate) struct EvalRequest<'a> {
    pub runs: &'a [PathBuf],
    pub network: NetworkOptions,
    pub averaging: &'a Averaging,
    pub locating: &'a Locating,
    pub outputs: &'a Outputs,
    pub json: bool,
}

/// `eval RUN…`.
pub(crate) fn command(request: &EvalRequest<'_>, overrides: &[Override], ui: &Ui) -> Result<()> {
    let EvalRequest { runs, averaging, outputs, json, .. } = *request;
    let config = |run: &PathBuf| Ok(checkpoints::config_of(run, overrides.to_vec())?.config);
    let configs = runs.iter().map(config).collect::<Result<Vec<_>>>()?;
    let read: Vec<&Path> = configs.iter().flat_map(|config| config.data.files()).collect();
    let place =
        |path: &Option<PathBuf>| path.as_deref().map(|path| Output::new(path, &read)).transpose();
    let [confusion, table] = [place(&outputs.confusion)?, place(&outputs.predictions)?];
    if let (Some(confusion), Some(table)) = (&confusion, &table) {
        table.refuse_same_as(confusion)?;
    }
    if let [config] = &configs[..]
        && config.model.task == TaskName::Localisation
    {
        return boxes::command(request, overrides, ui);
    }
    if request.locating.classifier.is_some() || request.locating.merge_below != merge::THRESHOLD {
        let message = "--classifier and --merge-below are for a run that locates objects";
        return Err(Failure::new(Code::Usage, message).help("a run with model.task does").into());
    }
    let Averaging { scales, mode, views } = averaging;
    let plain = scales.is_empty() && mode.is_none() && views.are_one();
    let outcome = match runs {
        [run] if plain => alone(run, request.network, overrides, ui)?,
        _ => together(request, overrides, ui)?,
    };
    let Report { scored: Scored { predictions, evaluation, .. }, images, .. } = &outcome;
    if let Some(output) = confusion {
        output.write(|out| out.write_all(&evaluation.confusion.to_csv(images.classes())))?;
    }
    if let Some(output) = table {
        output.write(|out| predictions.write_csv(out, images.classes(), |i| images.file(i)))?;
    }
    match predictions.without_probabilities() {
        0 => {}
        1 => ui.warn("1 image has no probabilities: a logit is infinite or no number"),
        n => {
            let images = count(n as u64, "image");
            ui.warn(&format!("{images} have no probabilities: a logit is infinite or no number"));
        }
    }
    match json {
        true => print::json(&outcome.to_json()),
        false => print::lines(outcome.to_text()),
    }
}

/// An evaluation and how it came about.
struct Report {
    scored: Scored,
    images: Images,
    /// What was evaluated and how, for JSON.
    settings: Value,
}

/// A run's network on its test images, as training evaluates it.
fn alone(run: &Path, network: NetworkOptions, overrides: &[Override], ui: &Ui) -> Result<Report> {
    let config = checkpoints::config_of(run, overrides.to_vec())?.config;
    let path = checkpoints::network(run, network.checkpoint, config.data.download, ui)?;
    let checkpoint = checkpoints::classifier(&path)?;
    let test = data::open(&config, ui)?.test;
    checkpoints::require_classes(&checkpoint, test.classes(), "the data set's", &path)?;
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
    let tested = device::run(
        &config.device,
        Evaluate { device: &config.device, checkpoint, linear_weights, batch, test: &test, ui },
    )?;
    let predictions = tested.into_predictions().context("the network classifies")?;
    let settings =
        json!({ "checkpoint": path.to_string_lossy(), "linear_weights": linear_weights });
    Ok(Report::new(predictions, test.images, settings))
}

/// Evaluates the networks of `request`'s runs together, on the images of the first one.
fn together(request: &EvalRequest<'_>, overrides: &[Override], ui: &Ui) -> Result<Report> {
    let EvalRequest { runs, network, averaging, .. } = *request;
    let mode = averaging.mode.unwrap_or(TestMode::Center);
    refuse_f16(network.linear_weights, mode)?;
    let load = |run: &PathBuf| Ok(checkpoints::config_of(run, overrides.to_vec())?.config);
    let configs = runs.iter().map(load).collect::<Result<Vec<_>>>()?;
    let first = configs.first().ok_or_else(|| anyhow!("there is no run"))?;
    let images = data::open(first, ui)?.test.images;
    let members = runs
        .iter()
        .zip(&configs)
        .map(|(run, config)| {
            let Averaging { scales, views, .. } = averaging;
            let member = Member::open(run, config, network, scales, *views, images.classes(), ui)?;
            checkpoints::require_classifier(member.vgg.config(), &member.path)?;
            Ok(member)
        })
        .collect::<Result<Vec<_>>>()?;
    let job = Fusion {
        device: &first.device,
        members: &members,
        mode,
        views: averaging.views,
        linear_weights: network.linear_weights,
        images: &images,
        ui,
    };
    let predictions = device::run(&first.device, job)?;
    let member = |member: &Member| json!({ "checkpoint": member.path.to_string_lossy(), "scales": member.scales });
    let settings = json!({
        "networks": members.iter().map(member).collect::<Vec<_>>(),
        "linear_weights": network.linear_weights,
        "mode": mode,
        "flip": averaging.views.flip,
        "shift": averaging.views.shift,
    });
    Ok(Report::new(predictions, images, settings))
}

/// Refuses weights that convolutions do not have.
fn refuse_f16(linear_weights: LinearWeights, mode: TestMode) -> Result<()> {
    if linear_weights == LinearWeights::F32 || !mode.shows_whole() {
        return Ok(());
    }
    let message = "--linear-weights f16 is for --mode center and multicrop alone";
    let help = "on whole images fully connected layers are convolutions, whose weights are f32";
    Err(Failure::new(Code::Usage, message).help(help).into())
}

impl Report {
    fn new(predictions: Predictions, images: Images, settings: Value) -> Self {
        Self { scored: Scored::new(predictions, images.classes()), images, settings }
    }

    fn to_text(&self) -> Vec<String> {
        let Scored { names, evaluation, per_class, calibration, .. } = &self.scored;
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let mut table = Table::bare(2);
        let mut say = |what: &str, text| table.row([what.into(), text]);
        say("test images", grouped(evaluation.images()));
        say("loss", format!("{:.4}", evaluation.loss()));
        say("top-1 accuracy", percent(evaluation.accuracy()));
        if tells_top5(names.len()) {
            say("top-5 accuracy", percent(evaluation.top5()));
        }
        if let Some(balanced) = per_class.balanced_accuracy.filter(|_| !per_class.are_equal()) {
            say("balanced accuracy", percent(balanced));
        }
        if let Some(mean) = per_class.macro_mean {
            say("macro F1", percent(mean.f1));
        }
        if let Some(ece) = calibration.ece {
            say("ECE", percent(ece));
        }
        let mut lines = table.lines();
        lines.push(String::new());
        let all = "--confusion FILE writes all";
        lines.extend(evaluation.confusion.per_class(names, all));
        lines
    }

    /// The scores, below what was evaluated.
    fn to_json(&self) -> Value {
        let mut json = self.settings.clone();
        if let (Some(json), Value::Object(scores)) = (json.as_object_mut(), self.scored.to_json()) {
            json.extend(scores);
        }
        json
    }
}
