//! Which files a folder has.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use vgg_tensor::{Error, Result};

use super::ImageFile;

/// Classes that an error names; it counts the others.
const NAMED: usize = 5;

pub(super) struct List {
    /// Sorted by label and name.
    pub files: Vec<ImageFile>,
    /// Files whose names do not end as those of images do.
    pub ignored: usize,
}

/// The names of the folders in `dir`, such as `images/train`, sorted.
///
/// # Errors
/// When `dir` cannot be read, has no folder, or the name of one is not UTF-8.
pub fn class_names(dir: &Path) -> Result<Vec<String>> {
    let mut classes = Vec::new();
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => classes.push(name.to_owned()),
            None => return Err(format_error(path, "the name of a class must be UTF-8")),
        }
    }
    if classes.is_empty() {
        return Err(format_error(
            dir,
            "no classes: a folder is expected for each, with its images",
        ));
    }
    classes.sort_unstable();
    Ok(classes)
}

/// The images of the `classes` in `dir`.
pub(super) fn list(dir: &Path, classes: &[String]) -> Result<List> {
    same_classes(dir, &class_names(dir)?, classes)?;
    let mut list = List { files: Vec::new(), ignored: 0 };
    for (label, class) in classes.iter().enumerate() {
        for path in entries(&dir.join(class))? {
            if path.is_dir() {
                let reason = "a folder in the folder of a class, where only images are expected";
                return Err(format_error(path, reason));
            }
            if is_image(&path) {
                list.files.push(image_file(path, label as u32)?);
            } else {
                list.ignored += 1;
            }
        }
    }
    Ok(list)
}

fn same_classes(dir: &Path, found: &[String], expected: &[String]) -> Result<()> {
    let without = |some: &[String], others: &[String]| {
        let left: Vec<_> = some.iter().filter(|name| !others.contains(name)).cloned().collect();
        (!left.is_empty()).then(|| match left.len() {
            ..=NAMED => left.join(", "),
            n => format!("{} and {} more", left[..NAMED].join(", "), n - NAMED),
        })
    };
    let missing = without(expected, found).map(|names| format!("missing {names}"));
    let extra = without(found, expected).map(|names| format!("not expected {names}"));
    let problems: Vec<_> = [missing, extra].into_iter().flatten().collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(format_error(dir, &format!("other classes: {}", problems.join("; ")))),
    }
}

/// What is in a folder but for hidden things, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let error = |source| Error::Io { path: dir.into(), source };
    let mut paths = fs::read_dir(dir)
        .map_err(error)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(error)?;
    paths.retain(|path| !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b"."));
    paths.sort_unstable();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

fn image_file(path: PathBuf, label: u32) -> Result<ImageFile> {
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

fn format_error(path: impl Into<PathBuf>, reason: &str) -> Error {
    Error::Format { path: path.into(), reason: reason.into() }
}
