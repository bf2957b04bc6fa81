//! Packs: the images of a folder in one file, for disks that are slow with many small ones.
//!
//! A pack has the images' files as they are, or their pixels. It is read where an image is, without a
//! map of it in memory: a file that somebody cuts would take the process with it, and what the system
//! has of it in memory is copied faster than pixels are scaled.

mod format;
mod read_at;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use vgg_tensor::{Error, Result, hex};

use crate::picture::{Header, Sampled};
use crate::{Decoding, Picture};
use format::{FOOTER_LEN, HEADER_LEN};
use read_at::read_at;
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
    file: File,
    index: Index,
    sha256: [u8; 32],
}

impl Pack {
    /// Opens a pack and checks its index. What the images are is checked when they are read.
    ///
    /// # Errors
    /// When it cannot be read, is none, is of another version, was cut or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.into(), source };
        let wrong = |reason| Error::Format { path: path.into(), reason };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut header = vec![0; len.min(HEADER_LEN) as usize];
        read_at(&file, &mut header, 0).map_err(io)?;
        format::check_header(&header).map_err(wrong)?;
        let footer_len = len.min(FOOTER_LEN);
        let mut footer = vec![0; footer_len as usize];
        read_at(&file, &mut footer, len - footer_len).map_err(io)?;
        let (start, index_len) = format::index_place(&footer, len).map_err(wrong)?;
        let mut index = vgg_tensor::room_for(index_len as usize)?;
        index.resize(index_len as usize, 0);
        read_at(&file, &mut index, start).map_err(io)?;
        let sha256 = format::check_index(&footer, &index).map_err(wrong)?;
        let index = Index::decode(&index, start)
            .ok_or_else(|| wrong("the pack is damaged: its index makes no sense".into()))?;
        Ok(Self { path: path.into(), file, index, sha256 })
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
    ) -> Result<Sampled> {
        let Entry { start, len, crc32, size: [h, w], ref name, .. } = self.index.entries[i];
        let mut bytes = vgg_tensor::room_for(len as usize)?;
        bytes.resize(len as usize, 0);
        let read = read_at(&self.file, &mut bytes, start);
        read.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        if crc32fast::hash(&bytes) != crc32 {
            let reason = format!("the pack is damaged: {} has another checksum", name.display());
            return Err(Error::Format { path: self.path.clone(), reason });
        }
        match self.index.contents {
            Contents::Files => Picture::decode_for(&self.path.join(name), &bytes, decoding, wanted),
            Contents::Pixels { decoding: Decoding { channels: c, .. }, .. } => {
                let picture = Picture { pixels: bytes, h, w, c }.with_channels(decoding.channels);
                Ok(Sampled::whole(picture, wanted([h, w])))
            }
        }
    }
}
