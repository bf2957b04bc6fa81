//! Folders of image files: `train/CLASS/FILE` and `val/CLASS/FILE` (or `test`, and by other names that people give
//! these, [`PartFolders`]), or `CLASS/FILE`, or any files that a CSV file labels ([`Arrangement`]).
//!
//! A class is a folder, its name is the class's, and classes are sorted by name. Images are the
//! files that [`Picture::read`] takes, in the order of their names: those whose names end as images'
//! names do, and others whose contents are an image. Hidden files and folders are passed over, as are
//! folders whose names begin with `@` and files of other kinds. What is in folders below a class is of that class. Names are compared and
//! sorted in one normal form ([`crate::names`]).

mod arrangement;
mod cache;
mod files;
mod fingerprint;
mod labels;
mod list;
mod parts;
mod split;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use vgg_tensor::{Error, Result};

use crate::picture::{Decoding, Foreign, Look, Picture, look, read_file, turn};
use crate::threads::pool;
pub use arrangement::Arrangement;
use arrangement::{path_in, within_class};
use cache::Cache;
pub use files::image_files;
use fingerprint::Fingerprint;
pub use fingerprint::{fingerprint, former_fingerprint};
pub use list::class_names;
pub(crate) use list::{entries, format_error};
pub use parts::{PartFolders, part_called};

/// The folder of the images to train on.
pub const TRAIN: &str = "train";

/// The folder of the images to evaluate on.
pub const VAL: &str = "val";

/// The name of images that are not tested on before all else is done.
pub const TEST: &str = "test";

/// The name of images that are not divided.
pub const ALL: &str = "all";

/// The SHA-256 of a file: equal ones are copies.
pub type Digest = [u8; 32];

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
    /// Whether contents are to be compared: all of every file is read, once if there is a cache.
    pub digests: bool,
    /// Whether a class without images, one that only another part has and a folder that cannot be read are
    /// among [what is damaged](ImageFolder::damaged), and all else is opened: for a list of all that is wrong.
    pub tolerant: bool,
}

impl OpenOptions {
    /// Headers alone are read, and nothing is kept.
    pub fn of(decoding: Decoding) -> Self {
        Self {
            decoding,
            skip_damaged: false,
            cache: None,
            as_before: false,
            digests: false,
            tolerant: false,
        }
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
    /// Where the names of its files begin.
    root: PathBuf,
    decoding: Decoding,
    classes: Vec<String>,
    files: Vec<ImageFile>,
    sizes: Vec<[usize; 2]>,
    digests: Vec<Digest>,
    /// The EXIF orientation of each image.
    orientations: Vec<u8>,
    animated: usize,
    damaged: Vec<Error>,
    foreign: BTreeMap<Foreign, usize>,
    ignored: usize,
    read: usize,
    fingerprint: Fingerprint,
}

/// What is known of a file: what it is, or what is wrong with it.
type Verdict = std::result::Result<Look, String>;

/// What says which classes there are.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// The folder that theirs are in.
    Folder(&'a Path),
    /// A CSV file.
    Labels(&'a Path),
}

/// A file, and what is known of it.
struct Found {
    file: ImageFile,
    verdict: Verdict,
    digest: Option<Digest>,
}

impl Found {
    /// Whether it can be read as an image.
    fn is_image(&self) -> bool {
        matches!(self.verdict, Ok(Look::Image(_)))
    }
}

impl ImageFolder {
    /// Opens `dir`, such as `images/train`, whose classes must be `classes`, in any order.
    ///
    /// # Errors
    /// When a class is missing, has no image, or is not one of `classes`; when a link leads to a
    /// folder that it is in; when a file cannot be read or is damaged (but see
    /// [`OpenOptions::skip_damaged`]).
    pub fn open(dir: &Path, classes: &[String], options: &OpenOptions) -> Result<Self> {
        let list = list::list(dir, classes, options)?;
        let list::List { files, foreign, ignored, damaged } = list;
        let fingerprint = Fingerprint::new(files.iter(), classes, |path| within_class(dir, path));
        let (found, read) = find(dir, files, options)?;
        let root = dir.parent().unwrap_or(Path::new(""));
        let folder = Self::of(root, classes, options, fingerprint, found.iter());
        let mut folder = Self { ignored, read, ..folder }.with_foreign(foreign);
        folder.damaged.extend(damaged);
        folder.check_damaged(options.skip_damaged)?;
        folder.check_classes(Place::Folder(dir), options.tolerant)?;
        Ok(folder)
    }

    fn of<'a>(
        root: &Path,
        classes: &[String],
        options: &OpenOptions,
        fingerprint: Fingerprint,
        found: impl Iterator<Item = &'a Found>,
    ) -> Self {
        let mut folder = Self {
            root: root.into(),
            decoding: options.decoding,
            classes: classes.to_vec(),
            files: Vec::new(),
            sizes: Vec::new(),
            digests: Vec::new(),
            orientations: Vec::new(),
            animated: 0,
            damaged: Vec::new(),
            foreign: BTreeMap::new(),
            ignored: 0,
            read: 0,
            fingerprint,
        };
        for Found { file, verdict, digest } in found {
            match verdict {
                Ok(Look::Image(header)) => {
                    folder.files.push(file.clone());
                    folder.sizes.push(header.size(options.decoding.turned));
                    folder.digests.extend(digest);
                    folder.orientations.push(header.orientation);
                    folder.animated += usize::from(header.animated);
                }
                Ok(Look::Foreign(kind)) => *folder.foreign.entry(*kind).or_default() += 1,
                Err(reason) => {
                    let (path, reason) = (file.path.clone(), reason.clone());
                    folder.damaged.push(Error::Format { path, reason });
                }
            }
        }
        folder
    }

    /// The same with files of other kinds besides, whose names say so.
    fn with_foreign(mut self, named: BTreeMap<Foreign, usize>) -> Self {
        for (kind, files) in named {
            *self.foreign.entry(kind).or_default() += files;
        }
        self
    }

    /// Refuses damaged files, unless they may be skipped.
    fn check_damaged(&self, skip_damaged: bool) -> Result<()> {
        if let (Some(Error::Format { path, reason }), false) = (self.damaged.first(), skip_damaged)
        {
            let reason = match self.damaged.len() {
                1 => reason.clone(),
                n => format!("{reason} (and {} more files are damaged)", n - 1),
            };
            return Err(Error::Format { path: path.clone(), reason });
        }
        Ok(())
    }

    /// Refuses classes without images, which are in `place`, or notes them as damage.
    fn check_classes(&mut self, place: Place, tolerant: bool) -> Result<()> {
        let mut images = vec![0_usize; self.classes.len()];
        self.files.iter().for_each(|file| images[file.label as usize] += 1);
        let empty = self.classes.iter().zip(images).filter(|(_, images)| *images == 0);
        let told = |path: &Path| self.damaged.iter().any(|error| path_of(error) == Some(path));
        let error = |(class, _): (&String, _)| match place {
            Place::Folder(dir) if told(dir) || told(&dir.join(class)) => None,
            Place::Folder(dir) => {
                let reason = "no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)";
                Some(format_error(dir.join(class), reason))
            }
            Place::Labels(csv) => {
                let reason =
                    format!("no images of the class {class}: its files are missing or damaged");
                let error = format_error(csv, &reason);
                let is_told = |known: &Error| known.to_string() == error.to_string();
                (!self.damaged.iter().any(is_told)).then_some(error)
            }
        };
        let mut errors: Vec<_> = empty.filter_map(error).collect();
        match errors.is_empty() || tolerant {
            true => self.damaged.extend(errors),
            false => return Err(errors.swap_remove(0)),
        }
        Ok(())
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

    /// The digest of each image's file; none unless [`OpenOptions::digests`] asked for them.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The name of image `i`: the part's, class's and its own, as in `val/cat/1.png`, or where it is
    /// in an undivided folder.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn name(&self, i: usize) -> &Path {
        path_in(&self.root, &self.files[i].path)
    }

    /// How many images ask by their EXIF data to be turned or mirrored.
    pub fn turned(&self) -> usize {
        self.orientations.iter().filter(|orientation| **orientation != turn::UPRIGHT).count()
    }

    /// The EXIF orientation of image `i`, from 1 to 8.
    pub(crate) fn orientation(&self, i: usize) -> u8 {
        self.orientations[i]
    }

    /// How many images are animations, of which the first frame is taken.
    pub fn animated(&self) -> usize {
        self.animated
    }
}

/// What is known of the files of `dir`, and how many had to be read for that.
fn find(dir: &Path, files: Vec<ImageFile>, options: &OpenOptions) -> Result<(Vec<Found>, usize)> {
    let mut cache = Cache::open(options.cache.as_deref(), dir);
    let known = |file: ImageFile| {
        let verdict = cache.verdict(&file, options.skip_damaged);
        let digest = cache.digest(&file).filter(|_| options.digests);
        (file, verdict, digest)
    };
    let known: Vec<_> = files.into_iter().map(known).collect();
    let lacks = |verdict: &Option<Verdict>, digest: &Option<Digest>| {
        verdict.is_none() || options.digests && digest.is_none()
    };
    let read = known.iter().filter(|(_, verdict, digest)| lacks(verdict, digest)).count();
    let found = |(file, verdict, digest): (ImageFile, Option<Verdict>, Option<Digest>)| {
        let verdict = verdict.unwrap_or_else(|| inspect(&file, options));
        match digest {
            None if options.digests => match read_file(&file.path) {
                Ok(contents) => {
                    Found { file, verdict, digest: Some(Sha256::digest(contents).into()) }
                }
                Err(error) => Found { file, verdict: Err(reason(error)), digest },
            },
            _ => Found { file, verdict, digest },
        }
    };
    let found: Vec<Found> = pool(0)?.install(|| known.into_par_iter().map(found).collect());
    if read > 0 {
        cache.store(&found, options.skip_damaged);
    }
    Ok((found, read))
}

fn inspect(file: &ImageFile, options: &OpenOptions) -> Verdict {
    let look = look(&file.path).and_then(|look| match look {
        Look::Image(_) if options.skip_damaged => {
            Picture::read(&file.path, &options.decoding).map(|_| look)
        }
        _ => Ok(look),
    });
    look.map_err(reason)
}

/// The file or folder that is at fault.
fn path_of(error: &Error) -> Option<&Path> {
    match error {
        Error::Format { path, .. } | Error::Io { path, .. } => Some(path),
        _ => None,
    }
}

fn reason(error: Error) -> String {
    match error {
        Error::Format { reason, .. } => reason,
        Error::Io { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
