//! Folders of image files: `train/CLASS/FILE` and `val/CLASS/FILE`.
//!
//! A class is a folder, its name is the class's, and classes are sorted by name. Images are the
//! files whose names end in `.jpg`, `.jpeg` or `.png`, in the order of their names; hidden files and
//! folders are passed over, as are files with other endings. There is nothing below a class but
//! files, so links cannot form a loop. Names are compared and sorted in one normal form
//! ([`crate::names`]).

mod cache;
mod fingerprint;
mod list;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use vgg_tensor::{Error, Result};

use crate::picture::{Picture, asks_to_be_turned, read_file, read_size};
use crate::threads::pool;
use cache::Cache;
use fingerprint::Fingerprint;
pub use fingerprint::{fingerprint, former_fingerprint};
pub use list::class_names;

/// The folder of the images to train on.
pub const TRAIN: &str = "train";

/// The folder of the images to evaluate on.
pub const VAL: &str = "val";

/// How a folder is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The channels that images are decoded to: 1 or 3.
    pub channels: usize,
    /// Decode every file and leave out those that are damaged. Without it, headers alone are read,
    /// a damaged one is an error, and other damage is one when the image is decoded.
    pub skip_damaged: bool,
    /// The folder to keep what was found in, so that only new and changed files are read again.
    pub cache: Option<PathBuf>,
}

/// An image file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its class.
    pub label: u32,
    /// The length of the file.
    pub bytes: u64,
    /// When the file was last written, in nanoseconds from 1970 on.
    pub modified: u128,
}

/// The images of one part of an image folder, such as `train`.
#[derive(Debug)]
pub struct ImageFolder {
    channels: usize,
    classes: Vec<String>,
    files: Vec<ImageFile>,
    sizes: Vec<[usize; 2]>,
    damaged: Vec<Error>,
    ignored: usize,
    read: usize,
    fingerprint: Fingerprint,
}

/// What is known of a file: height and width, or what is wrong with it.
type Verdict = std::result::Result<[usize; 2], String>;

impl ImageFolder {
    /// Opens `dir`, such as `images/train`, whose classes must be `classes`, in any order.
    ///
    /// # Errors
    /// When a class is missing, has no image, or is not one of `classes`; when there is a folder in
    /// a class; when a file cannot be read or is damaged (but see [`OpenOptions::skip_damaged`]).
    pub fn open(dir: &Path, classes: &[String], options: &OpenOptions) -> Result<Self> {
        let list::List { files, ignored } = list::list(dir, classes)?;
        let fingerprint = Fingerprint::new(&files, classes);
        let mut cache = Cache::open(options.cache.as_deref(), dir);
        let known: Vec<Option<Verdict>> =
            files.iter().map(|file| cache.get(file, options.skip_damaged)).collect();
        let read = known.iter().filter(|known| known.is_none()).count();
        let verdict = |(file, known): (&ImageFile, Option<Verdict>)| {
            known.unwrap_or_else(|| inspect(file, options))
        };
        let verdicts: Vec<Verdict> =
            pool(0)?.install(|| files.par_iter().zip(known).map(verdict).collect());
        if read > 0 {
            cache.store(&files, &verdicts, options.skip_damaged);
        }

        let mut folder = Self {
            channels: options.channels,
            classes: classes.to_vec(),
            files: Vec::with_capacity(files.len()),
            sizes: Vec::with_capacity(files.len()),
            damaged: Vec::new(),
            ignored,
            read,
            fingerprint,
        };
        for (file, verdict) in files.into_iter().zip(verdicts) {
            match verdict {
                Ok(size) => {
                    folder.files.push(file);
                    folder.sizes.push(size);
                }
                Err(reason) => folder.damaged.push(Error::Format { path: file.path, reason }),
            }
        }
        folder.check(dir, options.skip_damaged)?;
        Ok(folder)
    }

    /// Refuses damaged files, unless they may be skipped, and classes without images.
    fn check(&self, dir: &Path, skip_damaged: bool) -> Result<()> {
        if let (Some(Error::Format { path, reason }), false) = (self.damaged.first(), skip_damaged)
        {
            let reason = match self.damaged.len() {
                1 => reason.clone(),
                n => format!("{reason} (and {} more files are damaged)", n - 1),
            };
            return Err(Error::Format { path: path.clone(), reason });
        }
        let mut images = vec![0_usize; self.classes.len()];
        self.files.iter().for_each(|file| images[file.label as usize] += 1);
        match images.iter().position(|&n| n == 0) {
            None => Ok(()),
            Some(class) => {
                let reason = "no images in this class (they end in .jpg, .jpeg or .png)".into();
                Err(Error::Format { path: dir.join(&self.classes[class]), reason })
            }
        }
    }

    /// The names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The channels that images are decoded to.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The images, sorted by class and name.
    pub fn files(&self) -> &[ImageFile] {
        &self.files
    }

    /// Height and width of each image.
    pub fn sizes(&self) -> &[[usize; 2]] {
        &self.sizes
    }

    /// The files that were left out, and what is wrong with them.
    pub fn damaged(&self) -> &[Error] {
        &self.damaged
    }

    /// How many files were passed over because their names do not end as those of images do.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// How many files had to be read, as the cache did not know them.
    pub fn read(&self) -> usize {
        self.read
    }

    /// The SHA-256 of each image's file: equal ones are copies.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn digests(&self) -> Result<Vec<[u8; 32]>> {
        let digest = |file: &ImageFile| Ok(Sha256::digest(read_file(&file.path)?).into());
        pool(0)?.install(|| self.files.par_iter().map(digest).collect())
    }

    /// How many images ask by their EXIF data to be turned or mirrored. They are used as they are
    /// stored, as torchvision uses them.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn turned(&self) -> Result<usize> {
        let turned = |file: &ImageFile| Ok(usize::from(asks_to_be_turned(&file.path)?));
        pool(0)?.install(|| self.files.par_iter().map(turned).sum())
    }
}

fn inspect(file: &ImageFile, options: &OpenOptions) -> Verdict {
    let size = match options.skip_damaged {
        true => Picture::read(&file.path, options.channels).map(|image| [image.h, image.w]),
        false => read_size(&file.path),
    };
    size.map_err(|error| match error {
        Error::Format { reason, .. } => reason,
        Error::Io { source, .. } => source.to_string(),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
