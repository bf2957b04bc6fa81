//! What is known of an image without its pixels.

use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use image::ImageFormat;
use vgg_tensor::{Error, Result};

use super::exif::{self, Tags, array};
use super::file::{open, read_file, read_start};
use super::guard::guarded;
use super::kind::{Foreign, Kind};
use super::{check_size, explain, gave_up, gif, jpeg, reader, turn};

/// The bytes that hold the header of nearly every JPEG.
const HEADER_BYTES: u64 = 1 << 16;

/// The most bytes of metadata that are read.
const METADATA_BYTES: u64 = 1 << 24;

/// What an image is like, and how it asks to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Height and width, as it is stored.
    pub stored: [usize; 2],
    /// The EXIF orientation, from 1 to 8.
    pub orientation: u8,
    /// Whether there are frames after the first.
    pub animated: bool,
}

impl Header {
    pub(super) fn of(
        path: &Path,
        format: ImageFormat,
        source: impl BufRead + Seek,
    ) -> Result<Self> {
        guarded(|| Self::read(path, format, source)).ok_or_else(|| gave_up(path))?
    }

    fn read(path: &Path, format: ImageFormat, mut source: impl BufRead + Seek) -> Result<Self> {
        let orientation = orientation(format, &mut source);
        let animated = is_animated(format, &mut source);
        source.rewind().map_err(|source| Error::Io { path: path.into(), source })?;
        let dimensions = reader(format, &mut source).into_dimensions();
        let (w, h) = dimensions.map_err(|error| explain(path, format, &mut source, error))?;
        let stored = [h as usize, w as usize];
        check_size(path, stored)?;
        Ok(Self { stored, orientation, animated })
    }

    /// Height and width as it is stored, or as it is meant.
    pub(crate) fn size(&self, turned: bool) -> [usize; 2] {
        if turned { turn::size(self.stored, self.orientation) } else { self.stored }
    }
}

/// What a file of images turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Image(Header),
    Foreign(Foreign),
}

/// Looks at the file `path`, as little of it as will do.
///
/// # Errors
/// When it cannot be read, is no image, or its header shows damage or too large a size.
pub(crate) fn look(path: &Path) -> Result<Look> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut file = BufReader::new(open(path)?);
    let kind = Kind::of(&mut file).map_err(io)?;
    if let Some(Kind::Foreign(foreign)) = kind {
        return Ok(Look::Foreign(foreign));
    }
    let format = Kind::format(kind, path, || file.fill_buf().is_ok_and(|bytes| bytes.is_empty()))?;
    if format != ImageFormat::Jpeg {
        return Header::of(path, format, file).map(Look::Image);
    }
    // Its decoder reads all that there is.
    let start = read_start(path, HEADER_BYTES)?;
    let header = |bytes: &[u8]| Header::of(path, format, Cursor::new(bytes)).map(Look::Image);
    header(&start).or_else(|error| match start.len() as u64 {
        // A header may be behind a long preview.
        HEADER_BYTES => header(&read_file(path)?),
        _ => Err(error),
    })
}

/// The kind of images that a file has, if any.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn kind(path: &Path) -> Result<Option<Kind>> {
    Kind::of(&mut open(path)?).map_err(|source| Error::Io { path: path.into(), source })
}

/// Whether the file `path` is an image by its contents, of whatever kind. What cannot be read is none.
pub fn is_picture(path: &Path) -> bool {
    path.is_file() && kind(path).is_ok_and(|kind| kind.is_some())
}

/// Whether the file `path` is an animation, of which the first frame is taken: a GIF, a PNG or a WebP
/// file with more than one. What cannot be read is none.
pub fn is_animation(path: &Path) -> bool {
    // A pipe gives its bytes once, and they have been taken.
    if !path.is_file() {
        return false;
    }
    let Ok(mut file) = open(path).map(BufReader::new) else { return false };
    match Kind::of(&mut file) {
        Ok(Some(Kind::Own(format))) => is_animated(format, &mut file),
        _ => false,
    }
}

/// Height and width of the image in the file `path`, as it is stored or as it is meant, from its
/// header alone where that is enough.
///
/// # Errors
/// As [`look`], and when it is of a kind that is not read.
pub(crate) fn read_size(path: &Path, turned: bool) -> Result<[usize; 2]> {
    match look(path)? {
        Look::Image(header) => Ok(header.size(turned)),
        Look::Foreign(foreign) => {
            Err(Error::Format { path: path.into(), reason: foreign.to_string() })
        }
    }
}

/// The EXIF orientation of an image, as Pillow finds it: EXIF data tell it, or else XMP. What makes
/// no sense is upright.
pub(super) fn orientation(format: ImageFormat, source: &mut (impl Read + Seek)) -> u8 {
    let found = match format {
        ImageFormat::Jpeg => jpeg::orientation(source),
        ImageFormat::Tiff => source.rewind().ok().and_then(|()| Tags::read(source).orientation),
        ImageFormat::Png => {
            const XMP: &[u8] = b"XML:com.adobe.xmp\0\0";
            let exif = png_chunk(source, b"eXIf").and_then(|exif| exif::orientation(&exif));
            exif.or_else(|| exif::xmp_orientation(png_chunk(source, b"iTXt")?.strip_prefix(XMP)?))
        }
        ImageFormat::WebP => {
            let exif = webp_chunk(source, b"EXIF").and_then(|exif| exif::orientation(&exif));
            exif.or_else(|| exif::xmp_orientation(&webp_chunk(source, b"XMP ")?))
        }
        _ => None,
    };
    found.unwrap_or(turn::UPRIGHT)
}

/// Whether a PNG's palette, if it has one, is one of whole colours, up to 256: its decoder takes that
/// for granted, and panics.
pub(super) fn has_sound_palette(png: &mut (impl Read + Seek)) -> bool {
    png_chunk(png, b"PLTE")
        .is_none_or(|colours| colours.len().is_multiple_of(3) && colours.len() <= 3 * 256)
}

fn is_animated(format: ImageFormat, source: &mut (impl Read + Seek)) -> bool {
    match format {
        ImageFormat::Gif => gif::is_animated(source),
        ImageFormat::Png => png_chunk(source, b"acTL").is_some(),
        ImageFormat::WebP => webp_chunk(source, b"ANIM").is_some(),
        _ => false,
    }
}

/// The contents of the first chunk of a name in a PNG, wherever it is: EXIF data may follow the pixels.
fn png_chunk(png: &mut (impl Read + Seek), name: &[u8; 4]) -> Option<Vec<u8>> {
    png.seek(SeekFrom::Start(8)).ok()?;
    loop {
        let len = u32::from_be_bytes(array(png)?);
        match array(png)? {
            found if found == *name => return contents(png, len),
            found if found == *b"IEND" => return None,
            // A checksum follows.
            _ => png.seek_relative(i64::from(len) + 4).ok()?,
        }
    }
}

/// The contents of the first chunk of a name in a WebP file.
fn webp_chunk(webp: &mut (impl Read + Seek), name: &[u8; 4]) -> Option<Vec<u8>> {
    webp.seek(SeekFrom::Start(12)).ok()?;
    loop {
        let found: [u8; 4] = array(webp)?;
        let len = u32::from_le_bytes(array(webp)?);
        if found == *name {
            return contents(webp, len);
        }
        // To an even number.
        webp.seek_relative(i64::from(len) + i64::from(len % 2)).ok()?;
    }
}

/// So many bytes, at most as many as metadata have.
fn contents(source: &mut impl Read, len: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(u64::from(len).min(METADATA_BYTES)).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
