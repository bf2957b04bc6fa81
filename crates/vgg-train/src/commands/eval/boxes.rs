//! How good the boxes of a network that locates are.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Averaging, EvalRequest, refuse_f16};
use crate::config::Override;
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::evaluate::Evaluate;
use crate::passes::fusion::{Fusion, Member, Portion, TestMode};
use crate::passes::locate::Locate;
use crate::run::checkpoints;
use crate::scores::evaluation::Evaluation;
use crate::scores::localisation::{GUESSES, Localisation, Located, RIGHT};
use crate::scores::predictions::Prediction;
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
    let Averaging { scales, mode, views } = request.averaging;
    let plain = scales.is_empty() && mode.is_none() && views.are_one();
    let (localisation, settings) = match request.locating.classifier {
        None if plain => alone(&runs[0], request, overrides, ui)?,
        _ => merged(&runs[0], request, overrides, ui)?,
    };
    match json {
        true => print::json(&to_json(&localisation, settings)),
        false => print::lines(to_text(&localisation)),
    }
}

/// As training tests it: boxes of the true class on crops from the centre.
fn alone(
    run: &Path,
    request: &EvalRequest<'_>,
    overrides: &[Override],
    ui: &Ui,
) -> Result<(Localisation, Value)> {
    let config = checkpoints::config_of(run, overrides.to_vec())?.config;
    let path = checkpoints::network(run, request.network.checkpoint, config.data.download, ui)?;
    let checkpoint = checkpoints::load(&path)?;
    let test = data::open(&config, ui)?.test;
    checkpoints::require_classes(&checkpoint, test.classes(), "the data set's", &path)?;
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

/// By the paper's protocols: boxes of the true class or of the most probable ones, on crops from the centre or
/// merged over all of the images.
fn merged(
    run: &Path,
    request: &EvalRequest<'_>,
    overrides: &[Override],
    ui: &Ui,
) -> Result<(Localisation, Value)> {
    let EvalRequest { network, averaging, locating, .. } = *request;
    let Averaging { scales, views, .. } = averaging;
    let (views, linear_weights) = (*views, network.linear_weights);
    let mode = averaging.mode.unwrap_or(TestMode::Center);
    let portion = match mode {
        TestMode::Center => Portion::Crops(1),
        TestMode::Dense => Portion::Whole,
        TestMode::Multicrop | TestMode::Both => {
            let message = "--mode multicrop and both are for classes, and the run locates objects";
            let help = "--mode dense has the boxes of all places of an image";
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
    };
    refuse_f16(linear_weights, mode)?;
    let config = checkpoints::config_of(run, overrides.to_vec())?.config;
    let images = data::open(&config, ui)?.test.images;
    let locator = Member::open(run, &config, network, scales, views, images.classes(), ui)?;
    let classifier = locating.classifier.as_deref().map(|run| {
        let own = checkpoints::config_of(run, vec![])?.config;
        // Both see the same windows.
        let scales = &locator.scales;
        let member = Member::open(run, &own, network, scales, views, images.classes(), ui)?;
        checkpoints::require_classifier(member.vgg.config(), &member.path)?;
        anyhow::Ok(member)
    });
    let classifier = classifier.transpose()?;
    let device = &config.device;
    let predictions = classifier.as_ref().map(|member| {
        let (members, images) = (std::slice::from_ref(member), &images);
        device::run(device, Fusion { device, members, mode, views, linear_weights, images, ui })
    });
    let predictions = predictions.transpose()?;
    let guesses: Vec<Vec<u32>> = match &predictions {
        Some(predictions) => {
            let classes = |(class, _): (usize, f32)| class as u32;
            let top = |it: Prediction<'_>| it.top(GUESSES).into_iter().map(classes).collect();
            predictions.iter().map(top).collect()
        }
        None => images.labels().iter().map(|label| vec![*label]).collect(),
    };
    let job = Locate {
        device,
        locator: &locator,
        classifier: classifier.as_ref(),
        portion,
        views,
        merge_below: locating.merge_below,
        linear_weights,
        images: &images,
        classes: &guesses,
        ui,
    };
    let located = device::run(device, job)?.into_iter().enumerate().map(|(i, guesses)| {
        let label = images.labels()[i];
        let objects = images.own_objects(i).copied().collect();
        Located { label, objects, guesses, loss: None }
    });
    let mut settings = json!({
        "checkpoint": locator.path.to_string_lossy(),
        "linear_weights": linear_weights,
        "mode": mode,
        "scales": locator.scales,
        "flip": views.flip,
        "shift": views.shift,
        "merge_below": locating.merge_below,
    });
    if let (Some(classifier), Some(predictions)) = (&classifier, &predictions) {
        let evaluation = Evaluation::of(predictions);
        settings["classifier"] = json!({
            "checkpoint": classifier.path.to_string_lossy(),
            "top1_error": 1.0 - evaluation.accuracy(),
            "top5_error": 1.0 - evaluation.top5(),
        });
    }
    Ok((Localisation::new(located.collect()), settings))
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
        if localisation.loss().is_finite() {
            say("loss", format!("{:.4}", localisation.loss()));
        }
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
