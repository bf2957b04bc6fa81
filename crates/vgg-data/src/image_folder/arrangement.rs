//! How the images of a folder are labelled and divided.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use vgg_tensor::Result;

use super::fingerprint::Fingerprint;
use super::labels::{self, Labelled};
use super::list::{self, List, image_file, order};
use super::{ALL, Found, ImageFolder, OpenOptions, TEST, TRAIN, VAL, class_names, find, split};
use crate::names::composed;

/// How the images of a folder are labelled, and which of them are held out to test on.
///
/// Without anything of this, they are in `train/CLASS` and in `val/CLASS` or, without that, `test/CLASS`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrangement {
    /// A CSV file of labels, with lines `path,label` or `path,label,split`; without one, a class is a
    /// folder.
    pub labels: Option<PathBuf>,
    /// The share that is held out of images that nobody has divided, above 0 and below 1. Contents
    /// decide, so that copies are never in both parts, and more images move none, but for the one of
    /// a class that would have none in a part.
    pub split: Option<f64>,
}

impl Arrangement {
    /// Whether a folder is divided: it has `train` or `val` in it.
    pub fn is_divided(folder: &Path) -> bool {
        [TRAIN, VAL].iter().any(|part| folder.join(part).is_dir())
    }

    /// The names of the classes, composed and sorted.
    ///
    /// # Errors
    /// As [`class_names`], and when the labels make no sense.
    pub fn class_names(&self, folder: &Path) -> Result<Vec<String>> {
        match self {
            Self { labels: Some(csv), .. } => {
                let classes = labels::read(csv, folder)?.into_iter().map(|line| line.class);
                Ok(classes.collect::<BTreeSet<_>>().into_iter().collect())
            }
            Self { split: None, .. } if Self::is_divided(folder) => {
                class_names(&folder.join(TRAIN))
            }
            Self { .. } => class_names(folder),
        }
    }

    /// As [`Self::class_names`], with those that only the images to test on have.
    ///
    /// # Errors
    /// As [`Self::class_names`].
    pub fn all_class_names(&self, folder: &Path) -> Result<Vec<String>> {
        let mut names: BTreeSet<_> = self.class_names(folder)?.into_iter().collect();
        if self == &Self::default() && Self::is_divided(folder) {
            // What is wrong with that part is told where it is opened.
            names.extend(class_names(&folder.join(tested_on(folder))).unwrap_or_default());
        }
        Ok(names.into_iter().collect())
    }

    /// Opens the parts of a folder, by their names: [`TRAIN`], [`VAL`] and, if labels tell of it or there is
    /// no other, [`TEST`]; or [`ALL`] of images that are not divided.
    ///
    /// # Errors
    /// As [`ImageFolder::open`]; when labels make no sense or name files that are not there (which are
    /// left out if damaged ones may be); and when a class would have no image to train on.
    pub fn open(
        &self,
        folder: &Path,
        classes: &[String],
        options: &OpenOptions,
    ) -> Result<Vec<(&'static str, ImageFolder)>> {
        match (&self.labels, self.split) {
            (None, None) if Self::is_divided(folder) => {
                let open =
                    |part| Ok((part, ImageFolder::open(&folder.join(part), classes, options)?));
                [TRAIN, tested_on(folder)].into_iter().map(open).collect()
            }
            (None, share) => {
                let list = list::list(folder, classes, options)?;
                let opening = Opening { folder, classes, options, name: within_class };
                opening.divided(list, share)
            }
            (Some(csv), share) => self.labelled(csv, share, folder, classes, options),
        }
    }

    fn labelled(
        &self,
        csv: &Path,
        share: Option<f64>,
        folder: &Path,
        classes: &[String],
        options: &OpenOptions,
    ) -> Result<Vec<(&'static str, ImageFolder)>> {
        let lines = labels::read(csv, folder)?;
        list::same_classes(csv, lines.iter().map(|line| &line.class), classes)?;
        let labels: HashMap<_, _> =
            classes.iter().enumerate().map(|(label, class)| (composed(class), label)).collect();
        let (mut files, mut missing) = (Vec::with_capacity(lines.len()), Vec::new());
        for Labelled { line, path, class, part } in lines {
            match image_file(path, labels[&*class] as u32) {
                Ok(file) => files.push((file, part)),
                Err(error) => missing.push((line, error)),
            }
        }
        let told = missing.iter().map(|(line, error)| format!("line {line}: {error}"));
        let told: Vec<_> = told.collect();
        if !options.skip_damaged {
            labels::refuse(csv, &told)?;
        }
        // The order of the lines decides nothing.
        files.sort_by_cached_key(|(file, _)| (file.label, order(file.path.as_os_str())));
        let opening = Opening { folder, classes, options, name: path_in };
        let has_parts = files.iter().any(|(_, part)| part.is_some());
        let mut parts = match has_parts {
            false => {
                let files = files.into_iter().map(|(file, _)| file).collect();
                opening.divided(List::of(files), share)?
            }
            true if share.is_some() => {
                let reason = "it has a column split, so that no share is to be held out";
                return Err(list::format_error(csv, reason));
            }
            true => {
                let (files, parts): (Vec<_>, Vec<_>) = files.into_iter().unzip();
                if !parts.contains(&Some(TRAIN)) {
                    return Err(list::format_error(csv, "no line has the split train"));
                }
                // All at once, as what is known of a folder's files is kept in one place.
                let (found, read) = find(folder, files, options)?;
                let open = |part: &'static str| {
                    let of = parts.iter().zip(&found).filter(|(of, _)| **of == Some(part));
                    let found = of.map(|(_, found)| found);
                    let images = opening.images(found.clone(), found);
                    images.check_damaged(options.skip_damaged)?;
                    Ok((part, images))
                };
                let names = [TRAIN, VAL, TEST].into_iter();
                let opened = names.filter(|part| parts.contains(&Some(part))).map(open);
                let mut opened = opened.collect::<Result<Vec<_>>>()?;
                opened[0].1.read = read;
                opened
            }
        };
        parts[0].1.damaged.extend(missing.into_iter().map(|(_, error)| error));
        // A class may have none because its files are missing.
        let checked = parts[0].1.check_classes(csv, options.tolerant);
        checked.or_else(|none| labels::refuse(csv, &told).and(Err(none)))?;
        Ok(parts)
    }
}

/// The part of a divided folder that is tested on.
fn tested_on(folder: &Path) -> &'static str {
    let has = |part| folder.join(part).is_dir();
    if has(TEST) && !has(VAL) { TEST } else { VAL }
}

/// What parts are made with.
struct Opening<'a> {
    folder: &'a Path,
    classes: &'a [String],
    options: &'a OpenOptions,
    /// What a file is called within its class, of the folder and its path.
    name: for<'p> fn(&Path, &'p Path) -> &'p Path,
}

impl Opening<'_> {
    /// The images of a list, of which a share is held out.
    fn divided(
        &self,
        List { files, foreign, ignored, damaged }: List,
        share: Option<f64>,
    ) -> Result<Vec<(&'static str, ImageFolder)>> {
        let Self { folder, classes, options, .. } = *self;
        let options =
            OpenOptions { digests: options.digests || share.is_some(), ..options.clone() };
        let (found, read) = find(folder, files, &options)?;
        let all = self.images(found.iter(), found.iter());
        let mut all = ImageFolder { ignored, read, ..all }.with_foreign(foreign);
        all.damaged.extend(damaged);
        all.check_damaged(options.skip_damaged)?;
        all.check_classes(folder, options.tolerant)?;
        let Some(share) = share else { return Ok(vec![(ALL, all)]) };
        let whole: Vec<_> = found.iter().filter(|found| found.is_image()).collect();
        let contents =
            whole.iter().map(|found| (found.file.label, found.digest.unwrap_or_default()));
        let held = split::held_out(&contents.collect::<Vec<_>>(), classes.len(), share);
        let [train, val] = [false, true].map(|side| {
            let images = whole.iter().zip(&held).filter(|(_, held)| **held == side);
            // What is damaged has its place among the files, however much of it was looked at.
            let falls = |found: &&Found| {
                found.digest.is_some_and(|digest| split::falls_below(&digest, share)) == side
            };
            self.images(images.map(|(found, _)| *found), found.iter().filter(falls))
        });
        let ImageFolder { damaged, foreign, ignored, read, .. } = all;
        let mut train = ImageFolder { damaged, foreign, ignored, read, ..train };
        train.check_classes(folder, options.tolerant)?;
        Ok(vec![(TRAIN, train), (VAL, val)])
    }

    /// Those that are images of what was found, in a part of the folder's files.
    fn images<'f>(
        &self,
        found: impl Iterator<Item = &'f Found>,
        part: impl Iterator<Item = &'f Found>,
    ) -> ImageFolder {
        let files = part.map(|found| &found.file);
        let fingerprint =
            Fingerprint::new(files, self.classes, |path| (self.name)(self.folder, path));
        ImageFolder::of(self.folder, self.classes, self.options, fingerprint, found)
    }
}

/// The path of a file in the folder of its class, which is in `dir`.
pub(super) fn within_class<'a>(dir: &Path, path: &'a Path) -> &'a Path {
    let mut components = path_in(dir, path).components();
    components.next();
    components.as_path()
}

/// The path of a file in `dir`, or the path if it is elsewhere.
pub(super) fn path_in<'a>(dir: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(dir).unwrap_or(path)
}
