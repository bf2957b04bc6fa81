//! Image folders.

use std::path::{Path, PathBuf, absolute};

use anyhow::Result;
use vgg_data::image_folder::{OpenOptions, TRAIN, VAL, fingerprint, former_fingerprint};
use vgg_data::{Decoding, ImageFolder, Images};
use vgg_tensor::Error;

use super::images::DAMAGED_HELP;
use crate::config::{self, Orientation};
use crate::failure::{Code, Failure};
use crate::machine::cache;
use crate::terminal::numbers::count;
use crate::terminal::ui::Ui;

/// Damaged files that are named; the others are counted.
const NAMED: usize = 5;

/// What to do about a folder that is not as expected.
pub(super) const FOLDER_HELP: &str =
    "it must have train/CLASS and val/CLASS, the same classes in both, and images in each";

/// The name of the folder, and its images to train and to test on.
pub(super) fn open(data: &config::Data, ui: &Ui) -> Result<(String, [Images; 2])> {
    let parts = checked(data)?;
    for part in &parts {
        if part.ignored() > 0 {
            ui.detail(&format!("no images: {}", count(part.ignored() as u64, "file")));
        }
        for (kind, n) in part.foreign() {
            ui.warn(&format!("left out: {}", count(*n as u64, &format!("{} image", kind.name))));
            ui.detail(&kind.to_string());
        }
        if part.animated() > 0 {
            let animations = count(part.animated() as u64, "animation");
            ui.detail(&format!("{animations}: the first frame is the image"));
        }
        if part.turned() > 0 {
            let turned = count(part.turned() as u64, "image");
            ui.detail(&match data.orientation {
                Orientation::Exif => format!("turned as their EXIF data say: {turned}"),
                Orientation::Stored => {
                    format!(
                        "not turned, though their EXIF data say so: {turned} (data.orientation)"
                    )
                }
            });
        }
        if !part.damaged().is_empty() {
            ui.warn(&format!("left out: {}", count(part.damaged().len() as u64, "damaged image")));
            part.damaged().iter().take(NAMED).for_each(|error| ui.detail(&error.to_string()));
        }
    }
    Ok(named(data, parts))
}

pub(super) fn named(data: &config::Data, parts: [ImageFolder; 2]) -> (String, [Images; 2]) {
    let name = data.folder.as_deref().unwrap_or(Path::new(".")).display().to_string();
    (name, parts.map(Images::from))
}

/// The files that the run began with, or an error.
pub(super) fn checked(data: &config::Data) -> Result<[ImageFolder; 2]> {
    let parts = parts(data)?;
    let found = fingerprint(&parts);
    let is_of = |parts: &[ImageFolder; 2], expected: &str| {
        expected == fingerprint(parts) || expected == former_fingerprint(parts)
    };
    if let Some(expected) = data.files_sha256.as_ref().filter(|sha256| !is_of(&parts, sha256)) {
        // Files beside them that are images, too, may not have passed for it at the time.
        if let Ok(before) = open_parts(data, &OpenOptions { as_before: true, ..options(data) })
            && is_of(&before, expected)
        {
            return Ok(before);
        }
        let message = format!(
            "the run began with other image files: their list has SHA-256 {expected}, not {found}"
        );
        let help = format!("restore them, or accept them with --set data.files_sha256={found}");
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    Ok(parts)
}

pub(super) fn parts(data: &config::Data) -> Result<[ImageFolder; 2]> {
    let folder = data.folder.as_deref().unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(no_folder(folder, &[]));
    }
    open_parts(data, &options(data)).map_err(|error| explain(folder, error))
}

fn open_parts(data: &config::Data, options: &OpenOptions) -> vgg_tensor::Result<[ImageFolder; 2]> {
    let folder = data.folder.as_deref().unwrap_or(Path::new("."));
    let open = |part| ImageFolder::open(&folder.join(part), &data.classes, options);
    Ok([open(TRAIN)?, open(VAL)?])
}

fn options(data: &config::Data) -> OpenOptions {
    let skip_damaged = data.skip_damaged;
    OpenOptions { skip_damaged, ..cached(data.decoding()) }
}

/// How folders are opened whose files are decoded so, each of which is looked at once.
pub(crate) fn cached(decoding: Decoding) -> OpenOptions {
    let cache = Some(cache::cache_dir().join("image-folders"));
    OpenOptions { cache, ..OpenOptions::of(decoding) }
}

/// `data.folder` is in none of the `places` where it was looked for.
pub(super) fn no_folder(folder: &Path, places: &[PathBuf]) -> anyhow::Error {
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
pub(crate) fn explain(folder: &Path, error: Error) -> anyhow::Error {
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
