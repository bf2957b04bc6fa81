//! What a file is, by its first bytes: names lie.

use std::fmt;
use std::io::{Read, Result as IoResult, Seek};
use std::path::Path;

use image::ImageFormat;
use vgg_tensor::{Error, Result};

use super::exif::Tags;

/// Bytes at the start of a file that tell what it is.
const START: u64 = 64;

/// What a file of images is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It can be read.
    Own(ImageFormat),
    Foreign(Foreign),
}

/// A kind of images that is known and not read: it is no damage, and another program converts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// What such images are called, as HEIC.
    pub name: &'static str,
    /// The programs that make JPEG or PNG of them.
    pub converters: &'static str,
}

const HEIC: Foreign = Foreign { name: "HEIC", converters: "heif-convert or magick" };
const AVIF: Foreign = Foreign { name: "AVIF", converters: "avifdec or magick" };
const JPEG_XL: Foreign = Foreign { name: "JPEG XL", converters: "djxl or magick" };
const JPEG_2000: Foreign = Foreign { name: "JPEG 2000", converters: "opj_decompress or magick" };
const RAW: Foreign = Foreign { name: "raw", converters: "darktable-cli or dcraw" };
const NETPBM: Foreign = Foreign { name: "Netpbm", converters: "pnmtopng or magick" };
const ICON: Foreign = Foreign { name: "icon", converters: "icotool or magick" };
const PHOTOSHOP: Foreign = Foreign { name: "Photoshop", converters: "magick" };
const BIG_TIFF: Foreign = Foreign { name: "BigTIFF", converters: "tiffcp or magick" };

impl Foreign {
    const ALL: [Self; 9] = [HEIC, AVIF, JPEG_XL, JPEG_2000, RAW, NETPBM, ICON, PHOTOSHOP, BIG_TIFF];

    /// The kind that is called so.
    pub(crate) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|foreign| foreign.name == name)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, converters } = self;
        write!(f, "{name} images are not read: {converters} makes JPEG or PNG of them")
    }
}

impl Kind {
    /// The kind of images that a file has, if any. It is rewound.
    pub(super) fn of(source: &mut (impl Read + Seek)) -> IoResult<Option<Self>> {
        let mut start = Vec::new();
        source.by_ref().take(START).read_to_end(&mut start)?;
        source.rewind()?;
        let kind = Self::of_start(&start);
        if kind != Some(Self::Own(ImageFormat::Tiff)) {
            return Ok(kind);
        }
        // Raw files of most cameras are TIFF that begins with a preview.
        let raw = Tags::read(source).is_preview;
        source.rewind()?;
        Ok(if raw { Some(Self::Foreign(RAW)) } else { kind })
    }

    fn of_start(start: &[u8]) -> Option<Self> {
        let is =
            |at: usize, magic: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(magic));
        let own = match () {
            () if is(0, b"\xff\xd8\xff") => ImageFormat::Jpeg,
            () if is(0, b"\x89PNG\r\n\x1a\n") => ImageFormat::Png,
            () if is(0, b"RIFF") && is(8, b"WEBP") => ImageFormat::WebP,
            () if is(0, b"GIF87a") || is(0, b"GIF89a") => ImageFormat::Gif,
            () if is(0, b"BM") && is_bitmap_header(start) => ImageFormat::Bmp,
            () if is(8, b"CR\x02") => return Some(Self::Foreign(RAW)),
            () if is(0, b"II*\0") || is(0, b"MM\0*") => ImageFormat::Tiff,
            () => return foreign(start).map(Self::Foreign),
        };
        Some(Self::Own(own))
    }

    /// The format of an image that can be read, of the kind that was found in a file.
    ///
    /// # Errors
    /// When it is of another kind, or of `None`, as a file that `is_empty` is.
    pub(super) fn format(
        kind: Option<Self>,
        path: &Path,
        is_empty: impl FnOnce() -> bool,
    ) -> Result<ImageFormat> {
        let reason = match kind {
            Some(Self::Own(format)) => return Ok(format),
            Some(Self::Foreign(foreign)) => foreign.to_string(),
            None if is_empty() => "the file is empty".into(),
            None => "this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image".into(),
        };
        Err(Error::Format { path: path.into(), reason })
    }
}

fn foreign(start: &[u8]) -> Option<Foreign> {
    const RAWS: [&[u8]; 4] = [b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"IIU\0"];
    match start {
        [0xff, 0x0a, ..] => Some(JPEG_XL),
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some(JPEG_XL),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => Some(JPEG_2000),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => Some(NETPBM),
        [0, 0, 1, 0, _, 0, _, _, _, 0, ..] => Some(ICON),
        [b'8', b'B', b'P', b'S', 0, 1 | 2, ..] => Some(PHOTOSHOP),
        [b'I', b'I', b'+', 0, ..] | [b'M', b'M', 0, b'+', ..] => Some(BIG_TIFF),
        [a, b, c, d, b'f', b't', b'y', b'p', rest @ ..] => {
            let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            // After the first brand, a version; both are as long.
            let brands = rest.get(..len.saturating_sub(8)).unwrap_or(rest).as_chunks::<4>().0;
            of_brands(brands)
        }
        _ => RAWS.iter().any(|magic| start.starts_with(magic)).then_some(RAW),
    }
}

/// The kind that a file of ISO's base media format says it is; films are no images.
fn of_brands(brands: &[[u8; 4]]) -> Option<Foreign> {
    const HEVC: [&[u8; 4]; 8] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"];
    let has = |brand: &[u8; 4]| brands.contains(brand);
    match () {
        () if has(b"avif") || has(b"avis") => Some(AVIF),
        () if HEVC.into_iter().any(has) || has(b"mif1") || has(b"msf1") => Some(HEIC),
        () if has(b"crx ") => Some(RAW),
        () => None,
    }
}

/// Two letters alone would make a bitmap of any text that begins with them.
fn is_bitmap_header(start: &[u8]) -> bool {
    let len =
        start.get(14..18).and_then(|len| len.first_chunk()).map(|len| u32::from_le_bytes(*len));
    matches!(len, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn reason(start: &[u8]) -> String {
        let kind = Kind::of(&mut Cursor::new(start)).unwrap();
        Kind::format(kind, Path::new("a"), || start.is_empty()).unwrap_err().to_string()
    }

    #[test]
    fn foreign_images_are_called_by_their_names() {
        for (start, name, converter) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC", "heif-convert"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix", "HEIC", "heif-convert"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF", "avifdec"),
            (b"\0\0\0\x14ftypavif\0\0\0\0mif1", "AVIF", "avifdec"),
            (b"\xff\x0a\xf8\x01", "JPEG XL", "djxl"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "djxl"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "opj_decompress"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "raw", "darktable-cli"),
            (b"II*\0\x10\0\0\0CR\x02\0", "raw", "darktable-cli"),
            (b"FUJIFILMCCD-RAW 0201", "raw", "darktable-cli"),
            (b"P6\n640 480\n255\n", "Netpbm", "pnmtopng"),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0", "icon", "icotool"),
            (b"8BPS\0\x01\0\0\0\0\0\0\0\x03", "Photoshop", "magick"),
            (b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0", "BigTIFF", "tiffcp"),
            // TIFF whose first image is a preview, and Adobe's.
            (b"II*\0\x08\0\0\0\x01\0\xfe\0\x04\0\x01\0\0\0\x01\0\0\0", "raw", "darktable-cli"),
            (b"MM\0*\0\0\0\x08\0\x01\xc6\x12\0\x01\0\0\0\x04\x01\x04\0\0", "raw", "darktable-cli"),
        ] {
            let told = format!("a: {name} images are not read: {converter} ");
            assert!(reason(start).starts_with(&told), "{}", reason(start));
            assert_eq!(Foreign::called(name).unwrap().name, name);
        }
    }

    #[test]
    fn what_begins_like_an_image_need_not_be_one() {
        let none = "a: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image";
        assert_eq!(reason(b""), "a: the file is empty");
        for start in [
            &b"BMW are cars, and this is a text of them"[..],
            b"P7 is a text, but no picture"[..2].as_ref(),
            b"RIFF\0\0\0\0WAVE",
            b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
            b"\0\0\0\x08ftyp",
            b"\xff\xff\xff\xffftypisom",
        ] {
            assert_eq!(reason(start), none, "{start:?}");
        }
    }
}
