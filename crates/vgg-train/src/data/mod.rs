//! The images of a run: those of a folder, or Fashion-MNIST's, fetched if they are not there.

mod check;
mod fashion;
mod folder;
mod statistics;

use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_data::{Augment, ColorShift, Erase, Images, Loader, Mixup, Transform};
use vgg_model::{Checkpoint, Input};

use crate::config::{self, Config, DatasetName};
use crate::exit::{Code, Failure};
use crate::memory::Host;
use crate::run_dir::CONFIG;
use crate::ui::{Ui, count, grouped};
pub(crate) use check::command as check;
pub(crate) use fashion::folder as fashion_folder;
pub(crate) use folder::{STATISTICS_OF, load_noted};
pub(crate) use statistics::command as statistics;

/// What is trained on and what is tested on.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub train: Part,
    pub test: Part,
}

impl Data {
    /// Host memory of training on batches of `batch` images and testing on `test_batch`.
    pub(crate) fn memory(&self, batch: usize, test_batch: usize) -> Result<Host> {
        let (train, test) = (self.train.loader(batch)?, self.test.loader(test_batch)?);
        // A part of the images that the other part is held out of has the same in memory.
        let data = self.train.images.bytes_with(&self.test.images);
        Ok(Host { data, batches: train.bytes().max(test.bytes()), held: data })
    }
}

/// Images, and how they become a network's input.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub images: Images,
    transform: Transform,
    mixup: Option<Mixup>,
    threads: usize,
}

impl Part {
    /// Batches of these images in stored order.
    pub(crate) fn loader(&self, batch_size: usize) -> Result<Loader> {
        let (images, transform) = (self.images.clone(), self.transform.clone());
        let loader = Loader::new(images, transform, batch_size, self.threads)?;
        Ok(match self.mixup {
            Some(mixup) => loader.mixed(mixup),
            None => loader,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    pub(crate) fn classes(&self) -> &[String] {
        self.images.classes()
    }
}

/// Opens the images of a config.
///
/// # Errors
/// With [`Code::Data`]; the message says what was tried and what to do.
pub(crate) fn open(config: &Config, ui: &Ui) -> Result<Data> {
    require(config)?;
    let data = &config.data;
    let (name, [train, test]) = match data.is_folder() {
        true => folder::open(data, ui)?,
        false => fashion::open(data, ui)?,
    };
    let limited = |images: Images, limit: Option<usize>| match limit {
        Some(n) => images.take(n),
        None => images,
    };
    // Held out of all: a limit then changes what is trained on, not what is tested on.
    let (train, test, test_name) = match data.hold_out {
        Some(n) => {
            let (train, held_out) = train
                .hold_out(n)
                .context(Failure::new(Code::Usage, "data.hold_out leaves nothing to train on"))?;
            (train, held_out, "held out")
        }
        None => (train, test, "test"),
    };
    let (train, test) = (limited(train, data.train_limit), limited(test, data.test_limit));

    let side = config.model.image_size;
    let [c, h, w] = data.image_shape(side);
    let numbers = [&train, &test].map(|images| grouped(images.len() as u64));
    let [n_train, n_test] = numbers;
    let classes = count(train.classes().len() as u64, "class");
    ui.status(
        "Dataset",
        &format!("{name}: {n_train} train, {n_test} {test_name}, {classes}, {c}×{h}×{w}"),
    );
    let transform = |short_side| match data.is_folder() {
        true => Transform::scaled([c, h, w], short_side),
        false => Ok(Transform::same_size([c, h, w])),
    };
    let mixup = data.augment.mixup;
    let threads = config.device.threads;
    Ok(Data {
        train: Part {
            images: train,
            transform: transform(data.train_short_side(side))?.with(augment(data, c)?)?,
            mixup: (mixup > 0.0).then(|| Mixup::new(mixup)).transpose()?,
            threads,
        },
        test: Part {
            images: test,
            transform: transform([data.test_short_side(side); 2])?,
            mixup: None,
            threads,
        },
    })
}

/// Why there is no batch of `images`, as the context of the reason.
pub(crate) fn unreadable(images: &Images) -> Failure {
    let failure = Failure::new(Code::Data, "cannot read an image");
    match images.folder() {
        Some(_) => failure.help(folder::DAMAGED_HELP),
        None => failure,
    }
}

/// How images to predict are scaled and cut for the network of a run or of a checkpoint alone: as
/// when it is tested, or stretched.
///
/// # Errors
/// If the run's config is none.
pub(crate) fn prediction(run: &Path, checkpoint: &Checkpoint) -> Result<(Input, Transform)> {
    let short_side = match run.join(CONFIG) {
        path if path.is_file() => {
            let config = config::load(&path, vec![])?.config;
            config.data.short_side_of_network(config.model.image_size)
        }
        _ => checkpoint.input.short_side,
    };
    let [_, h, w] = checkpoint.vgg.input;
    let shape = [checkpoint.input.channels, h, w];
    let transform = match short_side {
        Some(short_side) => Transform::scaled(shape, [short_side; 2])?,
        None => Transform::resized(shape),
    };
    Ok((Input { short_side, ..checkpoint.input.clone() }, transform))
}

/// Refuses a config without a data set.
pub(crate) fn require(config: &Config) -> Result<()> {
    if config.data.dataset != DatasetName::None {
        return Ok(());
    }
    let message = "the run has no data set: it was imported without one";
    let help = "--set data.dataset=image-folder --set data.folder=FOLDER evaluates it on images; \
                import --config CONFIG makes a run that can be trained on";
    Err(Failure::new(Code::Usage, message).help(help).into())
}

fn augment(data: &config::Data, channels: usize) -> Result<Augment> {
    let config::Augment { random_crop, flip, pad_crop, color_shift, random_erasing, .. } =
        data.augment;
    let color = match (color_shift > 0.0, data.augment.color_values, data.augment.color_vectors) {
        (false, ..) => None,
        (true, Some(values), Some(vectors)) => {
            Some(ColorShift { std: color_shift, values, vectors })
        }
        // Noted before anything is opened.
        (true, ..) => {
            let message = "data.augment.color_shift needs color_values and color_vectors";
            return Err(Failure::new(Code::Usage, message).into());
        }
    };
    let mean = data.mean.iter().cycle().take(channels);
    let erase = (random_erasing > 0.0).then(|| Erase {
        probability: random_erasing,
        fill: mean.map(|mean| (255.0 * mean).round().clamp(0.0, 255.0) as u8).collect(),
    });
    Ok(Augment { random_crop, flip, pad_crop, color, erase })
}
