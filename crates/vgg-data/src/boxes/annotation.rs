//! What files say of the objects in images, before it is known whether it makes sense.

use std::path::{Path, PathBuf};

use vgg_tensor::Error;

/// How an image is named.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Name {
    /// By its path, or as much of the end of its path as tells it from others.
    Path(String),
    /// By a file beside it or in a folder like its own, of the same name up to the ending.
    Beside(PathBuf),
}

/// What is said of an image at one place of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Annotation {
    /// The file that says it.
    pub file: PathBuf,
    /// Where in the file, such as `line 3`; empty if the file is of this image alone.
    pub place: String,
    pub image: Name,
    /// The height and width that the image is said to have.
    pub size: Option<[usize; 2]>,
    pub objects: Vec<Stated>,
}

/// An object as it is stated.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stated {
    /// Where in the file, such as `line 3` or `object 2 (line 14)`.
    pub place: String,
    pub class: String,
    /// Left, top, right and bottom, as [`BoundingBox`](super::BoundingBox) has them; any numbers.
    pub corners: [f64; 4],
}

/// All that files say, and what of it cannot be understood.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub annotations: Vec<Annotation>,
    pub faults: Vec<Error>,
}

impl Annotations {
    /// Notes what is wrong at a place of a file.
    pub(super) fn fault(&mut self, file: &Path, place: &str, reason: &str) {
        self.faults.push(fault(file, place, reason));
    }
}

/// What is wrong at a place of a file, which may be empty.
pub(super) fn fault(file: &Path, place: &str, reason: &str) -> Error {
    let reason = if place.is_empty() { reason.into() } else { format!("{place}: {reason}") };
    Error::Format { path: file.into(), reason }
}
