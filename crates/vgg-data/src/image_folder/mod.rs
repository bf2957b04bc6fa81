//! Folders of image files: `train/CLASS/FILE` and `val/CLASS/FILE`.
//!
//! A class is a folder, its name is the class's, and classes are sorted by name. Images are the
//! files that [`Picture::read`] takes, in the order of their names: those whose names end as images'
//! names do, and others whose contents are an image. Hidden files and folders are passed over, as are
//! files of other kinds. There is nothing below a class but files, so links cannot form a loop. Names
//! are compared and sorted in one normal form ([`crate::names`]).

mod cache;
mod files;
mod fingerprint;
mod list;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use vgg_tensor::{Error, Result};

use crate::picture::{Decoding, Foreign, Look, Picture, look, read_file};
use crate::threads::pool;
use cache::Cache;
pub use files::image_files;
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
    /// How images are decoded.
    pub decoding: Decoding,
    /// Decode every file and leave out those that are damaged. Without it, headers alone are read,
    /// a damaged one is an error, and other damage is one when the image is decoded.
    pub skip_damaged: bool,
    /// The folder to keep what was found in, so that only new and changed files are read again.
    pub cache: Option<PathBuf>,
    /// Whether the names alone say which files are images, those that end in `.jpg`, `.jpeg` or
    /// `.png`: what the first versions took.
    pub as_before: bool,
}

impl OpenOptions {
    /// Headers alone are read, and nothing is kept.
    pub fn of(decoding: Decoding) -> Self {
        Self { decoding, skip_damaged: false, cache: None, as_before: false }
    }
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
    decoding: Decoding,
    classes: Vec<String>,
    files: Vec<ImageFile>,
    sizes: Vec<[usize; 2]>,
    turned: usize,
    animated: usize,
    damaged: Vec<Error>,
    foreign: BTreeMap<Foreign, usize>,
    ignored: usize,
    read: usize,
    fingerprint: Fingerprint,
}

/// What is known of a file: what it is, or what is wrong with it.
type Verdict = std::result::Result<Look, String>;

impl ImageFolder {
    /// Opens `dir`, such as `images/train`, whose classes must be `classes`, in any order.
    ///
    /// # Errors
    /// When a class is missing, has no image, or is not one of `classes`; when there is a folder in
    /// a class; when a file cannot be read or is damaged (but see [`OpenOptions::skip_damaged`]).
    pub fn open(dir: &Path, classes: &[String], options: &OpenOptions) -> Result<Self> {
        let list::List { files, foreign, ignored } = list::list(dir, classes, options.as_before)?;
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
            decoding: options.decoding,
            classes: classes.to_vec(),
            files: Vec::with_capacity(files.len()),
            sizes: Vec::with_capacity(files.len()),
            turned: 0,
            animated: 0,
            damaged: Vec::new(),
            foreign,
            ignored,
            read,
            fingerprint,
        };
        for (file, verdict) in files.into_iter().zip(verdicts) {
            match verdict {
                Ok(Look::Image(header)) => {
                    folder.files.push(file);
                    folder.sizes.push(header.size(options.decoding.turned));
                    folder.turned += usize::from(header.asks_to_be_turned());
                    folder.animated += usize::from(header.animated);
                }
                Ok(Look::Foreign(kind)) => *folder.foreign.entry(kind).or_default() += 1,
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
                let reason = "no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)".into();
                Err(Error::Format { path: dir.join(&self.classes[class]), reason })
            }
        }
    }

    /// The names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How images are decoded.
    pub fn decoding(&self) -> Decoding {
        self.decoding
    }

    /// The images, sorted by class and name.
    pub fn files(&self) -> &[ImageFile] {
        &self.files
    }

    /// Height and width of each image, as it is decoded.
    pub fn sizes(&self) -> &[[usize; 2]] {
        &self.sizes
    }

    /// The files that were left out, and what is wrong with them.
    pub fn damaged(&self) -> &[Error] {
        &self.damaged
    }

    /// How many files were passed over because they are images of kinds that are not read.
    pub fn foreign(&self) -> &BTreeMap<Foreign, usize> {
        &self.foreign
    }

    /// How many files were passed over because they are no images.
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

    /// How many images ask by their EXIF data to be turned or mirrored.
    pub fn turned(&self) -> usize {
        self.turned
    }

    /// How many images are animations, of which the first frame is taken.
    pub fn animated(&self) -> usize {
        self.animated
    }
}

fn inspect(file: &ImageFile, options: &OpenOptions) -> Verdict {
    let look = look(&file.path).and_then(|look| match look {
        Look::Image(_) if options.skip_damaged => {
            Picture::read(&file.path, &options.decoding).map(|_| look)
        }
        _ => Ok(look),
    });
    look.map_err(|error| match error {
        Error::Format { reason, .. } => reason,
        Error::Io { source, .. } => source.to_string(),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
