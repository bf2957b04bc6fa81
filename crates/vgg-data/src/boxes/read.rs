//! Files of boxes, checked against the images that they are of.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use vgg_tensor::{Error, Result, hex};

use super::annotation::{Annotation, Annotations, Stated, fault};
use super::lookup::{Found, Lookup, NAMED};
use super::{BoundingBox, Object, coco, csv, voc};
use crate::ImageFolder;
use crate::image_folder::{entries, format_error};
use crate::names::composed;
use crate::picture::turn;

/// Classes that an error names; it counts the others.
const CLASSES: usize = 5;

/// How far a box may reach beyond an image, in pixels: what is added up and rounded to two digits is off by
/// no more. It ends at the image's edge then.
const ROUNDING: f64 = 0.01;

/// How boxes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The number of the first pixel in Pascal VOC's files: 1, or 0 for files of programs that count from 0.
    pub first_pixel: u32,
    /// Leave out what is damaged. Without it damage is an error, and so is an image without a box.
    pub skip_damaged: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { first_pixel: 1, skip_damaged: false }
    }
}

/// The objects in the images of a folder's parts.
#[derive(Debug)]
pub struct Boxes {
    /// By the number of the part and the image's in it.
    objects: Vec<Vec<Vec<Object>>>,
    damaged: Vec<Error>,
}

impl Boxes {
    /// Reads the boxes of the images of `parts` from a file, or from all files in a folder and below it, that
    /// end in `.csv`, `.json` or `.xml` ([formats](super)).
    ///
    /// An image may have several boxes, all in one file. Images are named by their path in the folder of the
    /// images, or as much of its end as tells them from others; a file of Pascal VOC by its own name.
    ///
    /// # Errors
    /// When the files cannot be read; and, unless it is [left out](ReadOptions::skip_damaged), when
    /// something does not make sense: a box that is empty, swapped, not finite or beyond its image, an unknown
    /// class or image, a size that the image does not have, an image whose boxes are in two files, an image
    /// without a box. Messages name the file and the line or the object.
    pub fn read(
        source: &Path,
        parts: &[(&'static str, ImageFolder)],
        options: &ReadOptions,
    ) -> Result<Self> {
        let mut annotations = Annotations::default();
        read_all(source, options, &mut annotations)?;
        let Annotations { annotations, faults: mut damaged } = annotations;
        let resolving = Resolving::new(parts, options.first_pixel);
        let none = |(_, folder): &(_, ImageFolder)| vec![Vec::new(); folder.files().len()];
        let mut objects: Vec<Vec<Vec<Object>>> = parts.iter().map(none).collect();
        let mut files: HashMap<[usize; 2], &Path> = HashMap::new();
        for annotation in &annotations {
            let Annotation { file, place, image, .. } = annotation;
            let at = match resolving.lookup.find(image) {
                Ok(Found::Image(at)) => at,
                Ok(Found::Damaged) => continue,
                Err(reason) => {
                    damaged.push(fault(file, place, &reason));
                    continue;
                }
            };
            let [part, i] = at;
            let first = *files.entry(at).or_insert(file);
            if first != file {
                let name = parts[part].1.name(i).display();
                let reason = format!("boxes of {name} are in {}, too", first.display());
                damaged.push(fault(file, place, &reason));
                continue;
            }
            match resolving.objects(annotation, at) {
                Ok(found) => {
                    for object in found {
                        match object {
                            Ok(object) => objects[part][i].push(object),
                            Err(error) => damaged.push(error),
                        }
                    }
                }
                Err(reason) => damaged.push(fault(file, place, &reason)),
            }
        }
        if !options.skip_damaged {
            refuse(&mut damaged)?;
            refuse_missing(source, parts, &objects)?;
        }
        Ok(Self { objects, damaged })
    }

    /// The objects in each image of a part, in the order of the files.
    ///
    /// # Panics
    /// When there is no such part.
    pub fn of_part(&self, part: usize) -> &[Vec<Object>] {
        &self.objects[part]
    }

    /// The SHA-256 of all objects, whatever files they are written in.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for objects in self.objects.iter().flatten() {
            digest.update((objects.len() as u64).to_le_bytes());
            for Object { label, bounds } in objects {
                digest.update(label.to_le_bytes());
                bounds.corners().iter().for_each(|at| digest.update(at.to_le_bytes()));
            }
        }
        hex(&digest.finalize())
    }

    /// What was left out, and what is wrong with it.
    pub fn damaged(&self) -> &[Error] {
        &self.damaged
    }
}

/// Reads a file, or those of a folder.
fn read_all(source: &Path, options: &ReadOptions, into: &mut Annotations) -> Result<()> {
    let what = "boxes are in .csv, .json or .xml files";
    if source.is_dir() {
        let mut files = Vec::new();
        files_below(source, &mut files)?;
        for file in &files {
            let name = file.strip_prefix(source).unwrap_or(file);
            read_file(file, name, options, into)?;
        }
        return match files.is_empty() {
            true => Err(format_error(source, &format!("no boxes: {what}"))),
            false => Ok(()),
        };
    }
    match is_of_boxes(source) {
        true => read_file(source, source, options, into),
        false if source.exists() => Err(format_error(source, what)),
        false => fs::read(source).map(drop).map_err(|error| io(source, error)),
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        // A link to a folder is not followed, so that links cannot form a loop.
        match path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            true => files_below(&path, files)?,
            false if is_of_boxes(&path) => files.push(path),
            false => {}
        }
    }
    Ok(())
}

/// How a file's name ends.
fn ending(path: &Path) -> String {
    path.extension().map(OsStr::to_string_lossy).unwrap_or_default().to_lowercase()
}

fn is_of_boxes(path: &Path) -> bool {
    ["csv", "json", "xml"].contains(&&*ending(path))
}

fn read_file(
    file: &Path,
    name: &Path,
    options: &ReadOptions,
    into: &mut Annotations,
) -> Result<()> {
    let text = fs::read(file).map_err(|error| io(file, error))?;
    match &*ending(file) {
        "csv" => csv::read(file, &text, into),
        "json" => coco::read(file, &text, into),
        _ => match str::from_utf8(&text) {
            Ok(text) => voc::read(file, name, text, options.first_pixel, into),
            Err(_) => into.fault(file, "", "this is no XML in UTF-8"),
        },
    }
    Ok(())
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.into(), source }
}

/// What is wrong with an object.
enum Wrong {
    /// Its box is not in the image.
    Outside(String),
    Other(String),
}

/// What annotations are understood by.
struct Resolving<'a> {
    parts: &'a [(&'static str, ImageFolder)],
    lookup: Lookup,
    labels: HashMap<String, u32>,
    classes: &'a [String],
    /// [`ReadOptions::first_pixel`]
    first_pixel: u32,
}

impl<'a> Resolving<'a> {
    fn new(parts: &'a [(&'static str, ImageFolder)], first_pixel: u32) -> Self {
        let classes = parts.first().map_or(&[][..], |(_, folder)| folder.classes());
        let labels = (0..).zip(classes).map(|(label, class)| (composed(class).into_owned(), label));
        Self { parts, lookup: Lookup::new(parts), labels: labels.collect(), classes, first_pixel }
    }

    /// The objects of an annotation, or what is wrong with each or with all.
    fn objects(
        &self,
        annotation: &Annotation,
        [part, i]: [usize; 2],
    ) -> Result<Vec<Result<Object>>, String> {
        let (folder, name) =
            (&self.parts[part].1, self.parts[part].1.name(i).display().to_string());
        let decoded = folder.sizes()[i];
        let orientation = match folder.decoding().turned {
            true => folder.orientation(i),
            false => turn::UPRIGHT,
        };
        let stored = turn::size(decoded, orientation);
        let orientation = match annotation.size {
            None => orientation,
            Some(stated) if stated == stored => orientation,
            // The boxes are those of an image that is turned already.
            Some(stated) if stated == decoded => turn::UPRIGHT,
            Some([h, w]) => {
                let [own_h, own_w] = stored;
                return Err(format!(
                    "the image {name} is {own_w} wide and {own_h} high, not {w} and {h} as is said here: the \
                     boxes are of another image, or of another size of it"
                ));
            }
        };
        let size = turn::size(decoded, orientation);
        let object = |stated: &Stated| {
            let found = self.object(stated, size, &name).map_err(|reason| match reason {
                Wrong::Outside(reason) if ending(&annotation.file) == "xml" => format!(
                    "{reason}; the file is read as one that counts pixels from {}, which first_pixel changes",
                    self.first_pixel
                ),
                Wrong::Outside(reason) | Wrong::Other(reason) => reason,
            });
            let found = found.map(|Object { label, bounds }| {
                let corners = turn::corners(bounds.corners(), size, orientation);
                BoundingBox::new(corners).map(|bounds| Object { label, bounds })
            });
            match found {
                Ok(Ok(object)) => Ok(object),
                Ok(Err(error)) => Err(fault(&annotation.file, &stated.place, &error.to_string())),
                Err(reason) => Err(fault(&annotation.file, &stated.place, &reason)),
            }
        };
        Ok(annotation.objects.iter().map(object).collect())
    }

    /// An object in an image of `h` × `w` pixels.
    fn object(&self, stated: &Stated, [h, w]: [usize; 2], name: &str) -> Result<Object, Wrong> {
        let Some(&label) = self.labels.get(&*composed(&stated.class)) else {
            let rest = self.classes.len().saturating_sub(CLASSES);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            let known = self.classes[..self.classes.len().min(CLASSES)].join(", ");
            return Err(Wrong::Other(format!(
                "there is no class {}; the classes are {known}{more}",
                stated.class
            )));
        };
        let bounds = BoundingBox::new(stated.corners);
        let bounds = bounds.map_err(|error| Wrong::Other(error.to_string()))?;
        let [x0, y0, x1, y1] = bounds.corners();
        if x1 <= 1.0 && y1 <= 1.0 && h.max(w) > 1 {
            return Err(Wrong::Other(format!(
                "the box from ({x0}, {y0}) to ({x1}, {y1}) is within the first pixel of {name}: coordinates are \
                 pixels, and these seem to be shares of the image"
            )));
        }
        let [right, bottom] = [w as f64, h as f64];
        let beyond = (-x0).max(-y0).max(x1 - right).max(y1 - bottom);
        let inside = bounds.intersection(&BoundingBox::whole([h, w]));
        match inside {
            Some(bounds) if beyond <= ROUNDING => Ok(Object { label, bounds }),
            _ => Err(Wrong::Outside(format!(
                "the box from ({x0}, {y0}) to ({x1}, {y1}) goes beyond the image {name}, which is {w} wide and \
                 {h} high, from (0, 0) on"
            ))),
        }
    }
}

/// Refuses files that have something wrong.
fn refuse(damaged: &mut Vec<Error>) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    let rest = damaged.len() - 1;
    match damaged.swap_remove(0) {
        Error::Format { path, reason } if rest > 0 => {
            Err(Error::Format { path, reason: format!("{reason} (and {rest} more are damaged)") })
        }
        error => Err(error),
    }
}

/// Refuses images without a box.
fn refuse_missing(
    source: &Path,
    parts: &[(&'static str, ImageFolder)],
    objects: &[Vec<Vec<Object>>],
) -> Result<()> {
    let (mut all, mut missing) = (0, Vec::new());
    for ((_, folder), objects) in parts.iter().zip(objects) {
        all += objects.len();
        let of_part = objects.iter().enumerate().filter(|(_, objects)| objects.is_empty());
        missing.extend(of_part.map(|(i, _)| folder.name(i).display().to_string()));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let named = missing[..missing.len().min(NAMED)].join(", ");
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let reason = format!(
        "{} of {all} images have no box: {named}{more}; give them one, or skip what is damaged",
        missing.len()
    );
    Err(format_error(source, &reason))
}
