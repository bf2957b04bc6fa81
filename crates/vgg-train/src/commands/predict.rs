//! `predict RUN FILES…`: what a trained network sees in image files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::config::{self, Override};
use crate::data;
use crate::machine::device;
use crate::passes::classify::{Classify, class_names, predictions, rank, unreadable};
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
    let classes = class_names(&checkpoint);
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

fn to_text(file: &Path, ranked: &[(usize, f32)], classes: &[String]) -> Vec<String> {
    let mut lines = vec![file.display().to_string()];
    lines.extend(
        ranked.iter().map(|(class, p)| format!("  {:5.1} %  {}", 100.0 * p, classes[*class])),
    );
    lines
}

fn to_json(file: &Path, ranked: &[(usize, f32)], classes: &[String]) -> Value {
    json!({ "file": file, "predictions": predictions(ranked, classes) })
}

#[cfg(test)]
mod tests {
    use super::*;

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
