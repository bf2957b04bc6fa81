//! Images by their names.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path};

use vgg_tensor::Error;

use super::annotation::Name;
use crate::ImageFolder;
use crate::names::composed;

/// Images that an error names; it counts the others.
pub(super) const NAMED: usize = 3;

/// The images of a folder's parts.
pub(super) struct Lookup {
    /// By the last part of the path up to its ending.
    images: HashMap<String, Vec<Image>>,
    /// The names of folders that images are in.
    folders: HashSet<String>,
    /// The names of files that are there and damaged, without their endings.
    damaged: HashSet<String>,
}

struct Image {
    path: Vec<String>,
    /// The number of the part, and the image's in it.
    place: [usize; 2],
}

/// What an image's name leads to.
pub(super) enum Found {
    Image([usize; 2]),
    /// A file that is left out as it is damaged.
    Damaged,
}

impl Lookup {
    pub(super) fn new(parts: &[(&'static str, ImageFolder)]) -> Self {
        let mut images: HashMap<String, Vec<Image>> = HashMap::new();
        let mut known = HashSet::new();
        for (part, (_, folder)) in parts.iter().enumerate() {
            for i in 0..folder.files().len() {
                let path = words(folder.name(i));
                known.extend(folders(&path).iter().cloned());
                let of_stem = images.entry(stem(&path)).or_default();
                of_stem.push(Image { path, place: [part, i] });
            }
        }
        let damaged = parts.iter().flat_map(|(_, folder)| folder.damaged());
        let damaged = damaged.filter_map(|error| match error {
            Error::Format { path, .. } | Error::Io { path, .. } => Some(stem(&words(path))),
            _ => None,
        });
        Self { images, folders: known, damaged: damaged.collect() }
    }

    /// The image of a name, which is all of its path or an end of it that no other has. Folders that a path
    /// begins with, and no image is in, are of the machine where it was written, and say nothing.
    pub(super) fn find(&self, name: &Name) -> Result<Found, String> {
        let (mut wanted, shown) = match name {
            Name::Path(path) => (words(Path::new(path)), path.clone()),
            Name::Beside(path) => (words(path), path.display().to_string()),
        };
        let foreign = folders(&wanted).iter().take_while(|folder| !self.folders.contains(*folder));
        wanted.drain(..foreign.count());
        let of_stem = self.images.get(&stem(&wanted)).map_or(&[][..], |images| images);
        let mut best: (usize, Vec<&Image>) = (0, Vec::new());
        for image in of_stem {
            let common = match name {
                Name::Path(_) => {
                    let common = ends(&image.path, &wanted);
                    // All of the one is the end of the other.
                    if common == wanted.len().min(image.path.len()) { common } else { 0 }
                }
                Name::Beside(_) => 1 + ends(folders(&image.path), folders(&wanted)),
            };
            if common > best.0 {
                best = (common, Vec::new());
            }
            if common == best.0 && common > 0 {
                best.1.push(image);
            }
        }
        match (&best.1[..], name) {
            ([image], _) => Ok(Found::Image(image.place)),
            ([], _) if self.damaged.contains(&stem(&wanted)) => Ok(Found::Damaged),
            ([], Name::Path(_)) => {
                let near = of_stem.iter().take(NAMED).map(|image| image.path.join("/"));
                let near = near.collect::<Vec<_>>().join(" and ");
                let near = if near.is_empty() { near } else { format!(", but {near}") };
                Err(format!(
                    "there is no image {shown}{near}: paths begin in the folder of the images, or are as much of \
                     a path's end as tells it from others"
                ))
            }
            ([], Name::Beside(_)) => Err(format!(
                "there is no image of this name, {}, with an image's ending",
                stem(&wanted)
            )),
            (several, _) => {
                let names = several.iter().take(NAMED).map(|image| image.path.join("/"));
                let names = names.collect::<Vec<_>>().join(" or ");
                Err(format!("{shown} may be {names}: more of its path must be there"))
            }
        }
    }
}

/// The names that a path is made of, composed. Files are carried to other systems, so that `\` is between
/// names, too.
fn words(path: &Path) -> Vec<String> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(composed(&name.to_string_lossy()).into_owned()),
        _ => None,
    });
    let parts = |name: String| name.split('\\').map(str::to_owned).collect::<Vec<_>>();
    names.flat_map(parts).filter(|name| !["", ".", ".."].contains(&&**name)).collect()
}

/// The last name without its ending.
fn stem(words: &[String]) -> String {
    let last = words.last().map_or("", |last| last);
    last.rsplit_once('.').map_or(last, |(stem, _)| stem).to_owned()
}

fn folders(words: &[String]) -> &[String] {
    &words[..words.len().saturating_sub(1)]
}

/// How many names two paths have in common at their ends.
fn ends(a: &[String], b: &[String]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}
