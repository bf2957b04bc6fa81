//! What the trained network makes of the test images.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use vgg_model::Checkpoint;
use vgg_tensor::Backend;

use super::thumbnail::Thumbnail;
use crate::config::{self, Config};
use crate::data::{self, Data, Part};
use crate::drawing::heatmap::overlay;
use crate::failure::{Code, Failure};
use crate::machine::device::{self, Job};
use crate::machine::memory;
use crate::passes::evaluate;
use crate::run::checkpoints::{self, LinearWeights};
use crate::run::folder::Which;
use crate::scores::calibration::Calibration;
use crate::scores::confusion::Confusion;
use crate::scores::evaluation::Evaluation;
use crate::scores::mistakes::{least_certain, most_confident, of_cells};
use crate::scores::per_class::PerClass;
use crate::scores::predictions::Predictions;
use crate::scores::ranking::Areas;
use crate::signals::Stop;
use crate::terminal::throughput::images_line;
use crate::terminal::ui::Ui;

/// Images that are shown of the most confident mistakes, and of the least certain images.
const SHOWN: usize = 24;
/// Cells of the confusion matrix whose images are shown, those with the most images …
const CELLS: usize = 40;
/// … and of each so many images.
const IN_CELL: usize = 6;
/// Classes that are told of an image.
const TOLD: usize = 3;

/// A network's predictions, and images worth looking at.
#[derive(Debug)]
pub(crate) struct Examined {
    /// The checkpoint's file name.
    pub checkpoint: String,
    /// After which epoch it was saved.
    pub epoch: u64,
    pub classes: Vec<String>,
    pub predictions: Predictions,
    pub evaluation: Evaluation,
    pub areas: Vec<Option<Areas>>,
    pub mistakes: Vec<Shown>,
    pub uncertain: Vec<Shown>,
    pub cells: Vec<Cell>,
}

/// An image, and what it is taken for.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its number among the test images.
    pub number: usize,
    /// Where it is in its folder, if it is a file.
    pub file: Option<String>,
    pub label: usize,
    /// The most probable classes.
    pub told: Vec<(usize, f32)>,
    pub image: Thumbnail,
    /// Where the network looks for the most probable class.
    pub explanation: Option<Thumbnail>,
}

/// Images of a class that are taken for another one.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub label: usize,
    pub predicted: usize,
    /// All of them.
    pub count: u64,
    /// The first ones.
    pub images: Vec<Shown>,
}

impl Examined {
    pub(crate) fn confusion(&self) -> &Confusion {
        &self.evaluation.confusion
    }

    pub(crate) fn per_class(&self) -> PerClass {
        PerClass::of(self.confusion())
    }

    pub(crate) fn calibration(&self) -> Calibration {
        Calibration::of(&self.predictions)
    }
}

/// Tests the network of a checkpoint, and looks closer at some images.
pub(super) struct Examine<'a> {
    pub device: &'a config::Device,
    /// The checkpoint's file.
    pub path: PathBuf,
    pub checkpoint: Checkpoint,
    /// Images at once, if memory suffices.
    pub batch: usize,
    pub test: &'a Part,
    pub stop: Option<&'a Stop>,
    pub ui: &'a Ui,
}

impl<'a> Examine<'a> {
    /// That of the best network of the run in `path`.
    ///
    /// # Errors
    /// If it has no checkpoint, or one that tells other classes apart.
    pub(super) fn of(
        path: &Path,
        config: &'a Config,
        data: &'a Data,
        stop: Option<&'a Stop>,
        ui: &'a Ui,
    ) -> Result<Self> {
        let path = checkpoints::find(path, Which::Best)?;
        let checkpoint = checkpoints::load(&path)?;
        if !vgg_data::names::same(&checkpoint.classes, data.test.classes()) {
            let message = "the checkpoint tells other classes apart than the data set's";
            return Err(Failure::new(Code::Checkpoint, message).into());
        }
        let (device, batch, test) = (&config.device, config.train.batch_size, &data.test);
        Ok(Self { device, path, checkpoint, batch, test, stop, ui })
    }
}

impl Job for Examine<'_> {
    /// Nothing if it was asked to stop.
    type Output = Option<Examined>;

    fn run<B: Backend>(self, backend: B) -> Result<Option<Examined>> {
        let Self { device, path, checkpoint, batch, test, stop, ui } = self;
        let (epoch, input, classes) =
            (checkpoint.progress.epoch, checkpoint.input.clone(), test.classes().to_vec());
        device::tell(device, &backend, ui);
        let mut session = checkpoints::session(backend, checkpoint, LinearWeights::F32, 1)?;
        let batch = batch.min(test.len()).max(1);
        let batch = memory::largest_batch(&session, &session.vgg().clone(), &input, batch, None)?;
        session.set_input(&input, batch)?;
        let (start, all, loader) = (Instant::now(), test.len() as u64, test.loader(batch)?);
        let mut predictions = Predictions::new(classes.len());
        let ControlFlow::Continue(waited) = evaluate::predictions(
            test,
            &loader,
            |pixels| session.logits(pixels),
            |logits, labels| predictions.add(logits, labels),
            |done| ui.bar(done, all, &images_line(done, all)),
            || None::<Infallible>,
        )?;
        evaluate::tell(ui, all, start.elapsed(), waited);

        let evaluation = predictions.evaluation();
        let (mistakes, uncertain) =
            (most_confident(&predictions, SHOWN), least_certain(&predictions, SHOWN));
        let cells = largest_cells(&predictions, &evaluation.confusion);
        let numbers: BTreeSet<usize> = mistakes
            .iter()
            .chain(&uncertain)
            .chain(cells.iter().flat_map(|(_, numbers)| numbers))
            .copied()
            .collect();
        let closer: BTreeSet<usize> = mistakes.iter().chain(&uncertain).copied().collect();
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let part = test.subset(&numbers);
        let (shape, loader) = (part.shape(), part.loader(batch)?);
        let (mut epoch_of_part, mut shown) = (loader.epoch(0, 0), Vec::new());
        let unreadable = || data::unreadable(&part.images);
        while let Some(read) = epoch_of_part.next_batch().with_context(unreadable)? {
            for pixels in read.pixels.chunks_exact(shape.iter().product()) {
                let number = numbers[shown.len()];
                let prediction = predictions.get(number);
                let explanation = match prediction.class().filter(|_| closer.contains(&number)) {
                    None => None,
                    Some(class) => {
                        let map = &session.grad_cam(pixels, &[class as u32])?[0];
                        Some(Thumbnail::of_image(&overlay(pixels, shape, map), false)?)
                    }
                };
                shown.push(Shown {
                    number,
                    file: test.file(number),
                    label: prediction.label,
                    told: prediction.top(TOLD),
                    image: Thumbnail::of_pixels(pixels, shape)?,
                    explanation,
                });
            }
        }
        let pick = |chosen: &[usize]| -> Vec<Shown> {
            let places = chosen.iter().filter_map(|number| numbers.binary_search(number).ok());
            places.map(|place| shown[place].clone()).collect()
        };
        let cell = |((label, predicted), count, images): ((usize, usize), u64, Vec<usize>)| Cell {
            label,
            predicted,
            count,
            images: pick(&images),
        };
        Ok(Examined {
            checkpoint: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            epoch,
            areas: Areas::of_classes(&predictions),
            mistakes: pick(&mistakes),
            uncertain: pick(&uncertain),
            cells: cells.into_iter().map(|(cell, images)| (cell.0, cell.1, images)).map(cell).collect(),
            classes,
            predictions,
            evaluation,
        })
    }
}

/// The cells beside the diagonal with the most images, and the first of these; of equals the first.
#[allow(clippy::type_complexity)]
fn largest_cells(
    predictions: &Predictions,
    confusion: &Confusion,
) -> Vec<(((usize, usize), u64), Vec<usize>)> {
    let images = of_cells(predictions, IN_CELL).into_iter();
    let rows: Vec<&[u64]> = confusion.rows().collect();
    let mut cells: Vec<_> = images
        .filter(|((label, predicted), _)| label != predicted)
        .map(|(cell, images)| ((cell, rows[cell.0][cell.1]), images))
        .collect();
    cells.sort_by_key(|((_, count), _)| std::cmp::Reverse(*count));
    cells.truncate(CELLS);
    cells
}
