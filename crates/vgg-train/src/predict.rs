//! `predict RUN FILES…`: what a trained network sees in image files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vgg_data::Picture;
use vgg_model::{Checkpoint, Input};
use vgg_tensor::Backend;

use crate::cli::{LinearWeights, Network};
use crate::config::{self, Override};
use crate::data;
use crate::device::{self, Job};
use crate::exit::{Code, Failure};
use crate::print;
use crate::run_dir::CONFIG;
use crate::stored;
use crate::ui::Ui;

/// Images of one size are classified together, but not more than these at once.
const MAX_BATCH: usize = 32;

/// What is asked for.
pub(crate) struct Request<'a> {
    pub run: &'a Path,
    pub files: &'a [PathBuf],
    pub network: Network,
    pub top: usize,
    pub json: bool,
}

/// `predict RUN FILES…`.
pub(crate) fn command(request: &Request<'_>, overrides: &[Override], ui: &Ui) -> Result<()> {
    // A run's config need not be there: a checkpoint alone will do.
    let device = config::device(overrides)?;
    let Network { checkpoint, linear_weights } = request.network;
    let checkpoint = stored::load(&stored::find(request.run, checkpoint)?)?;
    let channels = checkpoint.input.channels;
    let classes = names_of_classes(&checkpoint);
    // Which images a network was trained on, its run knows.
    let transform = match request.run.join(CONFIG) {
        path if path.is_file() => data::prediction(&config::load(&path, vec![])?.config)?,
        _ => None,
    };
    // All files first: a wrong one is told before anything is computed or printed.
    let images = request
        .files
        .iter()
        .map(|file| {
            let picture = Picture::read(file, channels)?;
            Ok(match &transform {
                Some(transform) => transform.scale(picture),
                None => picture,
            })
        })
        .collect::<vgg_tensor::Result<Vec<_>>>()
        .context(Failure::new(Code::Data, "cannot read an image"))?;
    let job = Classify { device: &device, checkpoint, linear_weights, images: &images, ui };
    let probabilities = device::run(&device, job)?;
    for (file, probabilities) in request.files.iter().zip(&probabilities) {
        let ranked = rank(probabilities, request.top);
        if request.json {
            print::json(&to_json(file, &ranked, &classes))?;
        } else {
            print::lines(to_text(file, &ranked, &classes))?;
        }
    }
    Ok(())
}

/// The names of the classes, or their numbers where a library's user gave them no names.
fn names_of_classes(checkpoint: &Checkpoint) -> Vec<String> {
    if checkpoint.classes.is_empty() {
        return (0..checkpoint.vgg.classes).map(|class| format!("class {class}")).collect();
    }
    checkpoint.classes.clone()
}

/// The probabilities of each image's classes.
struct Classify<'a> {
    device: &'a config::Device,
    checkpoint: Checkpoint,
    linear_weights: LinearWeights,
    images: &'a [Picture],
    ui: &'a Ui,
}

impl Job for Classify<'_> {
    type Output = Vec<Vec<f32>>;

    fn run<B: Backend>(self, backend: B) -> Result<Vec<Vec<f32>>> {
        let Self { device, checkpoint, linear_weights, images, ui } = self;
        device::tell(device, &backend, ui);
        let mut sizes: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (i, Picture { h, w, .. }) in images.iter().enumerate() {
            sizes.entry((*h, *w)).or_default().push(i);
        }
        let batch = |same_size: &Vec<usize>| same_size.len().min(MAX_BATCH);
        let max_batch = sizes.values().map(batch).max().unwrap_or(1);
        let input = checkpoint.input.clone();
        let mut session = stored::session(backend, checkpoint, linear_weights, max_batch)?;
        let classes = session.vgg().config().classes;
        let mut probabilities = vec![Vec::new(); images.len()];
        for ((height, width), indices) in sizes {
            // The network's input has one size; what arrives may have any, and is resized from there.
            session.set_input(&Input { height, width, ..input.clone() }, batch(&indices))?;
            let pixels: Vec<u8> = indices.iter().flat_map(|i| images[*i].planes()).collect();
            for (i, row) in indices.iter().zip(session.probabilities(&pixels)?.chunks(classes)) {
                probabilities[*i] = row.to_vec();
            }
        }
        Ok(probabilities)
    }
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
