//! The images of a run: those of a folder or a pack, or Fashion-MNIST's, fetched if they are not there.

use anyhow::{Context as _, Result};
use vgg_data::{
    Augment, AutoAugment, ColorJitter, ColorShift, CutMix, Erase, Images, Mixup, ResizedCrop,
    Transform,
};

use super::images::{Data, Part};
use super::{fashion, folder, pack};
use crate::config::{self, Config, DatasetName, Sampler};
use crate::failure::{Code, Failure};
use crate::terminal::numbers::{count, grouped};
use crate::terminal::ui::Ui;

/// Classes that a warning names; it counts the others.
const NAMED: usize = 5;

/// Opens the images of a config.
///
/// # Errors
/// With [`Code::Data`]; the message says what was tried and what to do.
pub(crate) fn open(config: &Config, ui: &Ui) -> Result<Data> {
    require(config)?;
    let data = &config.data;
    let (name, [train, test]) = match data.dataset {
        DatasetName::ImageFolder => folder::open(data, ui)?,
        DatasetName::Pack => pack::open(data, ui)?,
        _ => fashion::open(data, ui)?,
    };
    let limited = |images: Images, limit: Option<usize>| match limit {
        Some(n) => images.take(n),
        None => images,
    };
    // Held out of all: a limit then changes what is trained on, not what is tested on.
    let (train, test, test_name) = match held_out(train, data)? {
        (train, Some(held_out)) => (train, held_out, "held out"),
        (train, None) => (train, test, "test"),
    };
    let untested = untested(&test);
    let (train, test) = (limited(train, data.train_limit), limited(test, data.test_limit));
    for (images, what) in [(&train, "train"), (&test, "test")] {
        if images.is_empty() {
            let failure = Failure::new(Code::Data, format!("there is no image to {what} on"));
            let help = "of classes with few images, data.split may leave none: take a larger share, or more images";
            return Err(failure.help(help).into());
        }
    }

    let side = config.model.image_size;
    let [c, h, w] = data.image_shape(side);
    let numbers = [&train, &test].map(|images| grouped(images.len() as u64));
    let [n_train, n_test] = numbers;
    let classes = count(train.classes().len() as u64, "class");
    ui.status(
        "Dataset",
        &format!("{name}: {n_train} train, {n_test} {test_name}, {classes}, {c}×{h}×{w}"),
    );
    if let Some(untested) = untested {
        ui.warn(&untested);
    }
    let transform = |short_side| match data.has_any_size() {
        true => Transform::scaled([c, h, w], short_side),
        false => Ok(Transform::same_size([c, h, w])),
    };
    let train_transform = match data.augment.resized_crop {
        Some(config::ResizedCrop { scale, ratio }) => {
            Transform::resized_crop([c, h, w], ResizedCrop { scale, ratio })?
        }
        None => transform(data.train_short_side(side))?,
    };
    let config::Augment { mixup, cutmix, .. } = data.augment;
    let threads = config.device.threads;
    let opened = Data {
        train: Part {
            images: train,
            transform: train_transform.with(augment(data, c)?)?,
            mixup: (mixup > 0.0).then(|| Mixup::new(mixup)).transpose()?,
            cutmix: (cutmix > 0.0).then(|| CutMix::new(cutmix)).transpose()?,
            balanced: data.sampler == Sampler::Balanced,
            located: data.boxes.is_some(),
            threads,
        },
        test: Part {
            images: test,
            transform: transform([data.test_short_side(side); 2])?,
            mixup: None,
            cutmix: None,
            balanced: false,
            located: false,
            threads,
        },
    };
    if data.boxes.is_some() {
        tell_unseen(&opened.test, ui)?;
    }
    Ok(opened)
}

/// Says of how many test images nothing of the object is in what the network sees.
///
/// # Errors
/// If it is so of all.
fn tell_unseen(test: &Part, ui: &Ui) -> Result<()> {
    let all = test.images.len();
    let mut unseen = 0;
    for i in 0..all {
        let seen = test.crop(i)?.target(test.images.own_objects(i), 0.0);
        unseen += usize::from(seen.is_none());
    }
    let help = "data.test_short_side = model.image_size leaves most of an image in view";
    let told = "show nothing of their object in what is cut from their centre";
    if unseen == all {
        let message = format!("the test images, {all}, {told}");
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    if unseen > 0 {
        ui.warn(&format!("{} of {all} test images {told}", grouped(unseen as u64)));
        ui.help(help);
    }
    Ok(())
}

/// Says of which classes there are no images to test on, if there are such.
fn untested(test: &Images) -> Option<String> {
    let mut is_tested = vec![false; test.classes().len()];
    test.labels().iter().for_each(|label| is_tested[*label as usize] = true);
    let classes = test.classes().iter().zip(is_tested);
    let untested: Vec<_> =
        classes.filter(|(_, is_tested)| !is_tested).map(|(name, _)| &**name).collect();
    let of = match untested.len() {
        0 => return None,
        1 => untested[0].to_owned(),
        n if n <= NAMED => untested.join(", "),
        n => format!("{n} classes, {}, …", untested[..NAMED].join(", ")),
    };
    Some(format!("no test images of {of}: means over classes leave out what has none"))
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

/// What is trained on of the training images, and what is held out of them to test on, if anything is.
///
/// # Errors
/// If all are held out.
pub(super) fn held_out(train: Images, data: &config::Data) -> Result<(Images, Option<Images>)> {
    let Some(n) = data.hold_out else { return Ok((train, None)) };
    let failure = || Failure::new(Code::Usage, "data.hold_out leaves nothing to train on");
    let (train, held_out) = train.hold_out(n).with_context(failure)?;
    Ok((train, Some(held_out)))
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
    let auto = match data.augment.rand_augment {
        Some(config::RandAugment { operations, magnitude }) => {
            Some(AutoAugment::Rand { operations, magnitude })
        }
        None => data.augment.trivial_augment_wide.then_some(AutoAugment::TrivialWide),
    };
    let jitter = data.augment.color_jitter.map(|jitter| {
        let config::ColorJitter { brightness, contrast, saturation, hue } = jitter;
        ColorJitter { brightness, contrast, saturation, hue }
    });
    Ok(Augment { random_crop, flip, pad_crop, auto, jitter, color, erase })
}
