//! Where the trained network sees the objects of the test images.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use vgg_data::boxes::BoundingBox;
use vgg_tensor::Backend;

use super::folder::RunFolder;
use crate::config::Config;
use crate::data::{self, Data, Part};
use crate::drawing::thumbnail::Thumbnail;
use crate::machine::device::Job;
use crate::passes::evaluate::Evaluate;
use crate::scores::localisation::Localisation;
use crate::scores::tested::Tested;
use crate::signals::Stop;
use crate::terminal::ui::Ui;

/// Images that are shown of the worst boxes, and of the best.
const SHOWN: usize = 24;

/// What a network that locates says of the test images, and images worth looking at.
#[derive(Debug)]
pub(crate) struct LocatedImages {
    /// After which epoch the network was tested.
    pub epoch: u64,
    /// The names of the classes.
    pub names: Vec<String>,
    pub localisation: Localisation,
    /// Those of the smallest intersection over union, the smallest first …
    pub worst: Vec<Shown>,
    /// … and of the largest.
    pub best: Vec<Shown>,
}

/// An image with its boxes, in its own pixels.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its number among the test images.
    pub number: usize,
    /// Where it is in its folder, if it is a file.
    pub file: Option<String>,
    pub label: usize,
    pub image: Thumbnail,
    /// Height and width.
    pub size: [usize; 2],
    pub objects: Vec<BoundingBox>,
    pub predicted: Option<BoundingBox>,
    pub iou: f64,
}

/// Tests the best network of a run, and looks at images.
pub(super) struct LookAtBoxes<'a> {
    evaluate: Evaluate<'a>,
    stop: Option<&'a Stop>,
}

impl<'a> LookAtBoxes<'a> {
    /// That of a run.
    ///
    /// # Errors
    /// If it has no checkpoint, or one of other classes.
    pub(super) fn of(
        run: &RunFolder,
        config: &'a Config,
        data: &'a Data,
        stop: Option<&'a Stop>,
        ui: &'a Ui,
    ) -> Result<Self> {
        let evaluate = Evaluate::best_of(&run.overview.path, config, &data.test, ui)?;
        Ok(Self { evaluate, stop })
    }
}

impl Job for LookAtBoxes<'_> {
    /// Nothing if it was asked to stop.
    type Output = Option<LocatedImages>;

    fn run<B: Backend>(self, backend: B) -> Result<Self::Output> {
        let Self { evaluate, stop } = self;
        let (epoch, test) = (evaluate.checkpoint.progress.epoch, evaluate.test);
        let tested = evaluate.test(backend, || stop.and_then(Stop::requested))?;
        let ControlFlow::Continue((_, Tested::Boxes(localisation))) = tested else {
            return Ok(None);
        };
        let mut order: Vec<usize> = (0..localisation.images().len()).collect();
        let iou = |i: usize| localisation.images()[i].iou(1);
        order.sort_by(|a, b| iou(*a).total_cmp(&iou(*b)));
        let worst = order.iter().take(SHOWN).map(|i| shown(test, &localisation, *i));
        let worst = worst.collect::<Result<_>>()?;
        let best = order.iter().rev().take(SHOWN).map(|i| shown(test, &localisation, *i));
        let best = best.collect::<Result<_>>()?;
        let names = test.classes().to_vec();
        Ok(Some(LocatedImages { epoch, names, localisation, worst, best }))
    }
}

fn shown(test: &Part, localisation: &Localisation, number: usize) -> Result<Shown> {
    let located = &localisation.images()[number];
    let picture = test.images.picture(number);
    let picture = picture.with_context(|| data::unreadable(&test.images))?;
    let size = [picture.h, picture.w];
    Ok(Shown {
        number,
        file: test.images.file(number).map(|file| file.display().to_string()),
        label: located.label as usize,
        image: Thumbnail::of_picture(picture)?,
        size,
        objects: located.objects.clone(),
        predicted: located.guesses.first().and_then(|guess| guess.bounds),
        iou: located.iou(1),
    })
}
