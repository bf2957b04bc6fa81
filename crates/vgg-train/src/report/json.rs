//! The numbers of a report, for programs.

use serde_json::{Value, json};

use super::Report;
use super::examined::{Cell, Examined, Shown};
use super::folder::RunFolder;
use crate::run::metrics::EpochRecord;
use crate::scores::ranking::Areas;
use crate::version::VERSION;

/// Changes when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

impl Report {
    /// All that the page shows but its images, which are in the page by the same numbers.
    pub(crate) fn to_json(&self) -> Value {
        let Self { folder, network, examined, .. } = self;
        let mut json = run(folder);
        json["schema"] = SCHEMA.into();
        json["program"] = format!("vgg-train {VERSION}").into();
        json["steps"] = json!(folder.steps);
        json["network"] = json!(network);
        json["tested"] = examined.as_ref().map_or(Value::Null, tested);
        json
    }
}

/// What a run's folder tells.
pub(super) fn run(folder: &RunFolder) -> Value {
    let epochs: Vec<&EpochRecord> = folder.epochs.iter().collect();
    json!({
        "name": folder.name,
        "state": folder.overview.state.name(),
        "config": folder.settings,
        "epochs": epochs,
    })
}

fn tested(examined: &Examined) -> Value {
    let Examined { evaluation, classes, areas, .. } = examined;
    let per_class = examined.per_class();
    let class = |(label, name): (usize, &String)| {
        let (scores, areas) = (&per_class.classes[label], areas[label]);
        json!({
            "class": name,
            "support": scores.support,
            "predicted": scores.predicted,
            "scores": scores.scores,
            "auc": areas.map(|areas| areas.auc),
            "average_precision": areas.map(|areas| areas.average_precision),
        })
    };
    let shown = |images: &[Shown]| images.iter().map(image).collect::<Vec<_>>();
    let cell = |Cell { label, predicted, count, images }: &Cell| {
        json!({ "label": label, "predicted": predicted, "count": count, "images": shown(images) })
    };
    let mean = Areas::macro_mean(areas);
    json!({
        "checkpoint": examined.checkpoint,
        "epoch": examined.epoch,
        "images": evaluation.images(),
        "loss": evaluation.loss(),
        "top1": evaluation.accuracy(),
        "top5": evaluation.top5(),
        "confusion": evaluation.confusion.rows().collect::<Vec<_>>(),
        "classes": classes.iter().enumerate().map(class).collect::<Vec<_>>(),
        "macro": per_class.macro_mean,
        "weighted": per_class.weighted_mean,
        "balanced_accuracy": per_class.balanced_accuracy,
        "auc": mean.map(|mean| mean.auc),
        "average_precision": mean.map(|mean| mean.average_precision),
        "calibration": examined.calibration(),
        "mistakes": shown(&examined.mistakes),
        "least_certain": shown(&examined.uncertain),
        "cells": examined.cells.iter().map(cell).collect::<Vec<_>>(),
    })
}

fn image(Shown { number, file, label, told, .. }: &Shown) -> Value {
    let told: Vec<Value> =
        told.iter().map(|(class, p)| json!({ "label": class, "probability": p })).collect();
    json!({ "image": number, "file": file, "label": label, "told": told })
}
