//! What the trained network makes of the test images.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use vgg_model::Heatmap;
use vgg_tensor::Backend;

use super::folder::RunFolder;
use crate::config::Config;
use crate::data::{Data, Part};
use crate::drawing::heatmap::overlay;
use crate::drawing::mosaic::{self, Tile};
use crate::drawing::thumbnail::Thumbnail;
use crate::machine::device::Job;
use crate::passes::evaluate::Evaluate;
use crate::run::tested::Tested;
use crate::scores::confusion::Confusion;
use crate::scores::mistakes::{least_certain, most_confident, of_cells};
use crate::scores::predictions::Predictions;
use crate::scores::scored::Scored;
use crate::signals::Stop;
use crate::terminal::ui::Ui;

/// Images that are shown of the most confident mistakes, and of the least certain images.
const SHOWN: usize = 24;
/// Cells of the confusion matrix whose images are shown, those with the most images …
const CELLS: usize = 40;
/// … and of each so many images.
const IN_CELL: usize = 6;
/// Of `mistakes.png`.
const COLUMNS: usize = 6;
/// Classes that are told of an image.
const TOLD: usize = 3;

/// A network's predictions, and images worth looking at.
#[derive(Debug)]
pub(crate) struct Examined {
    /// After which epoch the network was tested.
    pub epoch: u64,
    pub scored: Scored,
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
    /// The most confident mistakes as a picture, in PNG; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub(super) fn mistakes_png(&self) -> Result<Option<Vec<u8>>> {
        let names = &self.scored.names;
        let tile = |shown: &Shown| {
            let (class, probability) = *shown.told.first()?;
            Some(Tile::mistake(&shown.image, &names[shown.label], &names[class], probability))
        };
        let tiles: Vec<Tile> = self.mistakes.iter().filter_map(tile).collect();
        if tiles.is_empty() {
            return Ok(None);
        }
        Ok(Some(mosaic::picture("the most confident mistakes", COLUMNS, &tiles).png(1.5)?))
    }

    /// What `tested` says, and the images that are worth looking at, unless the images of the test are
    /// not there. `explain` tells where the network looks in an image for a class, if that is known.
    ///
    /// # Errors
    /// When an image cannot be read; those of `explain`.
    pub(super) fn of(
        tested: Tested,
        test: Option<&Part>,
        mut explain: impl FnMut(&[u8], usize) -> Result<Option<Heatmap>>,
    ) -> Result<Self> {
        let Tested { epoch, names, predictions } = tested;
        let scored = Scored::new(predictions, &names);
        let nothing = Self { epoch, scored, mistakes: vec![], uncertain: vec![], cells: vec![] };
        let Some(test) = test else { return Ok(nothing) };
        let predictions = &nothing.scored.predictions;
        let mistakes = most_confident(predictions, SHOWN);
        let uncertain = least_certain(predictions, SHOWN);
        let cells = largest_cells(predictions, &nothing.scored.evaluation.confusion);
        let explained: BTreeSet<usize> = mistakes.iter().chain(&uncertain).copied().collect();
        let in_cells = cells.iter().flat_map(|cell| &cell.images).copied();
        let numbers: BTreeSet<usize> = explained.iter().copied().chain(in_cells).collect();
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let mut shown = BTreeMap::new();
        test.look(&numbers, |number, pixels| {
            let prediction = predictions.get(number);
            let explained = prediction.class().filter(|_| explained.contains(&number));
            let map = explained.map(|class| explain(pixels, class)).transpose()?.flatten();
            let over = |map| Thumbnail::of_image(&overlay(pixels, test.shape(), &map), false);
            shown.insert(
                number,
                Shown {
                    number,
                    file: test.images.file(number).map(|file| file.display().to_string()),
                    label: prediction.label,
                    told: prediction.top(TOLD),
                    image: Thumbnail::of_pixels(pixels, test.shape())?,
                    explanation: map.map(over).transpose()?,
                },
            );
            Ok(())
        })?;
        let pick = |numbers: &[usize]| numbers.iter().map(|number| shown[number].clone()).collect();
        let cell = |cell: &CellImages| {
            let CellImages { label, predicted, count, ref images } = *cell;
            Cell { label, predicted, count, images: pick(images) }
        };
        Ok(Self {
            mistakes: pick(&mistakes),
            uncertain: pick(&uncertain),
            cells: cells.iter().map(cell).collect(),
            ..nothing
        })
    }
}

/// Looks closer at some test images with the best network of a run, which is tested if its test is not
/// at hand.
pub(super) struct Examine<'a> {
    evaluate: Evaluate<'a>,
    tested: Option<Tested>,
    stop: Option<&'a Stop>,
}

impl<'a> Examine<'a> {
    /// That of a run.
    ///
    /// # Errors
    /// If it has no checkpoint, or one that tells other classes apart.
    pub(super) fn of(
        run: &RunFolder,
        config: &'a Config,
        data: &'a Data,
        stop: Option<&'a Stop>,
        ui: &'a Ui,
    ) -> Result<Self> {
        let evaluate = Evaluate::best_of(&run.overview.path, config, &data.test, ui)?;
        let tested = run.tested().unwrap_or_else(|error| {
            ui.warn(&format!("{error:#}; the network is tested again"));
            None
        });
        let tested = tested.filter(|tested| {
            tested.epoch == evaluate.checkpoint.progress.epoch
                && tested.is_of(data.test.images.labels())
        });
        Ok(Self { evaluate, tested, stop })
    }
}

impl Job for Examine<'_> {
    /// Nothing if it was asked to stop.
    type Output = Option<Examined>;

    fn run<B: Backend>(self, backend: B) -> Result<Option<Examined>> {
        let Self { evaluate, tested, stop } = self;
        let (epoch, test) = (evaluate.checkpoint.progress.epoch, evaluate.test);
        let stop = || stop.and_then(Stop::requested);
        let (mut session, tested) = match tested {
            Some(tested) => (evaluate.session(backend)?, tested),
            None => {
                let tested = evaluate.test(backend, stop)?;
                let ControlFlow::Continue((session, tested)) = tested else { return Ok(None) };
                let predictions = tested.into_predictions();
                let predictions = predictions.context("the network classifies")?;
                (session, Tested { epoch, names: test.classes().to_vec(), predictions })
            }
        };
        let examined = Examined::of(tested, Some(test), |pixels, class| {
            match stop() {
                // The rest is soon done.
                Some(_) => Ok(None),
                None => Ok(Some(session.grad_cam(pixels, &[class as u32])?.remove(0))),
            }
        })?;
        Ok(stop().is_none().then_some(examined))
    }
}

/// A cell of the confusion matrix, and the first of its images by their numbers.
struct CellImages {
    label: usize,
    predicted: usize,
    count: u64,
    images: Vec<usize>,
}

/// The cells beside the diagonal with the most images, of equals the first.
fn largest_cells(predictions: &Predictions, confusion: &Confusion) -> Vec<CellImages> {
    let rows: Vec<&[u64]> = confusion.rows().collect();
    let cell = |((label, predicted), images): ((usize, usize), Vec<usize>)| {
        let count = rows[label][predicted];
        (label != predicted).then_some(CellImages { label, predicted, count, images })
    };
    let mut cells: Vec<_> = of_cells(predictions, IN_CELL).into_iter().filter_map(cell).collect();
    cells.sort_by_key(|cell| Reverse(cell.count));
    cells.truncate(CELLS);
    cells
}
