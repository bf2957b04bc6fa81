//! A JPEG's markers: where it ends, and what its header asks for.

use image::metadata::Orientation;

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// Application data, of which EXIF is one kind.
const APP1: u8 = 0xe1;

/// Whether the file is a JPEG.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&START_OF_IMAGE)
}

/// Whether the image has its end. What comes after it is no part of it, such as the film of a motion
/// photo; what is within a segment, such as a preview, is not looked at.
pub(crate) fn is_whole(jpeg: &[u8]) -> bool {
    segments(jpeg).any(|segment| segment.marker == END_OF_IMAGE)
}

/// Whether the EXIF data asks for the image to be turned or mirrored.
pub(crate) fn asks_to_be_turned(jpeg: &[u8]) -> bool {
    let exif = segments(jpeg)
        .take_while(|segment| segment.marker != START_OF_SCAN)
        .filter(|segment| segment.marker == APP1)
        .find_map(|segment| segment.contents.strip_prefix(b"Exif\0\0"));
    let orientation = exif.and_then(Orientation::from_exif_chunk);
    orientation.is_some_and(|orientation| orientation != Orientation::NoTransforms)
}

struct Segment<'a> {
    marker: u8,
    contents: &'a [u8],
}

/// The segments after the first marker, to the end of the file or the first that is cut.
fn segments(jpeg: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = jpeg.get(START_OF_IMAGE.len()..).unwrap_or_default();
    std::iter::from_fn(move || {
        // Compressed data are passed over: no marker is in them but those that restart the decoder,
        // as a zero follows each ff.
        let at = rest.windows(2).position(|pair| pair[0] == 0xff && starts_segment(pair[1]))?;
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        if marker == END_OF_IMAGE {
            return Some(Segment { marker, contents: &[] });
        }
        let len = rest.first_chunk().map(|len| usize::from(u16::from_be_bytes(*len)))?;
        let contents = rest.get(2..len)?;
        rest = &rest[len..];
        Some(Segment { marker, contents })
    })
}

/// Whether a marker has a length after it, or is the image's last.
fn starts_segment(marker: u8) -> bool {
    !matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8 | 0xff)
}
