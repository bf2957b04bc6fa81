//! Predictions with all their scores.

use serde_json::{Value, json};

use super::calibration::Calibration;
use super::evaluation::Evaluation;
use super::per_class::{ClassScores, PerClass, Scores};
use super::predictions::Predictions;
use super::ranking::Areas;

/// What a network says of images, and how good that is.
#[derive(Debug)]
pub(crate) struct Scored {
    /// The names of the classes.
    pub names: Vec<String>,
    pub predictions: Predictions,
    pub evaluation: Evaluation,
    pub per_class: PerClass,
    pub calibration: Calibration,
    /// Of each class that has images and is not all of them.
    pub areas: Vec<Option<Areas>>,
}

impl Scored {
    pub(crate) fn new(predictions: Predictions, names: &[String]) -> Self {
        let evaluation = Evaluation::of(&predictions);
        Self {
            names: names.to_vec(),
            per_class: PerClass::of(&evaluation.confusion),
            calibration: Calibration::of(&predictions),
            areas: Areas::of_classes(&predictions),
            predictions,
            evaluation,
        }
    }

    /// An object with all scores; what does not exist is null.
    pub(crate) fn to_json(&self) -> Value {
        let Self { names, evaluation, per_class, calibration, areas, .. } = self;
        let class = |(label, name): (usize, &String)| {
            let ClassScores { support, scores, .. } = per_class.classes[label];
            let mut json = to_json(scores, areas[label]);
            json["class"] = name.as_str().into();
            json["accuracy"] = evaluation.confusion.accuracy(label).into();
            json["support"] = support.into();
            json
        };
        json!({
            "images": evaluation.images(),
            "loss": evaluation.loss(),
            "top1": evaluation.accuracy(),
            "top5": evaluation.top5(),
            "balanced_accuracy": per_class.balanced_accuracy,
            "macro": to_json(per_class.macro_mean, Areas::macro_mean(areas)),
            "weighted": per_class.weighted_mean,
            "calibration": calibration,
            "confusion": evaluation.confusion.rows().collect::<Vec<_>>(),
            "classes": names.iter().enumerate().map(class).collect::<Vec<_>>(),
        })
    }
}

/// Scores and areas, null where they do not exist.
fn to_json(scores: Option<Scores>, areas: Option<Areas>) -> Value {
    json!({
        "precision": scores.map(|scores| scores.precision),
        "recall": scores.map(|scores| scores.recall),
        "f1": scores.map(|scores| scores.f1),
        "auc": areas.map(|areas| areas.auc),
        "average_precision": areas.map(|areas| areas.average_precision),
    })
}
