//! Single images from files: JPEG, PNG, WebP, TIFF, BMP and GIF.

mod decoding;
mod exif;
mod file;
mod gif;
mod guard;
mod header;
mod jpeg;
mod kind;
mod reduced;
mod sampled;
pub(crate) mod turn;
mod view;

use std::io::{BufRead, Cursor, ErrorKind, Read, Seek};
use std::path::Path;

use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};
use vgg_tensor::{Error, Result};

pub use decoding::Decoding;
pub(crate) use file::read_file;
use guard::guarded;
pub use guard::is_panic_caught;
pub(crate) use header::{Header, Look, kind, look, read_size};
pub use header::{is_animation, is_picture};
pub use kind::Foreign;
pub(crate) use kind::Kind;
use reduced::Reduced;
pub(crate) use sampled::Sampled;
pub(crate) use view::View;

/// The largest height and width that are read.
pub(crate) const MAX_SIDE: u32 = 1 << 14;

/// What is said of a sound image that no decoder takes.
const RARE: &str = "it is of a rare kind that is not read, and would be as a PNG";

/// The most bytes that a file may have, and that decoding it may take.
const MAX_BYTES: u64 = 1 << 30;

/// A decoded image at its own size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `[h, w, c]`, 0 to 255.
    pub pixels: Vec<u8>,
    /// The height in pixels.
    pub h: usize,
    /// The width in pixels.
    pub w: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub c: usize,
}

impl Picture {
    /// Decodes the file `path`: JPEG, PNG, WebP, TIFF, BMP or GIF, as its contents say, whatever its
    /// name. Of an animation it is the first frame. The picture has the image's own size.
    ///
    /// Colours become grey by the ITU-R 601-2 luma, in the fixed-point arithmetic of Pillow's
    /// `convert("L")`. Grey becomes three equal channels. 16 bits a channel are rounded to 8. What
    /// becomes of transparency and of the orientation in EXIF data, `decoding` says.
    ///
    /// # Errors
    /// When the file cannot be read, is no image of these kinds, is damaged or cut short, or is larger
    /// than 16,384 pixels a side; and when the channels are neither 1 nor 3.
    pub fn read(path: &Path, decoding: &Decoding) -> Result<Self> {
        Self::read_for(path, decoding, &|own| own).map(Sampled::into_picture)
    }

    /// As [`Picture::read`], to be scaled to what `wanted` makes of the image's own height and width:
    /// the picture may be smaller than the image, if [`Decoding::scaled`] lets it.
    ///
    /// # Errors
    /// As [`Picture::read`].
    pub(crate) fn read_for(
        path: &Path,
        decoding: &Decoding,
        wanted: &dyn Fn([usize; 2]) -> [usize; 2],
    ) -> Result<Sampled<'static>> {
        decoding.check()?;
        Self::decode_for(path, &read_file(path)?, decoding, wanted)
    }

    /// As [`Picture::read`], from the contents of a file. `path` is for messages only.
    ///
    /// # Errors
    /// As [`Picture::read`].
    pub fn decode(path: &Path, bytes: &[u8], decoding: &Decoding) -> Result<Self> {
        decoding.check()?;
        Self::decode_for(path, bytes, decoding, &|own| own).map(Sampled::into_picture)
    }

    /// As [`Picture::read_for`], from the contents of a file.
    pub(crate) fn decode_for(
        path: &Path,
        bytes: &[u8],
        decoding: &Decoding,
        wanted: &dyn Fn([usize; 2]) -> [usize; 2],
    ) -> Result<Sampled<'static>> {
        let mut source = Cursor::new(bytes);
        let kind =
            Kind::of(&mut source).map_err(|source| Error::Io { path: path.into(), source })?;
        let format = Kind::format(kind, path, || bytes.is_empty())?;
        if format == ImageFormat::Png && !header::has_sound_palette(&mut source) {
            let reason = "the image is damaged: its palette has parts of colours".into();
            return Err(Error::Format { path: path.into(), reason });
        }
        let is_jpeg = format == ImageFormat::Jpeg;
        let orientation = match decoding.turned {
            true => header::orientation(format, &mut source),
            false => turn::UPRIGHT,
        };
        // Decoders fill what is missing with grey.
        let reduced = match decoding.scaled && is_jpeg && jpeg::is_whole(bytes) {
            true => guarded(|| {
                reduced::decode(bytes, |stored| {
                    turn::size(wanted(turn::size(stored, orientation)), orientation)
                })
            }),
            false => None,
        };
        let Reduced { image, stored, eighths } = match reduced.flatten() {
            Some(reduced) => reduced,
            None => {
                source.set_position(0);
                let image = guarded(|| reader(format, &mut source).decode());
                let image = image.ok_or_else(|| gave_up(path))?;
                let image = image.map_err(|error| explain(path, format, &mut source, error))?;
                if is_jpeg && !jpeg::is_whole(bytes) {
                    let reason = "the image is damaged: the file is cut short".into();
                    return Err(Error::Format { path: path.into(), reason });
                }
                let stored = [image.height() as usize, image.width() as usize];
                Reduced { image, stored, eighths: 8 }
            }
        };
        check_size(path, stored)?;
        let image = match decoding.background {
            Some(background) if image.color().has_alpha() => over(background, image),
            _ => image,
        };
        let (h, w) = (image.height() as usize, image.width() as usize);
        let pixels =
            if decoding.channels == 1 { grey(image) } else { image.into_rgb8().into_raw() };
        let picture = Self { pixels, h, w, c: decoding.channels }.turned(orientation);
        let own = turn::size(stored, orientation);
        let extent = turn::extent(stored, eighths, orientation);
        let sampled = Sampled::from(picture).of_image(own, extent);
        Ok(sampled.scaled_to(wanted(own)))
    }
}

/// What decodes an image, within limits.
fn reader<R: BufRead + Seek>(format: ImageFormat, source: R) -> ImageReader<R> {
    let mut reader = ImageReader::with_format(source, format);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    reader
}

/// Refuses sides that no image should have.
fn check_size(path: &Path, [h, w]: [usize; 2]) -> Result<()> {
    let reason = if h.min(w) == 0 {
        format!("the image is damaged: it has no pixels: {w}×{h}")
    } else if h.max(w) > MAX_SIDE as usize {
        format!("the image is too large: {w}×{h}, where {MAX_SIDE} pixels a side are the most")
    } else {
        return Ok(());
    };
    Err(Error::Format { path: path.into(), reason })
}

/// The error of a decoder that ended in a panic.
fn gave_up(path: &Path) -> Error {
    let reason = "the image is damaged: its decoder gave up".into();
    Error::Format { path: path.into(), reason }
}

/// What a decoder says of the image of a format in `source`, in words.
fn explain(
    path: &Path,
    format: ImageFormat,
    source: &mut (impl Read + Seek),
    error: ImageError,
) -> Error {
    let rare = (format == ImageFormat::Jpeg).then(|| jpeg::rare_kind(source)).flatten();
    let reason = match error {
        ImageError::IoError(source) if source.kind() != ErrorKind::UnexpectedEof => {
            return Error::Io { path: path.into(), source };
        }
        ImageError::Unsupported(_) => RARE.into(),
        ImageError::Limits(_) => format!(
            "the image is too large: what is read has {MAX_SIDE} pixels a side at most, and takes {} GiB",
            MAX_BYTES >> 30
        ),
        // To its decoder it is as good as damaged.
        ImageError::Decoding(_) if let Some(kind) = rare => format!("{RARE}: {kind}"),
        error => format!("the image is damaged: {}", in_words(&error.to_string())),
    };
    Error::Format { path: path.into(), reason: reason.trim_end().into() }
}

/// What decoders say where bytes are missing.
const CUT_SHORT: [&str; 4] = [
    "failed to fill whole buffer",
    "unexpected end of file",
    "not enough bytes",
    "image truncated",
];

/// A message without the names that decoders have for formats, and a PNG's for its parts, chunks.
fn in_words(message: &str) -> String {
    let lower = message.to_lowercase();
    if CUT_SHORT.iter().any(|said| lower.contains(said)) {
        return "the file is cut short".into();
    }
    // What would be another limit is the program's business.
    if message.contains("set_limits") {
        return "a part of it says to be larger than any image that is read".into();
    }
    let message = match message.split_once(": ") {
        Some((start, rest)) if start.starts_with("Format error decoding") => rest,
        _ => message,
    };
    let named = || {
        let (before, rest) = message.split_once("ChunkType { type: ")?;
        let (name, rest) = rest.split_once(',')?;
        let (_, after) = rest.split_once('}')?;
        Some(match before.contains("CRC error") {
            true => format!("the checksum of its part {name} is wrong"),
            false => format!("{before}the part {name}{after}"),
        })
    };
    named().unwrap_or_else(|| message.into())
}

/// An image with transparency in front of a colour, rounded as Pillow's `paste` does it.
fn over(background: [u8; 3], image: DynamicImage) -> DynamicImage {
    let mut image = image.into_rgba8();
    for pixel in image.pixels_mut() {
        let [.., alpha] = pixel.0.map(u32::from);
        for (level, behind) in pixel.0.iter_mut().zip(background) {
            let sum = u32::from(*level) * alpha + u32::from(behind) * (255 - alpha) + 128;
            *level = ((sum + (sum >> 8)) >> 8) as u8;
        }
    }
    DynamicImage::from(image)
}

/// `[h, w, 1]`.
fn grey(image: DynamicImage) -> Vec<u8> {
    if !image.color().has_color() {
        return image.into_luma8().into_raw();
    }
    image.into_rgb8().pixels().map(|pixel| luma(pixel.0)).collect()
}

/// 0.299 red + 0.587 green + 0.114 blue, in 16-bit fixed point, rounded.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = 19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b);
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
