//! Where pictures of files go.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::RgbImage;

use crate::drawing::pixels;
use crate::run::new_folder::make_folder;
use crate::run::output::Output;

/// A picture for each file, in one folder.
pub(super) struct Pictures(Vec<Output>);

impl Pictures {
    /// Makes the folder if there is none, and looks at where each picture goes: not to one of the
    /// files, to the checkpoint, or to a run's own file.
    ///
    /// # Errors
    /// As [`Output::new`] and [`make_folder`].
    pub(super) fn new(folder: &Path, files: &[PathBuf], checkpoint: &Path) -> Result<Self> {
        make_folder(folder)?;
        let read = files.iter().map(PathBuf::as_path).chain([checkpoint]);
        let read: HashSet<PathBuf> = read.filter_map(|path| fs::canonicalize(path).ok()).collect();
        let output = |name: OsString| {
            let path = folder.join(name);
            let is_read = fs::canonicalize(&path).is_ok_and(|path| read.contains(&path));
            let own = [&*path];
            Output::of_picture(&path, if is_read { &own } else { &[] })
        };
        Ok(Self(names(files).into_iter().map(output).collect::<Result<_>>()?))
    }

    /// Writes the picture of the file at a place. Returns where it is.
    pub(super) fn write(&self, place: usize, image: &RgbImage) -> Result<&Path> {
        let (output, bytes) = (&self.0[place], pixels::png(image));
        output.write(|out| out.write_all(&bytes))?;
        Ok(output.path())
    }
}

/// A name for the picture of each file: no two are the same, not even where case does not count.
fn names(files: &[PathBuf]) -> Vec<OsString> {
    let mut taken = HashSet::new();
    let name = |file: &PathBuf| {
        let stem = file.file_stem().unwrap_or(OsStr::new("image"));
        let mut name = stem.to_owned();
        for number in 2.. {
            if taken.insert(name.to_string_lossy().to_lowercase()) {
                break;
            }
            name = stem.to_owned();
            name.push(format!("-{number}"));
        }
        name.push(".png");
        name
    };
    files.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let files = ["a/x.png", "b/x.jpg", "x-2.png", "a/x.png", "X.png", "y.tar.gz", ".."];
        let names = names(&files.map(PathBuf::from));
        let expected =
            ["x.png", "x-2.png", "x-2-2.png", "x-3.png", "X-4.png", "y.tar.png", "image.png"];
        assert_eq!(names, expected);
    }
}
