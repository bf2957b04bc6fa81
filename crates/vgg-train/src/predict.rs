//! `predict RUN FILES…`: what a trained network sees in image files.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use vgg_data::{Images, Loader, Transform};
use vgg_model::{Checkpoint, Input};
use vgg_tensor::Backend;

use crate::cli::{LinearWeights, Network};
use crate::config::{self, Override};
use crate::data;
use crate::device::{self, Job};
use crate::exit::{Code, Failure};
use crate::ui::Ui;
use crate::{memory, print, stored};

/// Images that are classified at once, if memory suffices.
const BATCH: usize = 16;

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
    let classes = names_of_classes(&checkpoint);
    let (input, transform) = data::prediction(request.run, &checkpoint)?;
    let described = describe(&input, checkpoint.vgg.input);
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

/// The failure of files that could not be read, each of which was told.
pub(crate) fn unreadable(count: usize, of: usize) -> Result<()> {
    let message = match (count, of) {
        (0, _) => return Ok(()),
        (_, 1) => "the file could not be read".to_owned(),
        _ => format!("{count} of {of} files could not be read"),
    };
    Err(Failure::new(Code::Data, message).into())
}

/// How images become a network's input of channels, height and width, in words.
pub(crate) fn describe(input: &Input, [_, h, w]: [usize; 3]) -> String {
    let Input { mean, std, .. } = input;
    let scaled = match input.short_side {
        Some(side) => format!("scaled to a short side of {side}, {h}×{w} cut from the centre"),
        None => format!("stretched to {h}×{w}"),
    };
    format!("images {scaled}, less {mean:?}, divided by {std:?}")
}

/// The names of the classes, or their numbers where a library's user gave them no names.
fn names_of_classes(checkpoint: &Checkpoint) -> Vec<String> {
    if checkpoint.classes.is_empty() {
        return (0..checkpoint.vgg.classes).map(|class| format!("class {class}")).collect();
    }
    checkpoint.classes.clone()
}

/// Classifies files one after the other, in memory that does not depend on how many there are: each
/// thread decodes one and scales it at once, and what is scaled is no more than a few batches ahead.
struct Classify<'a> {
    device: &'a config::Device,
    checkpoint: Checkpoint,
    linear_weights: LinearWeights,
    files: &'a [PathBuf],
    /// To the network's size.
    transform: Transform,
    /// What that is, in words.
    described: String,
    /// Is given a file and the probabilities of its classes.
    tell: &'a dyn Fn(&Path, &[f32]) -> Result<()>,
    ui: &'a Ui,
}

impl Job for Classify<'_> {
    /// How many files could not be read.
    type Output = usize;

    fn run<B: Backend>(self, backend: B) -> Result<usize> {
        let Self { device, checkpoint, linear_weights, files, transform, described, tell, ui } =
            self;
        device::tell(device, &backend, ui);
        ui.status("Input", &described);
        let [_, height, width] = transform.shape();
        let input = Input { height, width, ..checkpoint.input.clone() };
        let mut session = stored::session(backend, checkpoint, linear_weights, 1)?;
        let (vgg, most) = (session.vgg().clone(), files.len().clamp(1, BATCH));
        let batch = memory::largest_batch(&session, &vgg, &input, most, None)?;
        session.set_input(&input, batch)?;
        let images = Images::from_files(files, input.channels);
        let loader = Loader::new(images, transform, batch, device.threads)?.passing_over();
        let (mut batches, mut files, mut passed) = (loader.epoch(0, 0), files.iter(), 0);
        while let Some(batch) = batches.next_batch()? {
            let probabilities = session.probabilities(&batch.pixels)?;
            let each = probabilities.chunks_exact(vgg.outputs()).zip(&mut files);
            let mut unreadable = batch.unreadable.iter().peekable();
            for (place, (probabilities, file)) in each.enumerate() {
                match unreadable.next_if(|(at, _)| *at == place) {
                    Some((_, reason)) => {
                        ui.error(&anyhow!("{reason}"));
                        passed += 1;
                    }
                    None => tell(file, probabilities)?,
                }
            }
        }
        Ok(passed)
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
