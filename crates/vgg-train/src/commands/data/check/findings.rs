//! What there is to know of a folder of images.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use vgg_data::image_folder::Digest;
use vgg_data::{ImageFolder, names};

use crate::data::folder::{Parts, told_alike, told_repeated};
use crate::terminal::numbers::grouped;

/// A short side below this is tiny: networks are fed with more, so that most of it would be made up.
const TINY: usize = 32;
/// More pixels than this are huge: they take time to decode, and seconds to look at.
const HUGE: usize = 40_000_000;
/// A long side above so many short ones is extreme: the centre that is cut shows little of it.
const EXTREME: usize = 4;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub parts: Vec<Part>,
    pub classes: Vec<Class>,
    /// Classes whose names differ in case, or in how words are divided, alone.
    pub alike: Vec<[String; 2]>,
    /// The folders that are in each class: those may be the classes.
    pub repeated: Vec<String>,
    /// How many times as many images the largest class has in the first part as the smallest that has any.
    pub imbalance: f64,
    /// Files with the same contents, in several parts: they are tested on though known …
    pub duplicates_across: Vec<Pair>,
    /// … and in one.
    pub duplicates_within: Vec<Pair>,
    pub odd_sizes: Vec<Odd>,
    /// Images that are turned or mirrored as their EXIF data say.
    pub turned: usize,
    /// Animations, of which the first frame is the image.
    pub animated: usize,
    /// Files that are passed over because they are no images, or of kinds that are not read.
    pub skipped: Vec<Skipped>,
    pub damaged: Vec<Damaged>,
}

/// The images of a part.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    pub name: &'static str,
    pub images: usize,
    /// Files that are no images.
    #[serde(skip)]
    pub ignored: usize,
    pub height: Option<Range>,
    pub width: Option<Range>,
    pub short_side: Option<Range>,
}

#[derive(Debug, Serialize)]
pub(super) struct Range {
    pub least: usize,
    pub median: usize,
    pub most: usize,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, median {}", self.least, self.most, self.median)
    }
}

impl Range {
    /// Of numbers that there may be none of, in words.
    pub(super) fn told(range: Option<&Self>) -> String {
        range.map_or("none".into(), Self::to_string)
    }

    /// Of some numbers.
    pub(super) fn of(mut numbers: Vec<usize>) -> Option<Self> {
        numbers.sort_unstable();
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        Some(Self { least, median: numbers[numbers.len() / 2], most })
    }
}

/// A class, and its images in each part.
#[derive(Debug, Serialize)]
pub(super) struct Class {
    pub name: String,
    pub images: Vec<usize>,
}

/// Where an image is: the number of its part and its own in it.
pub(super) type Place = (usize, usize);

/// A file that is a copy of another one.
#[derive(Debug, Serialize)]
pub(super) struct Pair {
    pub file: String,
    pub same_as: String,
    /// Whether they are of two classes, one of which is wrong.
    pub other_class: bool,
    #[serde(skip)]
    pub places: [Place; 2],
}

/// An image of an odd size, and why it is odd.
#[derive(Debug, Serialize)]
pub(super) struct Odd {
    pub file: String,
    pub height: usize,
    pub width: usize,
    pub why: &'static str,
    #[serde(skip)]
    pub place: Place,
}

#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub files: usize,
    pub why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Damaged {
    pub file: String,
    pub why: String,
}

impl Findings {
    /// Of the parts of a folder, in each of whose classes the folders `repeated` are.
    pub(super) fn of(parts: &Parts, repeated: Vec<String>) -> Self {
        let names = parts[0].1.classes().iter();
        let mut classes: Vec<_> =
            names.map(|name| Class { name: name.clone(), images: vec![0; parts.len()] }).collect();
        for (i, (_, part)) in parts.iter().enumerate() {
            part.files().iter().for_each(|file| classes[file.label as usize].images[i] += 1);
        }
        // A class that has none is among what is damaged.
        let first = || classes.iter().map(|class| class.images[0]).filter(|images| *images > 0);
        let (least, most) = (first().min().unwrap_or(0), first().max().unwrap_or(0));
        let (across, within) = duplicates(parts);
        let mut skipped: Vec<_> = parts
            .iter()
            .flat_map(|(_, part)| part.foreign())
            .map(|(kind, files)| Skipped { files: *files, why: kind.to_string() })
            .collect();
        let ignored = parts.iter().map(|(_, part)| part.ignored()).sum();
        if ignored > 0 {
            skipped.push(Skipped { files: ignored, why: "they are no images".into() });
        }
        let alike = names::alike(parts[0].1.classes());
        Self {
            alike: alike.map(|(one, other)| [one.to_owned(), other.to_owned()]).collect(),
            repeated,
            parts: parts.iter().map(|(name, part)| Part::of(name, part)).collect(),
            classes,
            imbalance: most as f64 / least.max(1) as f64,
            duplicates_across: across,
            duplicates_within: within,
            odd_sizes: odd_sizes(parts),
            turned: parts.iter().map(|(_, part)| part.turned()).sum(),
            animated: parts.iter().map(|(_, part)| part.animated()).sum(),
            skipped,
            damaged: parts.iter().flat_map(|(_, part)| part.damaged()).map(Damaged::of).collect(),
        }
    }

    /// All copies, those in two parts first.
    pub(super) fn copies(&self) -> impl Iterator<Item = &Pair> {
        self.duplicates_across.iter().chain(&self.duplicates_within)
    }

    /// What to think of classes by their names and folders.
    pub(super) fn classes_told(&self) -> impl Iterator<Item = String> {
        let alike = self.alike.iter().map(|[one, other]| told_alike(one, other));
        let names: Vec<_> = self.classes.iter().map(|class| class.name.clone()).collect();
        alike.chain(told_repeated(&self.repeated, &names))
    }

    /// How many copies there are, in words.
    pub(super) fn copies_told(&self) -> String {
        let Self { duplicates_across: across, duplicates_within: within, .. } = self;
        let [across, within] = [across, within].map(|pairs| grouped(pairs.len() as u64));
        let told = format!("{across} in two parts, {within} within a part");
        match self.copies().filter(|pair| pair.other_class).count() as u64 {
            0 => told,
            n => format!("{told}; {} of two classes, one of which is wrong", grouped(n)),
        }
    }
}

impl Part {
    fn of(name: &'static str, part: &ImageFolder) -> Self {
        let range =
            |of: &dyn Fn(&[usize; 2]) -> usize| Range::of(part.sizes().iter().map(of).collect());
        Self {
            name,
            images: part.files().len(),
            ignored: part.ignored(),
            height: range(&|[h, _]| *h),
            width: range(&|[_, w]| *w),
            short_side: range(&|[h, w]| *h.min(w)),
        }
    }
}

impl Damaged {
    pub(super) fn of(error: &vgg_tensor::Error) -> Self {
        match error {
            vgg_tensor::Error::Format { path, reason } => {
                Self { file: path.display().to_string(), why: reason.clone() }
            }
            vgg_tensor::Error::Io { path, source } => {
                Self { file: path.display().to_string(), why: source.to_string() }
            }
            error => Self { file: String::new(), why: error.to_string() },
        }
    }
}

/// Files that are copies of others, across parts and within one.
fn duplicates(parts: &Parts) -> (Vec<Pair>, Vec<Pair>) {
    let mut first: HashMap<&Digest, Place> = HashMap::new();
    let (mut across, mut within) = (Vec::new(), Vec::new());
    for (part, (_, folder)) in parts.iter().enumerate() {
        for (i, digest) in folder.digests().iter().enumerate() {
            let Some(&other) = first.get(digest) else {
                first.insert(digest, (part, i));
                continue;
            };
            let pairs = if part == other.0 { &mut within } else { &mut across };
            let places = [(part, i), other];
            let [file, same_as] = places.map(|place| path(parts, place));
            let [class, other_class] = places.map(|(part, i)| parts[part].1.files()[i].label);
            pairs.push(Pair { file, same_as, other_class: class != other_class, places });
        }
    }
    (across, within)
}

fn odd_sizes(parts: &Parts) -> Vec<Odd> {
    let mut odd = Vec::new();
    for (part, (_, folder)) in parts.iter().enumerate() {
        for (i, [height, width]) in folder.sizes().iter().copied().enumerate() {
            let (short, long) = (height.min(width), height.max(width));
            let why = match () {
                () if short < TINY => "tiny: a short side below 32",
                () if height * width > HUGE => "huge: more than 40 megapixels",
                () if long > EXTREME * short => "extreme: more than four times as long as short",
                () => continue,
            };
            let place = (part, i);
            odd.push(Odd { file: path(parts, place), height, width, why, place });
        }
    }
    odd
}

/// Where the file of an image is.
pub(super) fn path(parts: &Parts, (part, i): Place) -> String {
    parts[part].1.files()[i].path.display().to_string()
}
