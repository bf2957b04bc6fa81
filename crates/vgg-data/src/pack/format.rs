//! The bytes of a pack.
//!
//! Numbers are little-endian, and a text is its length in 4 bytes and its UTF-8.
//!
//! | bytes | |
//! |---|---|
//! | 8, 4, 4 | [`MAGIC`], [`VERSION`], zeros |
//! | … | the contents of the images, one after another |
//! | … | the index |
//! | 8, 8, 32, 8 | where the index begins, its length, the SHA-256 of index and these two, [`MAGIC`] |
//!
//! The index: 1 byte, 0 for files and 1 for pixels; of pixels how they were decoded, that is a byte each
//! for the channels, whether they are turned, whether there is a background and its three levels, and 4
//! for the longest short side; the number of classes, 4 bytes, and their names; the number of parts, 4
//! bytes, and of each the name and the number of images, 4 bytes; of each image of each part where its
//! contents begin, 8 bytes, then, 4 bytes each, their length and CRC-32, height, width and label, in 1
//! byte the EXIF orientation, and the name.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::{Contents, Entry, Index};
use crate::Decoding;
use crate::picture::MAX_SIDE;

pub(super) const MAGIC: &[u8; 8] = b"VGG pack";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 16;
pub(super) const FOOTER_LEN: usize = 56;

/// The fewest bytes that an image has in the index.
const LEAST: usize = 8 + 5 * 4 + 1 + 4;

pub(super) fn header() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes(), &[0; 4]].concat()
}

/// What a header says is wrong with the file.
pub(super) fn check_header(header: &[u8]) -> Result<(), String> {
    let version = header.strip_prefix(MAGIC).and_then(<[u8]>::first_chunk);
    match version.map(|version| u32::from_le_bytes(*version)) {
        None => Err("this is no pack of images".into()),
        Some(VERSION) => Ok(()),
        Some(other) => Err(format!(
            "a pack of version {other}, where version {VERSION} is read: pack the images again"
        )),
    }
}

/// The end of a file whose index begins at `start`.
pub(super) fn footer(start: u64, index: &[u8]) -> Vec<u8> {
    let places = [start.to_le_bytes(), (index.len() as u64).to_le_bytes()].concat();
    let sha256 = sha256(index, &places);
    [&places, &sha256[..], MAGIC].concat()
}

/// Where the index is, of the end of a file of `len` bytes.
pub(super) fn index_place(footer: &[u8], len: usize) -> Result<Range<usize>, String> {
    let cut = || "the pack is cut short, or was never finished: pack the images again".to_owned();
    let number = |at: usize| {
        let bytes = footer.get(at..).and_then(<[u8]>::first_chunk)?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    };
    let (Some(start), Some(index_len), true) = (number(0), number(8), footer.ends_with(MAGIC))
    else {
        return Err(cut());
    };
    match start.checked_add(index_len) {
        Some(end) if end.checked_add(FOOTER_LEN) == Some(len) && start >= HEADER_LEN => {
            Ok(start..end)
        }
        _ => Err(cut()),
    }
}

/// The SHA-256 of an index, if the footer has the same.
pub(super) fn check_index(footer: &[u8], index: &[u8]) -> Result<[u8; 32], String> {
    let (places, rest) = footer.split_at(16);
    let found = sha256(index, places);
    match rest.starts_with(&found) {
        true => Ok(found),
        false => Err("the pack is damaged: its index has another checksum".into()),
    }
}

fn sha256(index: &[u8], places: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(index).chain_update(places).finalize().into()
}

impl Index {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, n: usize| out.extend((n as u32).to_le_bytes());
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        };
        match self.contents {
            Contents::Files => out.push(0),
            Contents::Pixels { decoding, short_side } => {
                let Decoding { channels, turned, background, .. } = decoding;
                out.extend([1, channels as u8, turned.into(), background.is_some().into()]);
                out.extend(background.unwrap_or_default());
                number(&mut out, short_side);
            }
        }
        number(&mut out, self.classes.len());
        self.classes.iter().for_each(|class| text(&mut out, class));
        number(&mut out, self.parts.len());
        for (name, images) in &self.parts {
            text(&mut out, name);
            number(&mut out, *images);
        }
        for entry in &self.entries {
            out.extend(entry.start.to_le_bytes());
            out.extend(entry.len.to_le_bytes());
            out.extend(entry.crc32.to_le_bytes());
            number(&mut out, entry.size[0]);
            number(&mut out, entry.size[1]);
            out.extend(entry.label.to_le_bytes());
            out.push(entry.orientation);
            text(&mut out, &entry.name.to_string_lossy());
        }
        out
    }

    /// What `bytes` say, of a file whose contents end at `end`.
    pub(super) fn decode(bytes: &[u8], end: u64) -> Option<Self> {
        let mut rest = Rest(bytes);
        let contents = match rest.byte()? {
            0 => Contents::Files,
            1 => {
                let [channels, turned, has_background, r, g, b] = rest.array()?;
                let decoding = Decoding {
                    channels: [1, 3].contains(&channels).then_some(channels.into())?,
                    turned: flag(turned)?,
                    background: flag(has_background)?.then_some([r, g, b]),
                    scaled: false,
                };
                Contents::Pixels { decoding, short_side: rest.number()? }
            }
            _ => return None,
        };
        let classes = (0..rest.count(4)?).map(|_| rest.text()).collect::<Option<Vec<_>>>()?;
        let n_parts = rest.count(8)?;
        let parts = (0..n_parts).map(|_| Some((rest.text()?, rest.number()?)));
        let parts = parts.collect::<Option<Vec<(String, usize)>>>()?;
        let images = parts.iter().try_fold(0_usize, |sum, (_, n)| sum.checked_add(*n))?;
        if images > rest.0.len() / LEAST {
            return None;
        }
        let mut entries = Vec::with_capacity(images);
        for _ in 0..images {
            let entry = Entry {
                start: u64::from_le_bytes(rest.array()?),
                len: u32::from_le_bytes(rest.array()?),
                crc32: u32::from_le_bytes(rest.array()?),
                size: [rest.number()?, rest.number()?],
                label: u32::from_le_bytes(rest.array()?),
                orientation: rest.byte()?,
                name: rest.text()?.into(),
            };
            let [h, w] = entry.size;
            let sides = 1..=MAX_SIDE as usize;
            let makes_sense = entry.start >= HEADER_LEN as u64
                && entry.start.checked_add(entry.len.into())? <= end
                && sides.contains(&h)
                && sides.contains(&w)
                && (entry.label as usize) < classes.len()
                && (1..=8).contains(&entry.orientation);
            // The sides are known to be small where they are multiplied.
            let fits = makes_sense
                && match contents {
                    Contents::Files => true,
                    Contents::Pixels { decoding, .. } => {
                        entry.len as usize == h * w * decoding.channels && entry.orientation == 1
                    }
                };
            entries.push(fits.then_some(entry)?);
        }
        rest.0.is_empty().then_some(Self { contents, classes, parts, entries })
    }
}

fn flag(byte: u8) -> Option<bool> {
    (byte < 2).then_some(byte == 1)
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<usize> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    /// A number of things of which each takes at least so many bytes.
    fn count(&mut self, least: usize) -> Option<usize> {
        self.number().filter(|n| *n <= self.0.len() / least)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.number()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        String::from_utf8(text.into()).ok()
    }
}
