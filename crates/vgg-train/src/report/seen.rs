//! What is trained on: some images of each class, and the first batch as training had it.

use anyhow::{Context as _, Result};

use crate::config::Config;
use crate::data::{self, Data};
use crate::drawing::thumbnail::Thumbnail;

/// Classes of which images are shown …
const CLASSES: usize = 24;
/// … and of each class so many.
const IMAGES: usize = 8;
/// Images of the first batch that are shown.
const BATCH: usize = 64;

/// Images of a run's data set.
#[derive(Debug)]
pub(crate) struct Seen {
    pub classes: Vec<ClassImages>,
    /// Classes that are left out.
    pub more_classes: usize,
    /// What the first step had, as far as it is shown.
    pub batch: Vec<Fed>,
    /// Images of that batch.
    pub batch_size: usize,
}

/// A class in training.
#[derive(Debug)]
pub(crate) struct ClassImages {
    pub name: String,
    /// Its images, to train on.
    pub count: usize,
    /// The first of them.
    pub images: Vec<Thumbnail>,
}

/// An image of a training batch.
#[derive(Debug)]
pub(crate) struct Fed {
    /// What it is said to be.
    pub label: String,
    pub image: Thumbnail,
}

impl Seen {
    pub(crate) fn of(config: &Config, data: &Data) -> Result<Self> {
        let (images, names) = (&data.train.images, data.train.classes());
        let mut places = vec![vec![]; names.len()];
        for (place, label) in images.labels().iter().enumerate() {
            places[*label as usize].push(place);
        }
        let class = |(name, places): (&String, &Vec<usize>)| -> Result<_> {
            let first = places.iter().take(IMAGES);
            let shown = first
                .map(|place| Thumbnail::of_picture(images.picture(*place)?))
                .collect::<Result<_>>()?;
            Ok(ClassImages { name: name.clone(), count: places.len(), images: shown })
        };
        let classes = names.iter().zip(&places).take(CLASSES).map(class);
        let (batch, batch_size) = first_batch(config, data)?;
        Ok(Self {
            classes: classes.collect::<Result<_>>()?,
            more_classes: names.len().saturating_sub(CLASSES),
            batch,
            batch_size,
        })
    }
}

/// The first images of the first step, augmented and mixed as they were, and how many it had.
fn first_batch(config: &Config, data: &Data) -> Result<(Vec<Fed>, usize)> {
    let part = &data.train;
    let loader = part.loader(config.train.batch_size)?.shuffled(config.train.seed);
    let mut epoch = loader.epoch(0, 0);
    let unreadable = || data::unreadable(&part.images);
    let Some(batch) = epoch.next_batch().with_context(unreadable)? else {
        return Ok((vec![], 0));
    };
    let (shape, names) = (part.shape(), part.classes());
    let pixels = batch.pixels.chunks_exact(shape.iter().product());
    let fed = pixels.zip(&batch.labels).enumerate().take(BATCH).map(|(i, (pixels, label))| {
        let own = &names[*label as usize];
        let label = match batch.mix.get(i) {
            None => own.clone(),
            Some((other, share)) => {
                let percent = 100.0 * share;
                format!("{own} with {percent:.0} % {}", names[*other as usize])
            }
        };
        Ok(Fed { label, image: Thumbnail::of_pixels(pixels, shape)? })
    });
    Ok((fed.collect::<Result<_>>()?, batch.labels.len()))
}
