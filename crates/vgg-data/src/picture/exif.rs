//! EXIF data: a directory of tags, as a TIFF file has it.

use std::io::{Cursor, Read, Seek, SeekFrom};

/// How many quarter turns and mirrors there are from what is stored to what is meant.
const ORIENTATION: u16 = 0x112;
/// What the directory's image is for.
const SUBFILE_TYPE: u16 = 0xfe;
/// The version of Adobe's format of raw files.
const DNG_VERSION: u16 = 0xc612;

/// The tags that are looked at of the first directory in TIFF or EXIF data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// If it is one, 1 to 8.
    pub orientation: Option<u8>,
    /// Whether the directory's image is a preview of one that is elsewhere, as in raw files.
    pub is_preview: bool,
}

impl Tags {
    /// Those of the directory; none where it makes no sense, and of one that is cut those before.
    pub(super) fn read(source: &mut (impl Read + Seek)) -> Self {
        let mut tags = Self::default();
        let _ = tags.look_at(source);
        tags
    }

    fn look_at(&mut self, source: &mut (impl Read + Seek)) -> Option<()> {
        let order = match array(source)? {
            [b'I', b'I', 42, 0] => Order::Little,
            [b'M', b'M', 0, 42] => Order::Big,
            _ => return None,
        };
        let directory = order.u32(array(source)?);
        source.seek(SeekFrom::Start(directory.into())).ok()?;
        for _ in 0..order.u16(array(source)?) {
            let [tag, kind] = [order.u16(array(source)?), order.u16(array(source)?)];
            let count = order.u32(array(source)?);
            let value: [u8; 4] = array(source)?;
            let [a, b, ..] = value;
            let number = match (kind, count) {
                (1, 1) => u32::from(a),
                (3, 1) => order.u16([a, b]).into(),
                (4, 1) => order.u32(value),
                _ => 0,
            };
            match (tag, number) {
                (ORIENTATION, 1..=8) => self.orientation = Some(number as u8),
                (SUBFILE_TYPE, _) => self.is_preview |= number & 1 == 1,
                (DNG_VERSION, _) => self.is_preview = true,
                _ => {}
            }
        }
        Some(())
    }
}

/// The orientation that EXIF data tell, as they are in other files: with `Exif` and zeros before them,
/// once, twice or not at all.
pub(super) fn orientation(mut exif: &[u8]) -> Option<u8> {
    for _ in 0..2 {
        exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    }
    Tags::read(&mut Cursor::new(exif)).orientation
}

/// The orientation that XMP metadata tell, where EXIF data do not.
pub(super) fn xmp_orientation(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let rests = xmp.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME);
    rests.map(|(at, _)| &xmp[at + NAME.len()..]).find_map(|rest| match rest {
        [b'=', b'"', digit @ b'1'..=b'8', ..] | [b'>', digit @ b'1'..=b'8', ..] => {
            Some(digit - b'0')
        }
        _ => None,
    })
}

/// Of bytes.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// The next bytes; none at the end, or where they cannot be read.
pub(super) fn array<const N: usize>(source: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_is_found_in_either_order_and_as_any_whole_number() {
        let little = b"II*\0\x08\0\0\0\x02\0\x00\x01\x03\0\x01\0\0\0\x07\0\0\0\
                       \x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
        let long = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x03";
        assert_eq!(orientation(little), Some(6));
        assert_eq!(orientation(&[b"Exif\0\0Exif\0\0", &little[..]].concat()), Some(6));
        assert_eq!((orientation(big), orientation(long)), (Some(8), Some(3)));
        for len in 0..little.len() - 4 {
            assert_eq!(orientation(&little[..len]), None, "{len}");
        }
        // Nine is none, nor is a list.
        let mut other = *little;
        other[30] = 9;
        assert_eq!(orientation(&other), None);
        other[26] = 2;
        assert_eq!(orientation(&other), None);
    }

    #[test]
    fn a_directory_may_be_anywhere() {
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff\x01\0"), None);
        // It is its own header.
        assert_eq!(orientation(b"II*\0\0\0\0\0"), None);
    }

    #[test]
    fn xmp_tells_it_in_two_ways() {
        assert_eq!(xmp_orientation(b"<x tiff:Orientation=\"6\"/>"), Some(6));
        let element = b"tiff:Orientation tiff:Orientation>3</tiff:Orientation>";
        assert_eq!(xmp_orientation(element), Some(3));
        assert_eq!(xmp_orientation(b"tiff:Orientation=\"9\""), None);
        assert_eq!(xmp_orientation(b"tiff:Orientation"), None);
    }
}
