//! How good the boxes of a network that locates are.

use anyhow::Result;
use serde_json::{Value, json};

use super::EvalRequest;
use crate::config::Override;
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::evaluate::Evaluate;
use crate::run::checkpoints;
use crate::scores::localisation::{GUESSES, Localisation, RIGHT};
use crate::scores::tested::Tested;
use crate::terminal::numbers::{count, grouped};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;

/// Intersections over union that accuracies are told of, beside that from which on a box is right.
const THRESHOLDS: [f64; 2] = [0.25, 0.75];

/// Evaluates the network of the request's only run.
pub(super) fn command(request: &EvalRequest<'_>, overrides: &[Override], ui: &Ui) -> Result<()> {
    let EvalRequest { runs, outputs, json, .. } = *request;
    if outputs.confusion.is_some() || outputs.predictions.is_some() {
        let message = "--confusion and --predictions are of classes, and the run locates objects";
        return Err(Failure::new(Code::Usage, message).help("--json has the scores").into());
    }
    let (localisation, settings) = alone(&runs[0], request, overrides, ui)?;
    match json {
        true => print::json(&to_json(&localisation, settings)),
        false => print::lines(to_text(&localisation)),
    }
}

/// As training tests it: boxes of the true class on crops from the centre.
fn alone(
    run: &std::path::Path,
    request: &EvalRequest<'_>,
    overrides: &[Override],
    ui: &Ui,
) -> Result<(Localisation, Value)> {
    let config = checkpoints::config_of(run, overrides.to_vec())?.config;
    let path = checkpoints::network(run, request.network.checkpoint, config.data.download, ui)?;
    let checkpoint = checkpoints::load(&path)?;
    let test = data::open(&config, ui)?.test;
    checkpoints::require_classes(&checkpoint, test.classes(), &path)?;
    let images = count(test.len() as u64, "image");
    ui.status("Evaluating", &format!("{} on {images}: centre, true classes", path.display()));
    let batch = config.train.batch_size.min(test.len()).max(1);
    let (device, linear_weights) = (&config.device, request.network.linear_weights);
    let job = Evaluate { device, checkpoint, linear_weights, batch, test: &test, ui };
    let Tested::Boxes(localisation) = device::run(device, job)? else {
        let message = format!("{} classifies, though its run is to locate", path.display());
        return Err(Failure::new(Code::Checkpoint, message).into());
    };
    let settings = json!({
        "checkpoint": path.to_string_lossy(),
        "linear_weights": linear_weights,
        "mode": "center",
    });
    Ok((localisation, settings))
}

fn to_text(localisation: &Localisation) -> Vec<String> {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut table = Table::bare(2);
    let mut say = |what: &str, text| table.row([what.into(), text]);
    say("test images", grouped(localisation.images().len() as u64));
    if localisation.has_guessed() {
        say("top-1 localisation error", percent(localisation.error(1)));
        say("top-5 localisation error", percent(localisation.error(GUESSES)));
    } else {
        say("loss", format!("{:.4}", localisation.loss()));
        say("localisation error, true classes", percent(localisation.error(1)));
    }
    say("mean IoU", format!("{:.3}", localisation.mean_iou(1)));
    for threshold in [THRESHOLDS[0], RIGHT, THRESHOLDS[1]] {
        let share = percent(localisation.accuracy(1, threshold));
        say(&format!("boxes of IoU above {threshold}"), share);
    }
    table.lines()
}

/// The scores, below what was evaluated.
fn to_json(localisation: &Localisation, mut settings: Value) -> Value {
    if let (Some(json), Value::Object(scores)) = (settings.as_object_mut(), localisation.to_json())
    {
        json.extend(scores);
    }
    settings
}
