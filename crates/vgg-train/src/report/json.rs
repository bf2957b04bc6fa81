//! The numbers of a report, for programs.

use serde_json::{Value, json};
use vgg_data::boxes::BoundingBox;

use super::examined::{Cell, Examined, Shown};
use super::folder::RunFolder;
use super::located::{self, LocatedImages};
use super::{Look, Report};
use crate::version::VERSION;

/// Changes when a field changes its meaning or goes away.
pub(super) const SCHEMA: u32 = 1;

impl Report {
    /// All that the page shows but its images, which are in the page by the same numbers.
    pub(crate) fn to_json(&self) -> Value {
        let Self { folder, network, look: Look { seen, examined, located, .. }, .. } = self;
        let mut json = run(folder);
        json["schema"] = SCHEMA.into();
        json["program"] = format!("vgg-train {VERSION}").into();
        json["steps"] = json!(folder.steps);
        json["network"] = json!(network);
        let fed = seen.iter().flat_map(|seen| &seen.batch);
        json["batch"] = fed.map(|fed| Value::from(&*fed.label)).collect();
        json["tested"] = match (examined, located) {
            (Some(examined), _) => tested(examined),
            (None, Some(located)) => boxes(located),
            (None, None) => Value::Null,
        };
        json
    }
}

/// What a run's folder tells.
pub(super) fn run(folder: &RunFolder) -> Value {
    json!({
        "name": folder.name(),
        "state": folder.overview.state.name(),
        "processes": folder.processes,
        "config": folder.settings,
        "epochs": folder.overview.epochs,
    })
}

fn tested(examined: &Examined) -> Value {
    let shown = |images: &[Shown]| images.iter().map(image).collect::<Vec<_>>();
    let cell = |Cell { label, predicted, count, images }: &Cell| json!({ "label": label, "predicted": predicted, "count": count, "images": shown(images) });
    let mut json = examined.scored.to_json();
    json["epoch"] = examined.epoch.into();
    json["mistakes"] = shown(&examined.mistakes).into();
    json["least_certain"] = shown(&examined.uncertain).into();
    json["cells"] = examined.cells.iter().map(cell).collect();
    json
}

fn boxes(located: &LocatedImages) -> Value {
    let image = |it: &located::Shown| {
        json!({
            "image": it.number,
            "file": it.file,
            "label": it.label,
            "iou": it.iou,
            "box": it.predicted.map(|bounds| bounds.corners()),
            "true": it.objects.iter().map(BoundingBox::corners).collect::<Vec<_>>(),
        })
    };
    let mut json = located.localisation.to_json();
    json["epoch"] = located.epoch.into();
    json["worst"] = located.worst.iter().map(image).collect();
    json["best"] = located.best.iter().map(image).collect();
    json
}

fn image(Shown { number, file, label, told, .. }: &Shown) -> Value {
    let told: Vec<Value> =
        told.iter().map(|(class, p)| json!({ "label": class, "probability": p })).collect();
    json!({ "image": number, "file": file, "label": label, "told": told })
}
