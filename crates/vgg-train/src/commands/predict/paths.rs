//! Which files are meant: those that are named, those in folders, and those that standard input names.

use std::io::{self, BufRead as _};
use std::iter;
use std::path::{Path, PathBuf};

use vgg_data::image_folder::image_files;
use vgg_tensor::{Error, Result};

/// Stands for standard input.
const INPUT: &str = "-";

/// Whether a path stands for standard input.
pub(in crate::commands) fn is_input(path: &Path) -> bool {
    path == Path::new(INPUT)
}

/// Paths, one after the other.
pub(in crate::commands) type Paths<'a> = Box<dyn Iterator<Item = Result<PathBuf>> + 'a>;

/// The files of `given`, in its order, found as they are asked for: of a folder the images in it and
/// below it, of `-` those that standard input names, which end with `separator`.
pub(in crate::commands) fn files(given: &[PathBuf], separator: u8) -> Paths<'_> {
    Box::new(given.iter().flat_map(move |path| match is_input(path) {
        true => Box::new(named_by_input(separator).flat_map(|path| match path {
            Ok(path) => of(path),
            Err(error) => Box::new(iter::once(Err(error))),
        })),
        false => of(path.clone()),
    }))
}

/// A file, or those of a folder.
fn of(path: PathBuf) -> Paths<'static> {
    match path.is_dir() {
        true => Box::new(image_files(&path)),
        false => Box::new(iter::once(Ok(path))),
    }
}

fn named_by_input(separator: u8) -> impl Iterator<Item = Result<PathBuf>> {
    let mut failed = false;
    let names = io::stdin().lock().split(separator);
    let names = names.map(move |name| checked(name?, separator)).take_while(move |name| {
        // After an error there is nothing to wait for.
        !std::mem::replace(&mut failed, name.is_err())
    });
    names.filter_map(|name| match name {
        Ok(name) if name.is_empty() => None,
        Ok(name) => Some(Ok(path(name))),
        Err(source) => Some(Err(Error::Io { path: INPUT.into(), source })),
    })
}

/// A name without what ends lines on Windows.
///
/// # Errors
/// If it is none, as where an image comes by standard input.
fn checked(mut name: Vec<u8>, separator: u8) -> io::Result<Vec<u8>> {
    if name.contains(&0) {
        let reason = "names of files are expected, one a line, and not their contents";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    name.pop_if(|last| separator == b'\n' && *last == b'\r');
    Ok(name)
}

#[cfg(unix)]
fn path(name: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(name).into()
}

#[cfg(not(unix))]
fn path(name: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&name).into_owned().into()
}
