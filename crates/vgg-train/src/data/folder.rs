//! Image folders: what a config notes of one, and its images.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context as _, Result};
use vgg_data::image_folder::{
    OpenOptions, TRAIN, VAL, class_names, fingerprint, former_fingerprint,
};
use vgg_data::{ImageFolder, Images, Statistics};
use vgg_tensor::Error;

use crate::config::{self, Config, DatasetName, Loaded, Normalize, Override};
use crate::device;
use crate::exit::{Code, Failure};
use crate::ui::{Ui, count};

/// At most so many images, as many of each class, give the mean and what else is computed.
pub(crate) const STATISTICS_OF: usize = 20_000;

/// Damaged files that are named; the others are counted.
const NAMED: usize = 5;

/// What to do about damaged images.
pub(super) const DAMAGED_HELP: &str =
    "`vgg-train data check` lists all damaged images, data.skip_damaged = true leaves them out";

/// What to do about a folder that is not as expected.
const FOLDER_HELP: &str = "it must have train/CLASS and val/CLASS, the same classes in both, and \
                           images in each";

/// Loads a config and notes in it what a new run keeps of its images, so that the run is the same
/// when it is resumed: the classes of an image folder and which files it has, the mean and standard
/// deviation if they are to be those of the data, and the components of the colours.
pub(crate) fn load_noted(path: &Path, overrides: Vec<Override>, ui: &Ui) -> Result<Loaded> {
    let mut loaded = config::load(path, overrides)?;
    let Loaded { config, noted, folder_places, .. } = &mut loaded;
    let Config { data, .. } = config;
    if let DatasetName::FashionMnist | DatasetName::FashionMnistSample = data.dataset {
        // What an image folder is decoded to by default is none of its business.
        let [channels, ..] = data.image_shape(config.model.image_size);
        if data.channels != channels {
            data.channels = channels;
            noted.push("data.channels");
        }
    }
    if data.mean.iter().any(|mean| *mean > 1.0) {
        let mean = &data.mean;
        ui.warn(&format!("data.mean = {mean:?}: pixels are on the scale 0 to 1, not 0 to 255"));
    }
    if let (true, Some(folder)) = (data.is_folder(), &data.folder) {
        if !folder.is_dir() {
            return Err(no_folder(folder, folder_places));
        }
        if data.classes.is_empty() {
            data.classes =
                class_names(&folder.join(TRAIN)).map_err(|error| explain(folder, error))?;
            noted.push("data.classes");
            if let [class] = &data.classes[..] {
                let message = format!(
                    "the image folder {} has one class, {class}; there must be at least two",
                    folder.display()
                );
                return Err(Failure::new(Code::Data, message).help(FOLDER_HELP).into());
            }
        }
        if data.files_sha256.is_none() {
            ui.status("Scanning", &folder.display().to_string());
            if let [_, here] = &folder_places[..]
                && here == folder
            {
                ui.detail(&format!(
                    "data.folder is that of the current folder: there is none beside {}",
                    path.display()
                ));
            }
            data.files_sha256 = Some(fingerprint(&parts(data)?));
            noted.push("data.files_sha256");
        }
    }
    let augment = &data.augment;
    let wants_components = augment.color_shift > 0.0 && augment.color_values.is_none();
    if data.normalize == Normalize::Data || wants_components {
        let (_, [train, _]) = match data.is_folder() {
            true => named(data, checked(data)?),
            false => super::fashion::open(data, ui)?,
        };
        let of = train.take(STATISTICS_OF);
        ui.status("Computing", &format!("statistics of {}", count(of.len() as u64, "image")));
        let Statistics { mean, std, components } =
            Statistics::of(&of).with_context(|| super::unreadable(&of))?;
        if data.normalize == Normalize::Data {
            // Images of one colour have no deviation to divide by.
            let std = std.iter().map(|std| if *std > 0.0 { *std } else { 1.0 }).collect();
            (data.mean, data.std, data.normalize) = (mean, std, Normalize::Given);
            noted.extend(["data.mean", "data.std", "data.normalize"]);
        }
        if let (true, Some(components)) = (wants_components, components) {
            data.augment.color_values = Some(components.values);
            data.augment.color_vectors = Some(components.vectors);
            noted.extend(["data.augment.color_values", "data.augment.color_vectors"]);
        }
    }
    Ok(loaded)
}

/// The name of the folder, and its images to train and to test on.
pub(super) fn open(data: &config::Data, ui: &Ui) -> Result<(String, [Images; 2])> {
    let parts = checked(data)?;
    for part in &parts {
        if part.ignored() > 0 {
            ui.detail(&format!(
                "not named as images are: {}",
                count(part.ignored() as u64, "file")
            ));
        }
        if !part.damaged().is_empty() {
            ui.warn(&format!("left out: {}", count(part.damaged().len() as u64, "damaged image")));
            part.damaged().iter().take(NAMED).for_each(|error| ui.detail(&error.to_string()));
        }
    }
    Ok(named(data, parts))
}

fn named(data: &config::Data, parts: [ImageFolder; 2]) -> (String, [Images; 2]) {
    let name = data.folder.as_deref().unwrap_or(Path::new(".")).display().to_string();
    (name, parts.map(Images::from))
}

/// The files that the run began with, or an error.
fn checked(data: &config::Data) -> Result<[ImageFolder; 2]> {
    let parts = parts(data)?;
    let found = fingerprint(&parts);
    let is_other =
        |expected: &&String| **expected != found && **expected != former_fingerprint(&parts);
    if let Some(expected) = data.files_sha256.as_ref().filter(is_other) {
        let message = format!(
            "the run began with other image files: their list has SHA-256 {expected}, not {found}"
        );
        let help = format!("restore them, or accept them with --set data.files_sha256={found}");
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    Ok(parts)
}

fn parts(data: &config::Data) -> Result<[ImageFolder; 2]> {
    let folder = data.folder.as_deref().unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(no_folder(folder, &[]));
    }
    let options = options(data.channels, data.skip_damaged);
    let open = |part| ImageFolder::open(&folder.join(part), &data.classes, &options);
    let both = || -> vgg_tensor::Result<_> { Ok([open(TRAIN)?, open(VAL)?]) };
    both().map_err(|error| explain(folder, error))
}

/// How folders are opened.
pub(super) fn options(channels: usize, skip_damaged: bool) -> OpenOptions {
    let cache = Some(device::cache_dir().join("image-folders"));
    OpenOptions { channels, skip_damaged, cache }
}

/// `data.folder` is in none of the `places` where it was looked for.
fn no_folder(folder: &Path, places: &[PathBuf]) -> anyhow::Error {
    let full = |place: &Path| absolute(place).unwrap_or(place.into()).display().to_string();
    let message = format!("there is no image folder {}", folder.display());
    let help = match places {
        [beside, here] => format!(
            "data.folder was looked for beside the config, {}, and in the current folder, {}",
            full(beside),
            full(here)
        ),
        _ => "--set data.folder=DIR says where the images are".to_owned(),
    };
    Failure::new(Code::Data, message).help(help).into()
}

/// Why an image folder cannot be opened, and what to do.
pub(super) fn explain(folder: &Path, error: Error) -> anyhow::Error {
    if !folder.exists() {
        return Failure::new(Code::Data, format!("there is no folder {}", folder.display())).into();
    }
    if folder.is_file() {
        let message = format!("{} is a file, not a folder of images", folder.display());
        return Failure::new(Code::Usage, message).help(FOLDER_HELP).into();
    }
    let help = match &error {
        Error::Format { path, .. } if path.is_file() => DAMAGED_HELP,
        _ => FOLDER_HELP,
    };
    let message = format!("cannot open the image folder {}", folder.display());
    anyhow::Error::new(error).context(Failure::new(Code::Data, message).help(help))
}
