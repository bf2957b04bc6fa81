//! A JPEG's markers: where it ends, and what its header asks for.

use std::io::{Read, Seek, SeekFrom};

use super::exif::{self, array};

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// Application data, of which EXIF and XMP are kinds.
const APP1: u8 = 0xe1;

/// Whether the image has its end. What comes after it is no part of it, such as the film of a motion
/// photo; what is within a segment, such as a preview, is not looked at.
pub(super) fn is_whole(jpeg: &[u8]) -> bool {
    let mut rest = jpeg.get(START_OF_IMAGE.len()..).unwrap_or_default();
    // Compressed data are passed over: no marker is in them but those that restart the decoder, as a
    // zero follows each ff.
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && starts_segment(pair[1]))
    {
        if rest[at + 1] == END_OF_IMAGE {
            return true;
        }
        let segment = &rest[at + 2..];
        let len = segment.first_chunk().map_or(0, |len| u16::from_be_bytes(*len));
        match segment.get(usize::from(len)..) {
            Some(after) if len >= 2 => rest = after,
            _ => return false,
        }
    }
    false
}

/// The EXIF orientation, if the header tells one.
pub(super) fn orientation(jpeg: &mut (impl Read + Seek)) -> Option<u8> {
    jpeg.seek(SeekFrom::Start(START_OF_IMAGE.len() as u64)).ok()?;
    let mut of_xmp = None;
    loop {
        let marker = next_marker(jpeg)?;
        if marker == START_OF_SCAN || marker == END_OF_IMAGE {
            return of_xmp;
        }
        let len = u16::from_be_bytes(array(jpeg)?).checked_sub(2)?;
        if marker != APP1 {
            jpeg.seek_relative(len.into()).ok()?;
            continue;
        }
        let mut contents = vec![0; len.into()];
        jpeg.read_exact(&mut contents).ok()?;
        if let Some(exif) = contents.strip_prefix(b"Exif\0\0")
            && let Some(orientation) = exif::orientation(exif)
        {
            return Some(orientation);
        }
        let xmp = contents.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0");
        of_xmp = of_xmp.or(xmp.and_then(exif::xmp_orientation));
    }
}

/// What kind of JPEG it is, as the start of its frame says, if it is none of those that all programs read:
/// 8 bits a colour, baseline or progressive, with Huffman's codes.
pub(super) fn rare_kind(jpeg: &mut (impl Read + Seek)) -> Option<String> {
    jpeg.seek(SeekFrom::Start(START_OF_IMAGE.len() as u64)).ok()?;
    loop {
        let marker = next_marker(jpeg)?;
        let len = u16::from_be_bytes(array(jpeg)?);
        return match marker {
            START_OF_SCAN | END_OF_IMAGE => None,
            0xc3 | 0xc7 | 0xcb | 0xcf => Some("a lossless JPEG".into()),
            0xc5 | 0xc6 => Some("a hierarchical JPEG".into()),
            0xc9 | 0xca | 0xcd | 0xce => Some("a JPEG with arithmetic coding".into()),
            0xc0..=0xc2 => match array(jpeg)? {
                [8] => None,
                [bits] => Some(format!("a JPEG with {bits} bits a colour")),
            },
            _ => {
                jpeg.seek_relative(len.checked_sub(2)?.into()).ok()?;
                continue;
            }
        };
    }
}

/// The next marker that a segment starts with, behind whatever is there.
fn next_marker(jpeg: &mut impl Read) -> Option<u8> {
    let mut before = 0;
    loop {
        let [byte] = array(jpeg)?;
        if before == 0xff && starts_segment(byte) {
            return Some(byte);
        }
        before = byte;
    }
}

/// Whether a marker has a length after it, or is the image's last.
fn starts_segment(marker: u8) -> bool {
    !matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8 | 0xff)
}
