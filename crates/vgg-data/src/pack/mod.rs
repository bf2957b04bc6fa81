//! Packs: the images of a folder in one file, for disks that are slow with many small ones.
//!
//! A pack has the images' files as they are, or their pixels. It is mapped into memory, so that of
//! pixels those that are cut out are read where the system has them, and no others.
//!
//! Who reads where another process has cut a mapped file, or where a disk fails, gets a signal or, on
//! Windows, an exception instead of an error; [`leave_when_unreadable`] says what it means.

mod format;
#[cfg(any(unix, windows))]
mod leave;
mod map;
#[cfg(test)]
mod tests;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use vgg_tensor::{Error, Result, hex};

use crate::picture::{Header, Sampled};
use crate::{Decoding, Picture};
use format::{FOOTER_LEN, HEADER_LEN};
#[cfg(any(unix, windows))]
pub use leave::leave_when_unreadable;
use map::Map;
pub use write::write;

/// What a pack has of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Contents {
    /// Its file.
    Files,
    /// Its pixels.
    Pixels {
        /// How its file was decoded.
        decoding: Decoding,
        /// The longest short side: larger images are scaled to it, as
        /// [`scaled_size`](crate::scaled_size) has it.
        short_side: usize,
    },
}

/// What a pack says of itself.
#[derive(Clone, Debug, PartialEq)]
struct Index {
    contents: Contents,
    classes: Vec<String>,
    /// The name of each part, and its images.
    parts: Vec<(String, usize)>,
    /// Of all images, part after part.
    entries: Vec<Entry>,
}

/// What a pack says of an image.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    start: u64,
    len: u32,
    crc32: u32,
    /// Height and width as it is stored.
    size: [usize; 2],
    label: u32,
    orientation: u8,
    name: PathBuf,
}

/// A file of images.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    map: Map,
    index: Index,
    sha256: [u8; 32],
    /// Of each image, whether it has its checksum.
    is_checked: Box<[AtomicBool]>,
}

impl Pack {
    /// Opens a pack and checks its index. What an image is is checked when it is first read.
    ///
    /// # Errors
    /// When it cannot be read, is none, is of another version, was cut or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.into(), source };
        let wrong = |reason| Error::Format { path: path.into(), reason };
        let map = Map::of(path).map_err(io)?;
        let bytes = map.bytes();
        format::check_header(&bytes[..bytes.len().min(HEADER_LEN)]).map_err(wrong)?;
        let footer = &bytes[bytes.len().saturating_sub(FOOTER_LEN)..];
        let place = format::index_place(footer, bytes.len()).map_err(wrong)?;
        let (start, index) = (place.start, &bytes[place]);
        let sha256 = format::check_index(footer, index).map_err(wrong)?;
        let index = Index::decode(index, start as u64)
            .ok_or_else(|| wrong("the pack is damaged: its index makes no sense".into()))?;
        let is_checked = index.entries.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self { path: path.into(), map, index, sha256, is_checked })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of its index, in which the checksums of all images are.
    pub fn sha256(&self) -> String {
        hex(&self.sha256)
    }

    /// What it has of an image.
    pub fn contents(&self) -> Contents {
        self.index.contents
    }

    /// The names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.index.classes
    }

    /// The names of its parts, such as `train` and `val`.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.index.parts.iter().map(|(name, _)| &**name)
    }

    /// The images of a part, among all.
    pub(crate) fn range(&self, part: &str) -> Option<Range<usize>> {
        let mut start = 0;
        for (name, images) in &self.index.parts {
            if name == part {
                return Some(start..start + images);
            }
            start += images;
        }
        None
    }

    /// The label of each image.
    pub(crate) fn labels(&self) -> impl Iterator<Item = u32> {
        self.index.entries.iter().map(|entry| entry.label)
    }

    /// The name that image `i` had in its folder.
    pub(crate) fn name(&self, i: usize) -> &Path {
        &self.index.entries[i].name
    }

    /// Height and width of image `i`.
    pub(crate) fn size(&self, i: usize, turned: bool) -> [usize; 2] {
        let Entry { size, orientation, .. } = self.index.entries[i];
        Header { stored: size, orientation, animated: false }.size(turned)
    }

    /// Bytes of memory that the index takes.
    pub(crate) fn bytes(&self) -> u64 {
        let of = |entry: &Entry| size_of::<Entry>() + entry.name.as_os_str().len();
        self.index.entries.iter().map(|entry| of(entry) as u64).sum()
    }

    /// Image `i`, as [`Picture::read_for`] reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is a file that cannot be decoded.
    pub(crate) fn picture_for(
        &self,
        i: usize,
        decoding: &Decoding,
        wanted: &dyn Fn([usize; 2]) -> [usize; 2],
    ) -> Result<Sampled<'_>> {
        let Entry { start, len, crc32, size: [h, w], ref name, .. } = self.index.entries[i];
        let bytes = &self.map.bytes()[start as usize..][..len as usize];
        // Threads that come at once all check it.
        if !self.is_checked[i].load(Ordering::Relaxed) {
            if crc32fast::hash(bytes) != crc32 {
                let reason =
                    format!("the pack is damaged: {} has another checksum", name.display());
                return Err(Error::Format { path: self.path.clone(), reason });
            }
            self.is_checked[i].store(true, Ordering::Relaxed);
        }
        match self.index.contents {
            Contents::Files => Picture::decode_for(&self.path.join(name), bytes, decoding, wanted),
            Contents::Pixels { decoding: Decoding { channels: c, .. }, .. } => {
                let whole = Sampled::whole(bytes, [h, w], c);
                Ok(whole.with_channels(decoding.channels).scaled_to(wanted([h, w])))
            }
        }
    }
}
