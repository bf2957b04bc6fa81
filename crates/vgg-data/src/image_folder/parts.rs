//! The parts of a divided folder, by the names that people give them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use vgg_tensor::Result;

use super::list::{entries, format_error, repeated_folders};
use super::{TEST, TRAIN, VAL};

/// What parts are called, in any case: the names that Hugging Face's `imagefolder` takes, but for `eval`, which
/// is often beside a `test`. Roboflow writes `valid`, Keras's examples `validation`.
const NAMES: [(&str, &[&str]); 3] = [
    (TRAIN, &["train", "training"]),
    (VAL, &["val", "valid", "validation", "dev"]),
    (TEST, &["test", "testing"]),
];

/// Folders that an error names; it counts the others.
const NAMED: usize = 5;

/// The part that people call so, in any case: [`TRAIN`], [`VAL`] or [`TEST`].
pub fn part_called(name: &str) -> Option<&'static str> {
    let is_called = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    NAMES.iter().find(|(_, names)| is_called(names)).map(|(part, _)| *part)
}

/// The folders that a folder is divided into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFolders {
    folder: PathBuf,
    /// In the order of [`TRAIN`], [`VAL`] and [`TEST`].
    found: Vec<(&'static str, PathBuf)>,
    /// What is called as images to test on and has no folders of classes: nothing says what they are.
    unlabelled: Option<PathBuf>,
    /// The names of other folders.
    others: Vec<String>,
}

impl PartFolders {
    /// Those of `folder`, if it is divided: if it has images to train on, and others to test on. Images to
    /// train on alone are a part if they are in folders of classes below it and it is called `train`, or if
    /// nothing is beside it; and what is called `val` is always one.
    ///
    /// # Errors
    /// When the folder cannot be read, or two in it would be the same part.
    pub fn of(folder: &Path) -> Result<Option<Self>> {
        let folders: Vec<_> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
        let part = |path: &Path| path.file_name().and_then(OsStr::to_str).and_then(part_called);
        let of = |wanted| folders.iter().filter(move |path| part(path) == Some(wanted));
        let has = |exactly: &str| folders.iter().any(|path| path.ends_with(exactly));
        let are_parts = match of(TRAIN).count() {
            0 => has(VAL),
            _ if of(VAL).chain(of(TEST)).next().is_some() => true,
            train if train == folders.len() => true,
            // A class may have this name, too.
            _ => {
                let is_certain = has(TRAIN) || !repeated_folders(&folders).is_empty();
                is_certain && of(TRAIN).any(|path| has_folders(path))
            }
        };
        if !are_parts {
            return Ok(None);
        }
        let mut found = Vec::new();
        for wanted in [TRAIN, VAL, TEST] {
            let paths: Vec<_> = of(wanted).collect();
            if let [one, other, ..] = paths[..] {
                let [one, other] = [one, other].map(|path| name(path));
                let reason = format!(
                    "{one} and {other} would both be the part {wanted}: move one of them elsewhere"
                );
                return Err(format_error(folder, &reason));
            }
            found.extend(paths.first().map(|path| (wanted, path.to_path_buf())));
        }
        let others = folders.iter().filter(|path| part(path).is_none());
        let others = others.map(|path| name(path)).collect();
        let is_unlabelled = |(part, path): &(_, PathBuf)| *part == TEST && !has_folders(path);
        let unlabelled =
            found.iter().find(|part| is_unlabelled(part)).map(|(_, path)| path.clone());
        found.retain(|part| !is_unlabelled(part));
        Ok(Some(Self { folder: folder.into(), found, unlabelled, others }))
    }

    /// The parts by their names, [`TRAIN`] first.
    pub fn all(&self) -> &[(&'static str, PathBuf)] {
        &self.found
    }

    /// Where a part is.
    pub fn get(&self, part: &str) -> Option<&Path> {
        self.found.iter().find(|(name, _)| *name == part).map(|(_, path)| &**path)
    }

    /// Images to test on that are in no folders of classes.
    pub fn unlabelled(&self) -> Option<&Path> {
        self.unlabelled.as_deref()
    }

    /// The names of the folders beside the parts.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The images to train on.
    ///
    /// # Errors
    /// When there are none.
    pub fn train(&self) -> Result<&Path> {
        self.get(TRAIN).ok_or_else(|| format_error(&self.folder, &self.lacks("no train")))
    }

    /// The part that is tested on, and where it is: `part`, or [`VAL`], or [`TEST`] if there is none.
    ///
    /// # Errors
    /// When there is none.
    pub fn tested_on(&self, part: Option<&str>) -> Result<(&'static str, &Path)> {
        let is_wanted = |name| match part {
            Some(part) => name == part,
            None => name != TRAIN,
        };
        let found = self.found.iter().find(|(name, _)| is_wanted(*name));
        let lacking = match part {
            Some(part) => format!("no {part}"),
            None => "neither val nor test".into(),
        };
        let lacking = || format_error(&self.folder, &self.lacks(&lacking));
        found.map(|(name, path)| (*name, &**path)).ok_or_else(lacking)
    }

    /// What is there, and that something is not.
    fn lacks(&self, what: &str) -> String {
        let found: Vec<_> = self.found.iter().map(|(_, path)| name(path)).collect();
        let mut told = match found.len() {
            0 => format!("it has {what}"),
            _ => format!("it has {}, but {what}", found.join(" and ")),
        };
        match self.others.len() {
            0 => {}
            n if n <= NAMED => told += &format!(" (and besides {})", self.others.join(", ")),
            n => {
                told +=
                    &format!(" (and besides {}, …, {n} in all)", self.others[..NAMED].join(", "))
            }
        }
        if let Some(path) = &self.unlabelled {
            let name = name(path);
            told += &format!(
                "; {name} has no folders of classes, so that nothing says what its images are"
            );
        }
        told
    }
}

/// What a folder is called.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn has_folders(path: &Path) -> bool {
    entries(path).is_ok_and(|entries| entries.iter().any(|path| path.is_dir()))
}
