//! Image files, each classified.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use image::RgbImage;
use serde_json::{Value, json};
use vgg_data::{Decoding, Epoch, Images, Loader, Transform, is_animation};
use vgg_model::{Checkpoint, Input, Session};
use vgg_tensor::Backend;

use super::shown::of_each;
use crate::config;
use crate::drawing::heatmap::overlay;
use crate::failure::{Code, Failure};
use crate::machine::device::{self, Job};
use crate::machine::memory;
use crate::run::checkpoints::{self, LinearWeights};
use crate::scores::posteriors::Posteriors;
use crate::terminal::ui::Ui;

/// Files to classify, found as they are asked for.
type Files<'a> = dyn Iterator<Item = vgg_tensor::Result<PathBuf>> + 'a;

/// Images that are classified at once, if memory suffices and the device gains by it.
const BATCH: usize = 128;

/// The same where they are explained, too, in memory that a plan does not count.
const EXPLAINED: usize = 16;

/// Files that are asked for at once. While some are classified, the next ones are made ready.
const FILES: usize = 1024;

/// Classifies files one after the other, in memory that does not depend on how many there are: each
/// thread decodes one and scales it at once, and what is scaled is no more than a few batches ahead.
pub(crate) struct Classify<'a> {
    pub device: &'a config::Device,
    pub checkpoint: Checkpoint,
    pub linear_weights: LinearWeights,
    /// In this order. What cannot be found is told, and others go on.
    pub files: &'a mut Files<'a>,
    pub decoding: Decoding,
    /// To views of the network's size, whose posteriors are averaged.
    pub transform: Transform,
    /// What that is, in words.
    pub described: String,
    /// Whether images are shown with where the network sees their most probable class.
    pub explain: bool,
    pub tell: &'a dyn Fn(Classified<'_>) -> Result<()>,
    pub ui: &'a Ui,
}

/// What a network sees in a file, if that can be read.
pub(crate) struct Classified<'a> {
    /// The file's place among all that were found.
    pub place: usize,
    pub file: &'a Path,
    /// Of each class, or why the file cannot be read, which is said on standard error as well.
    pub probabilities: Result<&'a [f32], &'a str>,
    /// The image, and where the network sees its most probable class, if that is asked for.
    pub picture: Option<RgbImage>,
}

/// How many files there were.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub files: usize,
    /// Those that could not be read.
    pub unreadable: usize,
    /// Those of which the network's outputs are no numbers.
    pub without: usize,
}

impl Tally {
    /// The next files of `files`, up to so many; none at their end.
    pub(crate) fn next(&mut self, files: &mut Files<'_>, ui: &Ui) -> Vec<PathBuf> {
        let mut found = Vec::new();
        while found.len() < FILES
            && let Some(file) = files.next()
        {
            self.files += 1;
            match file {
                Ok(file) => found.push(file),
                Err(error) => self.pass(&error.to_string(), ui),
            }
        }
        found
    }

    /// Tells of a file that cannot be read.
    pub(crate) fn pass(&mut self, reason: &str, ui: &Ui) {
        ui.error(&anyhow!("{reason}"));
        self.unreadable += 1;
    }
}

impl Job for Classify<'_> {
    type Output = Tally;

    fn run<B: Backend>(self, backend: B) -> Result<Tally> {
        let Self { device, checkpoint, linear_weights, files, decoding, transform, .. } = self;
        let Self { described, explain, tell, ui, .. } = self;
        device::tell(device, &backend, ui);
        ui.status("Input", &described);
        let mut tally = Tally::default();
        let first = tally.next(files, ui);
        let most = if explain { EXPLAINED } else { BATCH };
        let (views, shape) = (transform.views(), transform.shape());
        let most = (first.len() * views).clamp(1, most);
        let (mut session, batch) = prepared(backend, checkpoint, linear_weights, &transform, most)?;
        let (outputs, at_once) = (session.vgg().outputs(), (batch / views).max(1));
        let start = |files: Vec<PathBuf>| -> Result<Option<(Vec<PathBuf>, Epoch)>> {
            if files.is_empty() {
                return Ok(None);
            }
            let images = Images::from_files(&files, decoding);
            let loader = Loader::new(images, transform.clone(), at_once, device.threads)?;
            Ok(Some((files, loader.passing_over().epoch(0, 0))))
        };
        let (mut started, mut place, mut told_animation) = (start(first)?, 0, false);
        while let Some((paths, mut batches)) = started {
            started = start(tally.next(files, ui))?;
            let mut paths = paths.iter();
            while let Some(batch) = batches.next_batch()? {
                let logits = session.logits(&batch.pixels)?;
                let of_image = logits.chunks_exact(views * outputs);
                let probabilities: Vec<_> =
                    of_image.flat_map(|views| Posteriors::of(views, outputs)).collect();
                // An image as it is is the first of its views.
                let len = shape.iter().product::<usize>();
                let first = batch.pixels.chunks_exact(views * len).map(|views| &views[..len]);
                let maps = match explain {
                    true => {
                        let each = probabilities.chunks_exact(outputs);
                        let classes: Vec<u32> =
                            each.map(|each| rank(each, 1)[0].0 as u32).collect();
                        session.grad_cam(&first.clone().collect::<Vec<_>>().concat(), &classes)?
                    }
                    false => vec![],
                };
                let picture = |place: usize| {
                    Some(overlay(first.clone().nth(place)?, shape, maps.get(place)?))
                };
                let each = of_each(batch, &probabilities, outputs).enumerate();
                for ((in_batch, probabilities), file) in each.zip(&mut paths) {
                    if !told_animation && is_animation(file) {
                        let file = file.display();
                        ui.detail(&format!("the first frame of an animation is the image: {file}"));
                        told_animation = true;
                    }
                    let without;
                    let (probabilities, picture) = match probabilities {
                        Ok(numbers) if numbers.iter().any(|number| number.is_nan()) => {
                            let file = file.display();
                            without = format!("{file}: an output is infinite or no number");
                            ui.error(&anyhow!("{without}"));
                            tally.without += 1;
                            (Err(without.as_str()), None)
                        }
                        Ok(_) => (probabilities, picture(in_batch)),
                        Err(reason) => {
                            tally.pass(reason, ui);
                            (probabilities, None)
                        }
                    };
                    tell(Classified { place, file, probabilities, picture })?;
                    place += 1;
                }
            }
        }
        Ok(tally)
    }
}

/// A checkpoint's network for images that `transform` makes, up to `most` at once, and how many there is
/// memory for.
pub(crate) fn prepared<B: Backend>(
    backend: B,
    checkpoint: Checkpoint,
    linear_weights: LinearWeights,
    transform: &Transform,
    most: usize,
) -> Result<(Session<B>, usize)> {
    let [_, height, width] = transform.shape();
    let input = Input { height, width, ..checkpoint.input.clone() };
    let mut session = checkpoints::session(backend, checkpoint, linear_weights, 1)?;
    let vgg = session.vgg().clone();
    let batch = memory::largest_batch(&session, &vgg, &input, most, None)?;
    session.set_input(&input, batch)?;
    Ok((session, batch))
}

/// The names of the classes, or their numbers where a library's user gave them no names.
pub(crate) fn class_names(checkpoint: &Checkpoint) -> Vec<String> {
    if checkpoint.classes.is_empty() {
        return (0..checkpoint.vgg.classes).map(|class| format!("class {class}")).collect();
    }
    checkpoint.classes.clone()
}

/// The most probable classes and their probabilities; the lower class first where they are equal.
pub(crate) fn rank(probabilities: &[f32], top: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<_> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.truncate(top);
    ranked
}

/// Such classes for programs.
pub(crate) fn predictions(ranked: &[(usize, f32)], classes: &[String]) -> Value {
    let prediction = |(class, p): &(usize, f32)| json!({ "class": classes[*class], "label": class, "probability": p });
    ranked.iter().map(prediction).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_come_first() {
        assert_eq!(rank(&[0.125, 0.5, 0.125, 0.25], 3), [(1, 0.5), (3, 0.25), (0, 0.125)]);
        assert_eq!(rank(&[1.0], 5), [(0, 1.0)]);
    }
}
