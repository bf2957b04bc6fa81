//! Which files a folder has.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use vgg_tensor::{Error, Result};

use super::{ImageFile, OpenOptions};
use crate::names::composed;
use crate::picture::{Foreign, Kind, kind};

/// How the names of images end; first, the endings that the first versions knew.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif"];
const ENDINGS_BEFORE: usize = 3;

/// Classes that an error names; it counts the others.
const NAMED: usize = 5;

pub(super) struct List {
    /// Sorted by label and name.
    pub files: Vec<ImageFile>,
    /// Files of other kinds of images, whose names say so.
    pub foreign: BTreeMap<Foreign, usize>,
    /// Files that are no images.
    pub ignored: usize,
    /// What has the name of an image and cannot be looked at, as a link that leads nowhere.
    pub damaged: Vec<Error>,
}

/// The names of the folders in `dir`, such as `images/train`, composed and sorted.
///
/// # Errors
/// When `dir` cannot be read, has no folder, the name of one is not UTF-8, or two have the same name
/// but for its Unicode form.
pub fn class_names(dir: &Path) -> Result<Vec<String>> {
    let (folders, wrong) = class_folders(dir)?;
    wrong.into_iter().next().map_or(Ok(folders.into_keys().collect()), Err)
}

/// As [`class_names`], of those folders whose names are right.
pub(super) fn right_class_names(dir: &Path) -> Result<Vec<String>> {
    Ok(class_folders(dir)?.0.into_keys().collect())
}

/// The folders in `dir` by their names, and what is wrong with the names of others.
fn class_folders(dir: &Path) -> Result<(BTreeMap<String, PathBuf>, Vec<Error>)> {
    let (mut folders, mut wrong) = (BTreeMap::new(), Vec::new());
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            let reason = "the name of a class must be UTF-8: rename this folder";
            wrong.push(format_error(path, reason));
            continue;
        };
        match folders.entry(composed(name).into_owned()) {
            Entry::Vacant(entry) => drop(entry.insert(path)),
            Entry::Occupied(_) => {
                let reason = "two folders have this name, which differ in their Unicode form alone \
                              (such as é as one or two code points)";
                wrong.push(format_error(path, reason));
            }
        }
    }
    match folders.is_empty() && wrong.is_empty() {
        true => {
            Err(format_error(dir, "no classes: a folder is expected for each, with its images"))
        }
        false => Ok((folders, wrong)),
    }
}

/// The names of the folders that are in each of some folders, two or more in two or more: those are parts
/// rather than classes, and these the classes.
pub(super) fn repeated_folders(folders: &[PathBuf]) -> Vec<String> {
    let below = |folder: &PathBuf| -> Option<Vec<String>> {
        let paths = entries(folder).ok()?.into_iter().filter(|path| path.is_dir());
        let name = |path: PathBuf| Some(composed(path.file_name()?.to_str()?).into_owned());
        paths.map(name).collect()
    };
    let [first, others @ ..] = folders else { return Vec::new() };
    let names = below(first).unwrap_or_default();
    match names.len() > 1 && !others.is_empty() {
        true if others.iter().all(|folder| below(folder).as_ref() == Some(&names)) => names,
        _ => Vec::new(),
    }
}

/// The images of the `classes` in `dir`.
pub(super) fn list(dir: &Path, classes: &[String], options: &OpenOptions) -> Result<List> {
    let mut list = List::of(Vec::new());
    let (mut folders, wrong) = match class_folders(dir) {
        Err(error) if options.tolerant => {
            list.damaged.push(error);
            return Ok(list);
        }
        found => found?,
    };
    match options.tolerant {
        true => list.damaged.extend(wrong),
        false => {
            wrong.into_iter().next().map_or(Ok(()), Err)?;
            same_classes(dir, folders.keys(), classes)?;
        }
    }
    let mut above = vec![real(dir)?];
    for (label, class) in classes.iter().enumerate() {
        match folders.remove(&*composed(class)) {
            Some(folder) => list.add_folder(&folder, label as u32, options, &mut above)?,
            None => {
                let reason = "there is no such folder, and another part has this class";
                list.damaged.push(format_error(dir.join(class), reason));
            }
        }
    }
    Ok(list)
}

impl List {
    /// Of images alone.
    pub(super) fn of(files: Vec<ImageFile>) -> Self {
        Self { files, foreign: BTreeMap::new(), ignored: 0, damaged: Vec::new() }
    }

    /// Adds what is in a folder and in those below it. `above` are the folders that it is in.
    fn add_folder(
        &mut self,
        folder: &Path,
        label: u32,
        options: &OpenOptions,
        above: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let (own, entries) = match opened(folder, above) {
            Err(error) if options.tolerant => {
                self.damaged.push(error);
                return Ok(());
            }
            opened => opened?,
        };
        above.push(own);
        for path in entries {
            match path.is_dir() {
                true => self.add_folder(&path, label, options, above)?,
                false => self.add_file(path, label, options.as_before)?,
            }
        }
        above.pop();
        Ok(())
    }

    /// Adds a file. With `as_before` its name alone tells whether it is an image.
    fn add_file(&mut self, path: PathBuf, label: u32, as_before: bool) -> Result<()> {
        let endings = if as_before { &ENDINGS[..ENDINGS_BEFORE] } else { &ENDINGS };
        if is_named(&path, endings) && !is_stream(&path) {
            match image_file(path, label) {
                Ok(file) => self.files.push(file),
                Err(Error::Io { path, source }) => {
                    self.damaged.push(format_error(path, &source.to_string()));
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        let kind = if as_before { None } else { kind_of(&path) };
        match kind {
            Some(Kind::Own(_)) => self.files.push(image_file(path, label)?),
            Some(Kind::Foreign(kind)) => *self.foreign.entry(kind).or_default() += 1,
            None => self.ignored += 1,
        }
        Ok(())
    }
}

/// The path of a folder without links, and what is in it.
fn opened(folder: &Path, above: &[PathBuf]) -> Result<(PathBuf, Vec<PathBuf>)> {
    let own = real(folder)?;
    match above.contains(&own) {
        true => Err(format_error(folder, "a link to a folder that it is in")),
        false => Ok((own, entries(folder)?)),
    }
}

/// The path of a folder without links.
fn real(folder: &Path) -> Result<PathBuf> {
    fs::canonicalize(folder).map_err(|source| Error::Io { path: folder.into(), source })
}

/// Refuses classes in `place` that are not those expected.
pub(super) fn same_classes<'a>(
    place: &Path,
    found: impl Iterator<Item = &'a String>,
    expected: &[String],
) -> Result<()> {
    let found: BTreeSet<&str> = found.map(|name| &**name).collect();
    let expected: BTreeSet<_> = expected.iter().map(|name| composed(name)).collect();
    let list = |what: &str, names: Vec<&str>| match names.len() {
        0 => None,
        1..=NAMED => Some(format!("{what} {}", names.join(", "))),
        n => Some(format!("{what} {} and {} more", names[..NAMED].join(", "), n - NAMED)),
    };
    let missing = expected.iter().filter(|name| !found.contains(&***name));
    let extra = found.iter().filter(|name| !expected.contains(**name));
    let problems = [
        list("missing", missing.map(|name| &**name).collect()),
        list("not expected", extra.copied().collect()),
    ];
    let problems: Vec<_> = problems.into_iter().flatten().collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(format_error(place, &format!("other classes: {}", problems.join("; ")))),
    }
}

/// What is in a folder but for hidden things, and for folders that network drives put beside files, such as
/// `@eaDir` with smaller copies of images; sorted by name.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let error = |source| Error::Io { path: dir.into(), source };
    let mut paths = fs::read_dir(dir)
        .map_err(error)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(error)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        let begins_with = |sign: &[u8]| name.as_encoded_bytes().starts_with(sign);
        // What macOS adds to archives is hidden there.
        !begins_with(b".") && name != "__MACOSX" && !(begins_with(b"@") && path.is_dir())
    });
    paths.sort_by_cached_key(|path| order(path.file_name().unwrap_or_default()));
    Ok(paths)
}

/// The name of an image that is there, where a file is not whose name has no image's ending: what labels call
/// an image may be its number.
pub(super) fn with_ending(path: &Path) -> Option<String> {
    if is_named(path, &ENDINGS) {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let mut names = ENDINGS.iter().map(|ending| format!("{name}.{ending}"));
    names.find(|name| path.with_file_name(name).is_file())
}

/// Whether a file is an image, of whatever kind, as its name says or its contents.
pub(super) fn is_image(path: &Path) -> bool {
    (is_named(path, &ENDINGS) && !is_stream(path)) || kind_of(path).is_some()
}

/// Whether it is there and no file: reading a pipe would wait for ever.
fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// What names are sorted by.
pub(super) fn order(name: &OsStr) -> impl Ord + use<> {
    let bytes = name.as_encoded_bytes().to_vec();
    let first = name.to_str().map_or(bytes.clone(), |name| composed(name).as_bytes().to_vec());
    // Names that differ in their form alone must not come in the order of the folder.
    (first, bytes)
}

/// Whether a file's name ends as an image's. What it ends like, the contents need not be.
fn is_named(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default();
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// What a file with another name is by its contents.
fn kind_of(path: &Path) -> Option<Kind> {
    if is_stream(path) {
        return None;
    }
    kind(path).ok().flatten()
}

/// A file that is to be an image.
///
/// # Errors
/// When it is not there, or no file.
pub(super) fn image_file(path: PathBuf, label: u32) -> Result<ImageFile> {
    let error = |source| Error::Io { path: path.clone(), source };
    let metadata = fs::metadata(&path).map_err(error)?;
    // Reading a pipe would wait for ever.
    if !metadata.is_file() {
        return Err(format_error(path, "not a file"));
    }
    let modified = metadata.modified().map_err(error)?.duration_since(UNIX_EPOCH);
    let modified = modified.map_or(0, |since| since.as_nanos());
    Ok(ImageFile { label, bytes: metadata.len(), modified, path })
}

pub(crate) fn format_error(path: impl Into<PathBuf>, reason: &str) -> Error {
    Error::Format { path: path.into(), reason: reason.into() }
}
