//! How the images of a folder are labelled and divided.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use vgg_tensor::{Error, Result};

use super::fingerprint::Fingerprint;
use super::labels::{self, Labelled};
use super::list::{self, List, image_file, order, right_class_names, with_ending};
use super::{
    ALL, Found, ImageFolder, OpenOptions, PartFolders, Place, TEST, TRAIN, VAL, class_names, find,
    split,
};
use crate::names::composed;

/// How the images of a folder are labelled, and which of them are held out to test on.
///
/// Without labels and a share, they are in `train/CLASS` and in `val/CLASS` or, without that, `test/CLASS`, by these
/// names or others of [`PartFolders`]; or in `CLASS` and not divided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrangement {
    /// A CSV file of labels, with lines `path,label` or `path,label,split`; without one, a class is a
    /// folder.
    pub labels: Option<PathBuf>,
    /// The share that is held out of images that nobody has divided, above 0 and below 1. Contents
    /// decide, so that copies are never in both parts, and more images move none, but for the one of
    /// a class that would have none in a part.
    pub split: Option<f64>,
    /// The part of a divided folder that is tested on: [`VAL`] or [`TEST`]. Labels tell of all parts.
    pub test_part: Option<&'static str>,
}

impl Arrangement {
    /// The names of the classes, composed and sorted.
    ///
    /// # Errors
    /// As [`class_names`] and [`PartFolders::of`], and when the labels make no sense.
    pub fn class_names(&self, folder: &Path) -> Result<Vec<String>> {
        if let Some(csv) = &self.labels {
            let classes = labels::read(csv, folder)?.into_iter().map(|line| line.class);
            return Ok(classes.collect::<BTreeSet<_>>().into_iter().collect());
        }
        match self.part_folders(folder)? {
            Some(parts) => class_names(parts.train()?),
            None => class_names(folder),
        }
    }

    /// As [`Self::class_names`], with those that only the images to test on have. What is wrong with the name
    /// of a class is told where it is opened.
    ///
    /// # Errors
    /// As [`Self::class_names`].
    pub fn all_class_names(&self, folder: &Path) -> Result<Vec<String>> {
        if self.labels.is_some() {
            return self.class_names(folder);
        }
        let Some(parts) = self.part_folders(folder)? else { return right_class_names(folder) };
        let mut names: BTreeSet<_> = right_class_names(parts.train()?)?.into_iter().collect();
        for (_, path) in parts.all() {
            // What is wrong with that part is told where it is opened.
            names.extend(right_class_names(path).unwrap_or_default());
        }
        Ok(names.into_iter().collect())
    }

    /// The folders of the parts, if folders divide the images.
    ///
    /// # Errors
    /// As [`PartFolders::of`].
    pub fn part_folders(&self, folder: &Path) -> Result<Option<PartFolders>> {
        match self {
            Self { labels: None, split: None, .. } => PartFolders::of(folder),
            Self { .. } => Ok(None),
        }
    }

    /// The names of the folders that are in each class, two or more of them, where a class is a folder and
    /// these seem to be the classes rather.
    pub fn repeated_in_classes(&self, folder: &Path) -> Vec<String> {
        match (&self.labels, self.part_folders(folder)) {
            (None, Ok(None)) => {
                let entries = list::entries(folder).unwrap_or_default().into_iter();
                let folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
                list::repeated_folders(&folders)
            }
            _ => Vec::new(),
        }
    }

    /// Opens the parts of a folder, by their names: [`TRAIN`] and the one that is tested on; all that labels
    /// tell of; or [`ALL`] of images that are not divided.
    ///
    /// # Errors
    /// As [`ImageFolder::open`] and [`PartFolders::tested_on`]; when labels make no sense or name files that are
    /// not there (which are left out if damaged ones may be); and when a class would have no image to train on.
    pub fn open(
        &self,
        folder: &Path,
        classes: &[String],
        options: &OpenOptions,
    ) -> Result<Vec<(&'static str, ImageFolder)>> {
        match self.part_folders(folder)? {
            Some(parts) => {
                let train = (TRAIN, parts.train()?);
                let parts = [train, parts.tested_on(self.test_part)?].into_iter();
                parts.map(|(part, path)| opened(part, path, classes, options)).collect()
            }
            None => self.open_others(folder, classes, options),
        }
    }

    /// As [`Self::open`], with all parts of a folder.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_all(
        &self,
        folder: &Path,
        classes: &[String],
        options: &OpenOptions,
    ) -> Result<Vec<(&'static str, ImageFolder)>> {
        match self.part_folders(folder)? {
            Some(parts) => {
                parts.train()?;
                parts.tested_on(None)?;
                let parts = parts.all().iter();
                parts.map(|(part, path)| opened(part, path, classes, options)).collect()
            }
            None => self.open_others(folder, classes, options),
        }
    }

    /// The parts of a folder that no folders divide.
    fn open_others(
        &self,
        folder: &Path,
        classes: &[String],
        options: &OpenOptions,
    ) -> Result<Vec<(&'static str, ImageFolder)>> {
        if let Some(csv) = &self.labels {
            return self.labelled(csv, self.split, folder, classes, options);
        }
        let list = list::list(folder, classes, options)?;
        let place = Place::Folder(folder);
        let opening = Opening { folder, place, classes, options, name: within_class };
        opening.divided(list, self.split)
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
            match image_file(path.clone(), labels[&*class] as u32) {
                Ok(file) => files.push((file, part)),
                Err(error) => missing.push((line, without_ending(path).unwrap_or(error))),
            }
        }
        let told = missing.iter().map(|(line, error)| format!("line {line}: {error}"));
        let told: Vec<_> = told.collect();
        if !options.skip_damaged {
            labels::refuse(csv, &told)?;
        }
        // The order of the lines decides nothing.
        files.sort_by_cached_key(|(file, _)| (file.label, order(file.path.as_os_str())));
        let place = Place::Labels(csv);
        let opening = Opening { folder, place, classes, options, name: path_in };
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
        let checked = parts[0].1.check_classes(place, options.tolerant);
        checked.or_else(|none| labels::refuse(csv, &told).and(Err(none)))?;
        Ok(parts)
    }
}

fn opened(
    part: &'static str,
    path: &Path,
    classes: &[String],
    options: &OpenOptions,
) -> Result<(&'static str, ImageFolder)> {
    Ok((part, ImageFolder::open(path, classes, options)?))
}

/// What is wrong with the path of an image whose name is there with an ending.
fn without_ending(path: PathBuf) -> Option<Error> {
    let reason = format!("no such file, but {}: a path has its ending", with_ending(&path)?);
    Some(list::format_error(path, &reason))
}

/// What parts are made with.
struct Opening<'a> {
    folder: &'a Path,
    place: Place<'a>,
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
        let Self { folder, place, classes, options, .. } = *self;
        let options =
            OpenOptions { digests: options.digests || share.is_some(), ..options.clone() };
        let (found, read) = find(folder, files, &options)?;
        let all = self.images(found.iter(), found.iter());
        let mut all = ImageFolder { ignored, read, ..all }.with_foreign(foreign);
        all.damaged.extend(damaged);
        all.check_damaged(options.skip_damaged)?;
        all.check_classes(place, options.tolerant)?;
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
        train.check_classes(place, options.tolerant)?;
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
