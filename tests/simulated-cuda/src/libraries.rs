//! This library under the names of the real ones.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::{env, io};

use tempfile::TempDir;

/// The real libraries, without what follows their names.
const NAMES: [&str; 4] = ["libcuda.so", "libcudnn.so", "libcublas.so", "libnccl.so"];

/// What may follow: whatever is looked for, none of the real ones is found.
const ENDINGS: [&str; 8] = ["", ".1", ".2", ".9", ".10", ".11", ".12", ".13"];

/// A folder that has this library under the names of the real ones. A process that is started with it
/// in `LD_LIBRARY_PATH` finds them there, and they are one: they share their state.
#[derive(Debug)]
pub struct Libraries {
    folder: TempDir,
}

impl Libraries {
    /// All of them.
    ///
    /// # Errors
    /// If this library is not where Cargo builds it, or the folder cannot be made.
    pub fn all() -> io::Result<Self> {
        Self::without(&[])
    }

    /// All but those whose names begin with one of `missing`, such as `libcudnn`.
    ///
    /// # Errors
    /// As [`Libraries::all`].
    pub fn without(missing: &[&str]) -> io::Result<Self> {
        let library = built()?;
        let folder = tempfile::tempdir()?;
        for name in NAMES {
            let is_missing = missing.iter().any(|missing| name.starts_with(missing));
            for path in ENDINGS.map(|ending| folder.path().join(name.to_owned() + ending)) {
                match is_missing {
                    // No library can be opened from that, and no other one is looked for.
                    true => std::fs::write(path, "not a library")?,
                    false => std::os::unix::fs::symlink(&library, path)?,
                }
            }
        }
        Ok(Self { folder })
    }

    /// The file of this library, to be given other names.
    ///
    /// # Errors
    /// If it is not where Cargo builds it.
    pub fn file() -> io::Result<PathBuf> {
        built()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Cargo puts the libraries that a test depends on beside the test.
fn built() -> io::Result<PathBuf> {
    let name = format!("{DLL_PREFIX}vgg_simulated_cuda{DLL_SUFFIX}");
    let test = env::current_exe()?;
    let folders = test.ancestors().skip(1).take(2);
    let found = folders.flat_map(|folder| [folder.join(&name), folder.join("deps").join(&name)]);
    found.into_iter().find(|path| path.exists()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("{name} is not beside {}", test.display()))
    })
}
