//! `predict RUN FILES…`: what a trained network sees in image files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use vgg_model::Checkpoint;

use crate::config::{self, Override};
use crate::data;
use crate::machine::device;
use crate::passes::classify::{Classify, unreadable};
use crate::run::checkpoints::{self, NetworkOptions};
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// What is asked for.
pub(crate) struct PredictRequest<'a> {
    pub run: &'a Path,
    pub files: &'a [PathBuf],
    pub network: NetworkOptions,
    pub top: usize,
    pub json: bool,
}

/// `predict RUN FILES…`.
pub(crate) fn command(request: &PredictRequest<'_>, overrides: &[Override], ui: &Ui) -> Result<()> {
    // A run's config need not be there: a checkpoint alone will do.
    let device = config::device(overrides)?;
    let NetworkOptions { checkpoint, linear_weights } = request.network;
    let checkpoint = checkpoints::load(&checkpoints::find(request.run, checkpoint)?)?;
    let classes = names_of_classes(&checkpoint);
    let (input, transform) = data::prediction(request.run, &checkpoint)?;
    let described = data::describe(&input, checkpoint.vgg.input);
    let (device, files) = (&device, request.files);
    let tell = |file: &Path, probabilities: &[f32]| {
        let ranked = rank(probabilities, request.top);
        match request.json {
            true => print::json(&to_json(file, &ranked, &classes)),
            false => print::lines(to_text(file, &ranked, &classes)),
        }
    };
    let job = Classify {
        device,
        checkpoint,
        linear_weights,
        files,
        transform,
        described,
        tell: &tell,
        ui,
    };
    unreadable(device::run(device, job)?, files.len())
}

/// The names of the classes, or their numbers where a library's user gave them no names.
fn names_of_classes(checkpoint: &Checkpoint) -> Vec<String> {
    if checkpoint.classes.is_empty() {
        return (0..checkpoint.vgg.classes).map(|class| format!("class {class}")).collect();
    }
    checkpoint.classes.clone()
}

/// The most probable classes and their probabilities; the lower class first where they are equal.
fn rank(probabilities: &[f32], top: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<_> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.truncate(top);
    ranked
}

fn to_text(file: &Path, ranked: &[(usize, f32)], classes: &[String]) -> Vec<String> {
    let mut lines = vec![file.display().to_string()];
    lines.extend(
        ranked.iter().map(|(class, p)| format!("  {:5.1} %  {}", 100.0 * p, classes[*class])),
    );
    lines
}

fn to_json(file: &Path, ranked: &[(usize, f32)], classes: &[String]) -> Value {
    let prediction = |(class, p): &(usize, f32)| json!({ "class": classes[*class], "label": class, "probability": p });
    json!({ "file": file, "predictions": ranked.iter().map(prediction).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_come_first() {
        assert_eq!(rank(&[0.125, 0.5, 0.125, 0.25], 3), [(1, 0.5), (3, 0.25), (0, 0.125)]);
        assert_eq!(rank(&[1.0], 5), [(0, 1.0)]);
    }

    #[test]
    fn predictions_as_text_and_json() {
        let classes = ["Bag", "Shirt"].map(String::from);
        let ranked = [(1, 0.75), (0, 0.25)];
        let text = to_text(Path::new("a.png"), &ranked, &classes).join("\n");
        assert_eq!(text, "a.png\n   75.0 %  Shirt\n   25.0 %  Bag");
        assert_eq!(
            to_json(Path::new("a.png"), &ranked[..1], &classes).to_string(),
            r#"{"file":"a.png","predictions":[{"class":"Shirt","label":1,"probability":0.75}]}"#
        );
    }
}
