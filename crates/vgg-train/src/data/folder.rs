//! Image folders.

use std::path::{Path, PathBuf, absolute};

use anyhow::Result;
use vgg_data::image_folder::{
    ALL, Arrangement, OpenOptions, PartFolders, TEST, TRAIN, VAL, fingerprint, former_fingerprint,
};
use vgg_data::{Decoding, ImageFolder, Images};
use vgg_tensor::Error;

use super::boxes;
use super::images::{DAMAGED_HELP, DAMAGED_OPTION_HELP};
use crate::config::{self, Orientation, TestPart};
use crate::failure::{Code, Failure};
use crate::machine::cache;
use crate::terminal::numbers::count;
use crate::terminal::shell;
use crate::terminal::ui::Ui;

/// Damaged files that are named; the others are counted.
const NAMED: usize = 5;

/// What to do about a folder that is not as expected.
pub(super) const FOLDER_HELP: &str = "it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each";

/// What to do about a folder of classes.
const CLASSES_HELP: &str = "each folder in it is a class and must have images: remove those that are none; or data.labels, a \
                            CSV file, says what each image is";

/// What to do about the name of a class that is no text.
const NAME_HELP: &str =
    "`vgg-train data check` lists all such folders; names of files may be of any bytes";

/// What to do about labels that are not as expected.
const LABELS_HELP: &str = "data.labels has a line an image, path,label or path,label,split, whose path begins \
                           in data.folder, or beside it if there is no such key";

/// The parts of a folder by their names.
pub(crate) type Parts = Vec<(&'static str, ImageFolder)>;

/// The name of the folder, and its images to train and to test on.
///
/// Where objects are located, images without an object of their class are left out.
pub(super) fn open(data: &config::Data, ui: &Ui) -> Result<(String, [Images; 2])> {
    let parts = checked(data)?;
    let boxes = boxes::of(data, &parts)?;
    for (_, part) in &parts {
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
        tell_damaged(part, ui);
    }
    let tested_on = tested_on(data, &parts);
    if let Some(folder) = &data.folder {
        tell_parts(folder, data, tested_on, ui);
    }
    for (name, part) in parts.iter().filter(|(name, _)| *name != TRAIN && *name != tested_on) {
        let unused = count(part.files().len() as u64, "image");
        ui.detail(&format!("not used: {unused} of the split {name} (data.test_part)"));
    }
    let Some(boxes) = boxes else { return named(data, parts) };
    if !boxes.damaged().is_empty() {
        ui.warn(&format!("left out: {}", count(boxes.damaged().len() as u64, "damaged box")));
        boxes.damaged().iter().take(NAMED).for_each(|error| ui.detail(&error.to_string()));
    }
    let number = |part| parts.iter().position(|(name, _)| *name == part).unwrap_or_default();
    let numbers = [TRAIN, tested_on].map(number);
    let (name, images) = named(data, parts)?;
    let mut located = Vec::new();
    for ((images, part), what) in images.iter().zip(numbers).zip(["train", "test"]) {
        let (images, others) = boxes::located(images, &boxes, part)?;
        if others > 0 {
            let others = count(others as u64, &format!("{what} image"));
            ui.detail(&format!("left out, without a box of their class: {others}"));
        }
        located.push(images);
    }
    let [train, test] = located.try_into().expect("two parts");
    Ok((name, [train, test]))
}

/// The name of the folder, and those of its images that are trained on and tested on.
pub(super) fn named(data: &config::Data, parts: Parts) -> Result<(String, [Images; 2])> {
    let folder = data.folder.as_deref().unwrap_or(Path::new("."));
    let tested_on = tested_on(data, &parts);
    let (mut train, mut test) = (None, None);
    for (name, part) in parts {
        match name {
            TRAIN => train = Some(part),
            name if name == tested_on => test = Some(part),
            _ => {}
        }
    }
    match (train, test) {
        (Some(train), Some(test)) => {
            Ok((folder.display().to_string(), [train, test].map(Images::from)))
        }
        _ => Err(undivided(data, folder)),
    }
}

/// The name of the part that is tested on.
fn tested_on(data: &config::Data, parts: &Parts) -> &'static str {
    let has_val = parts.iter().any(|(name, _)| *name == VAL);
    data.test_part.map_or(if has_val { VAL } else { TEST }, |part| part.name())
}

/// Says which files are left out.
pub(crate) fn tell_damaged(part: &ImageFolder, ui: &Ui) {
    if !part.damaged().is_empty() {
        ui.warn(&format!("left out: {}", count(part.damaged().len() as u64, "damaged image")));
        part.damaged().iter().take(NAMED).for_each(|error| ui.detail(&error.to_string()));
    }
}

/// Says which part is tested on where it might be another one, and which is not used.
fn tell_parts(folder: &Path, data: &config::Data, tested_on: &str, ui: &Ui) {
    let Ok(Some(parts)) = data.arrangement().part_folders(folder) else { return };
    let path = |part| parts.get(part).map(|path| path.display().to_string());
    match tested_on {
        TEST if parts.get(VAL).is_none() => {
            ui.detail(&format!("tested on {}, as there is no val", path(TEST).unwrap_or_default()));
        }
        _ => {
            let unused = [VAL, TEST].into_iter().filter(|part| *part != tested_on);
            for (part, path) in unused.filter_map(|part| Some((part, path(part)?))) {
                ui.detail(&format!("not used: {path} (data.test_part = \"{part}\" tests on it)"));
            }
        }
    }
    if let Some(path) = parts.unlabelled() {
        ui.detail(&format!("not used: {}, which has no folders of classes", path.display()));
    }
}

/// A folder that has no images to test on.
fn undivided(data: &config::Data, folder: &Path) -> anyhow::Error {
    let split = "data.split = 0.2 holds out a fifth of each class, by the contents of the files";
    let (message, help) = match (&data.labels, data.test_part) {
        (Some(csv), Some(part)) => {
            let message = format!("no line of {} has the split {}", csv.display(), part.name());
            (message, "data.test_part is a split of data.labels".to_owned())
        }
        (Some(csv), None) => {
            let message = format!("{} does not say which images are tested on", csv.display());
            (message, format!("{split}; or a column split says train, val or test"))
        }
        (None, _) => {
            let message = format!("the image folder {} has no train and val", folder.display());
            (message, format!("{split}; or make train/CLASS and val/CLASS of it"))
        }
    };
    Failure::new(Code::Data, message).help(help).into()
}

/// The files that the run began with, or an error.
pub(super) fn checked(data: &config::Data) -> Result<Parts> {
    let parts = parts(data)?;
    let found = files_sha256(&parts);
    let is_of = |parts: &Parts, expected: &str| {
        let former = former_fingerprint(parts.iter().map(|(_, part)| part));
        expected == files_sha256(parts) || expected == former
    };
    if let Some(expected) = data.files_sha256.as_ref().filter(|sha256| !is_of(&parts, sha256)) {
        // Files beside them that are images, too, may not have passed for it at the time (`as_before`).
        let open = |data: &config::Data, as_before| {
            open_parts(data, &OpenOptions { as_before, ..options(data) }).ok()
        };
        // What is tested on may be another part than the run's.
        let is_of_run = |as_before| {
            let parts = with_other_part(data).and_then(|data| open(&data, as_before));
            parts.is_some_and(|parts| is_of(&parts, expected))
        };
        if is_of_run(false) {
            return Ok(parts);
        }
        if let Some(before) = open(data, true)
            && (is_of(&before, expected) || is_of_run(true))
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

/// The same with the other part of a divided folder to test on, where the config says which one it is.
fn with_other_part(data: &config::Data) -> Option<config::Data> {
    let other = match data.test_part? {
        TestPart::Val => TestPart::Test,
        TestPart::Test => TestPart::Val,
    };
    let is_by_folders = data.labels.is_none();
    is_by_folders.then(|| config::Data { test_part: Some(other), ..data.clone() })
}

/// What a config notes of the files.
pub(super) fn files_sha256(parts: &Parts) -> String {
    fingerprint(parts.iter().map(|(_, part)| part))
}

/// All parts of the folder.
pub(super) fn parts(data: &config::Data) -> Result<Parts> {
    let folder = data.folder.as_deref().unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(no_folder(folder, &[]));
    }
    let arrangement = data.arrangement();
    require_parts(folder, &arrangement)?;
    let parts = open_parts(data, &options(data));
    let parts =
        parts.map_err(|error| explain_arranged(folder, &arrangement, error, Skipping::Key))?;
    match &parts[..] {
        [(ALL, _)] => Err(undivided(data, folder)),
        _ => Ok(parts),
    }
}

fn open_parts(data: &config::Data, options: &OpenOptions) -> vgg_tensor::Result<Parts> {
    let folder = data.folder.as_deref().unwrap_or(Path::new("."));
    data.arrangement().open(folder, &data.classes, options)
}

/// What to think of two classes whose names are [alike](vgg_data::names::alike).
pub(crate) fn told_alike(one: &str, other: &str) -> String {
    format!("{one} and {other} differ in spelling alone: are they one class?")
}

/// What to think of folders that are in each of the classes: those may be the classes. Nothing if there are
/// none.
pub(crate) fn told_repeated(repeated: &[String], classes: &[String]) -> Option<String> {
    let list = |names: &[String]| match names.len() {
        n if n > NAMED => format!("{}, … ({n})", names[..NAMED].join(", ")),
        _ => names.join(", "),
    };
    (!repeated.is_empty()).then(|| {
        let (repeated, classes) = (list(repeated), list(classes));
        format!(
            "all classes have the same folders, {repeated}: are these the classes, and {classes} parts to train \
             on and to test on?"
        )
    })
}

/// Refuses a share to hold out of a folder that is divided, and a folder with nothing to test on beside what
/// is trained on.
pub(crate) fn require_parts(folder: &Path, arrangement: &Arrangement) -> Result<()> {
    // Where it cannot be read, whoever opens it says so.
    let (None, Ok(Some(parts))) = (&arrangement.labels, PartFolders::of(folder)) else {
        return Ok(());
    };
    let Some(train) = parts.get(TRAIN).map(|path| path.display()) else { return Ok(()) };
    let lacking = parts.tested_on(None).err();
    let is_divided = lacking.is_none() || parts.unlabelled().is_some();
    if arrangement.split.is_some() && (is_divided || parts.others().is_empty()) {
        let folder = folder.display();
        let message = match is_divided {
            true => {
                format!("data.split divides a folder of classes, and {folder} is divided")
            }
            false => {
                format!(
                    "data.split divides a folder of classes, which is not {folder}, but {train}"
                )
            }
        };
        let help = format!("leave it out, or divide what is in {train}");
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    if let (None, Some(part)) = (&lacking, arrangement.test_part)
        && let Err(Error::Format { reason, .. }) = parts.tested_on(Some(part))
    {
        let message = format!("nothing to test on in {}: {reason}", folder.display());
        let help =
            "data.test_part says what is tested on: without it val, or test if there is no val";
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    match lacking {
        Some(Error::Format { reason, .. }) if arrangement.split.is_none() => {
            let message = format!("nothing to test on in {}: {reason}", folder.display());
            let help = format!(
                "take {train} itself for the folder: data.split = 0.2 (--split 0.2) holds out a fifth of it, \
                 and `vgg-train finetune {}` does so by itself; or call what is to be tested on val (valid, \
                 validation, dev) or test (testing), with the same classes in it",
                shell::word(train.to_string())
            );
            Err(Failure::new(Code::Data, message).help(help).into())
        }
        _ => Ok(()),
    }
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

/// How damaged files are left out: by a key of the config, or by an option of the command.
#[derive(Clone, Copy)]
pub(crate) enum Skipping {
    Key,
    Option,
}

/// Why an image folder cannot be opened that is arranged so, and what to do.
pub(crate) fn explain_arranged(
    folder: &Path,
    arrangement: &Arrangement,
    error: Error,
    skipping: Skipping,
) -> anyhow::Error {
    let is_of = |csv: &PathBuf| match &error {
        Error::Format { path, .. } | Error::Io { path, .. } => path == csv,
        _ => false,
    };
    match arrangement.labels.as_ref().filter(|csv| is_of(csv)) {
        Some(csv) => {
            let message = format!("cannot read the labels of {}", csv.display());
            anyhow::Error::new(error).context(Failure::new(Code::Data, message).help(LABELS_HELP))
        }
        None => explain(folder, arrangement, error, skipping),
    }
}

/// Why an image folder cannot be opened, and what to do.
fn explain(
    folder: &Path,
    arrangement: &Arrangement,
    error: Error,
    skipping: Skipping,
) -> anyhow::Error {
    if !folder.exists() {
        return Failure::new(Code::Data, format!("there is no folder {}", folder.display())).into();
    }
    if folder.is_file() {
        let message = format!("{} is a file, not a folder of images", folder.display());
        return Failure::new(Code::Usage, message).help(FOLDER_HELP).into();
    }
    let help = match (&error, skipping) {
        (Error::Format { path, .. }, Skipping::Key) if path.is_file() => DAMAGED_HELP,
        (Error::Format { path, .. }, Skipping::Option) if path.is_file() => DAMAGED_OPTION_HELP,
        (Error::Format { path, .. }, _) if path.to_str().is_none() => NAME_HELP,
        _ => folder_help(folder, arrangement),
    };
    let message = format!("cannot open the image folder {}", folder.display());
    anyhow::Error::new(error).context(Failure::new(Code::Data, message).help(help))
}

/// How a folder must be.
pub(super) fn folder_help(folder: &Path, arrangement: &Arrangement) -> &'static str {
    match arrangement.part_folders(folder) {
        Ok(None) => CLASSES_HELP,
        _ => FOLDER_HELP,
    }
}
