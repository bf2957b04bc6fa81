//! Single images from PNG and JPEG files.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read as _};
use std::path::Path;

use image::{DynamicImage, ImageError, ImageReader, Limits};
use vgg_tensor::{Error, Result};

use crate::jpeg;

/// The largest height and width that are read.
const MAX_SIDE: u32 = 1 << 14;

/// The most bytes that a file may have, and that decoding it may take.
const MAX_BYTES: u64 = 1 << 30;

/// The bytes that hold the header of nearly every file.
const HEADER_BYTES: u64 = 1 << 16;

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
    /// Decodes the PNG or JPEG file `path` to 1 (grey) or 3 (red, green, blue) channels.
    ///
    /// Colours become grey by the ITU-R 601-2 luma, in the fixed-point arithmetic of Pillow's
    /// `convert("L")`. Grey becomes three equal channels. Transparency is dropped, 16 bits a channel
    /// are rounded to 8, and an orientation in the EXIF data is ignored, as Pillow and torchvision
    /// ignore it.
    ///
    /// # Errors
    /// When the file cannot be read, is no PNG or JPEG, is damaged or cut short, or is larger than
    /// 16,384 pixels a side; and when `channels` is neither 1 nor 3.
    pub fn read(path: &Path, channels: usize) -> Result<Self> {
        if channels != 1 && channels != 3 {
            let message = format!("images have 1 or 3 channels, not {channels}");
            return Err(Error::Shape(message));
        }
        Self::decode(path, &read_file(path)?, channels)
    }

    /// As [`Picture::read`], from the contents of a file, to 1 or 3 channels. `path` is for messages
    /// only.
    pub(crate) fn decode(path: &Path, bytes: &[u8], channels: usize) -> Result<Self> {
        let image = reader(path, bytes)?.decode().map_err(|error| explain(path, error))?;
        // The decoder fills what is missing with grey.
        if jpeg::is_jpeg(bytes) && !jpeg::is_whole(bytes) {
            let reason = "the image is damaged: the file is cut short".into();
            return Err(Error::Format { path: path.into(), reason });
        }
        let (h, w) = (image.height() as usize, image.width() as usize);
        let pixels = if channels == 1 { grey(image) } else { image.into_rgb8().into_raw() };
        Ok(Self { pixels, h, w, c: channels })
    }

    /// The same as `channels` channels, where both are 1 or 3.
    pub(crate) fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.c, channels) {
            (1, 3) => self.pixels.iter().flat_map(|level| [*level; 3]).collect(),
            (3, 1) => self.pixels.as_chunks().0.iter().map(|pixel| luma(*pixel)).collect(),
            _ => self.pixels,
        };
        Self { pixels, c: channels, ..self }
    }
}

/// Height and width of the image in the file `path`, from its header alone where that is enough.
///
/// # Errors
/// As [`Picture::read`], as far as the header shows it.
pub(crate) fn read_size(path: &Path) -> Result<[usize; 2]> {
    let size = |bytes: &[u8]| -> Result<[usize; 2]> {
        let (w, h) =
            reader(path, bytes)?.into_dimensions().map_err(|error| explain(path, error))?;
        if w > MAX_SIDE || h > MAX_SIDE {
            let reason = format!("the image is too large: {w}×{h}, of {MAX_SIDE} pixels a side");
            return Err(Error::Format { path: path.into(), reason });
        }
        Ok([h as usize, w as usize])
    };
    let start = read_start(path, HEADER_BYTES)?;
    size(&start).or_else(|error| match start.len() as u64 {
        // A header may be behind a long preview.
        HEADER_BYTES => size(&read_file(path)?),
        _ => Err(error),
    })
}

/// Whether the EXIF data of a JPEG ask for it to be turned or mirrored, which is not done.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn asks_to_be_turned(path: &Path) -> Result<bool> {
    let bytes = read_file(path)?;
    Ok(jpeg::is_jpeg(&bytes) && jpeg::asks_to_be_turned(&bytes))
}

/// The contents of a file, unless it is larger than any image should be.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_start(path, MAX_BYTES + 1)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("the file has more than {MAX_BYTES} bytes");
        return Err(Error::Format { path: path.into(), reason });
    }
    Ok(bytes)
}

fn read_start(path: &Path, len: u64) -> Result<Vec<u8>> {
    if path.is_dir() {
        let reason = "this is a folder; name the image files in it".into();
        return Err(Error::Format { path: path.into(), reason });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(len).read_to_end(&mut bytes))
        .map_err(|source| Error::Io { path: path.into(), source })?;
    Ok(bytes)
}

fn reader<'a>(path: &Path, bytes: &'a [u8]) -> Result<ImageReader<Cursor<&'a [u8]>>> {
    // By contents alone: names lie.
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|source| Error::Io { path: path.into(), source })?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn explain(path: &Path, error: ImageError) -> Error {
    let reason = match error {
        ImageError::IoError(source) if source.kind() != ErrorKind::UnexpectedEof => {
            return Error::Io { path: path.into(), source };
        }
        ImageError::Unsupported(_) => "this is not a PNG or JPEG image".into(),
        ImageError::Limits(error) => format!("the image is too large: {error}"),
        error => format!("the image is damaged: {error}"),
    };
    Error::Format { path: path.into(), reason: reason.trim_end().into() }
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
mod tests {
    use std::path::PathBuf;

    use image::{GrayAlphaImage, ImageBuffer, Luma, RgbImage, RgbaImage};
    use tempfile::TempDir;

    use super::*;

    /// A file that is deleted with the returned folder.
    fn file(name: &str, write: impl FnOnce(&Path)) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        write(&path);
        (dir, path)
    }

    fn check_pixels(image: impl Into<DynamicImage>, channels: usize, expected: &[u8]) {
        let image: DynamicImage = image.into();
        let (_dir, path) = file("image.png", |path| image.save(path).unwrap());
        assert_eq!(Picture::read(&path, channels).unwrap().pixels, expected);
    }

    fn check_error(name: &str, contents: &[u8], reason: &str) {
        let (_dir, path) = file(name, |path| std::fs::write(path, contents).unwrap());
        let message = Picture::read(&path, 1).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: {reason}", path.display())), "{message}");
    }

    #[test]
    fn colours_stay_or_become_grey() {
        let colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 255, 255, 255, 1, 2, 3];
        let image = RgbImage::from_raw(3, 2, colours.into()).unwrap();
        check_pixels(image.clone(), 3, &colours);
        // 19595 · 10 + 38470 · 20 + 7471 · 30 = 1,189,480, which is 18.15 · 65,536.
        check_pixels(image.clone(), 1, &[76, 150, 29, 18, 255, 2]);
        let (_dir, path) = file("image.png", |path| image.save(path).unwrap());
        let decoded = Picture::read(&path, 1).unwrap();
        assert_eq!((decoded.h, decoded.w), (2, 3));
    }

    #[test]
    fn transparency_is_dropped_and_16_bits_are_rounded() {
        check_pixels(GrayAlphaImage::from_raw(2, 1, vec![9, 0, 200, 128]).unwrap(), 1, &[9, 200]);
        check_pixels(RgbaImage::from_raw(1, 1, vec![1, 2, 3, 0]).unwrap(), 3, &[1, 2, 3]);
        let deep: ImageBuffer<Luma<u16>, _> =
            ImageBuffer::from_raw(4, 1, vec![0, 257, 65535, 300]).unwrap();
        check_pixels(deep.clone(), 1, &[0, 1, 255, 1]);
        check_pixels(deep, 3, &[[0; 3], [1; 3], [255; 3], [1; 3]].concat());
    }

    #[test]
    fn the_contents_decide_not_the_name() {
        let image = RgbImage::from_pixel(8, 8, image::Rgb([128; 3]));
        let write = |path: &Path| image.save_with_format(path, image::ImageFormat::Jpeg).unwrap();
        let (_dir, path) = file("image.png", write);
        assert_eq!(Picture::read(&path, 1).unwrap().pixels, [128; 64]);
    }

    #[test]
    fn other_files_are_refused() {
        check_error("notes.txt", b"hello, world", "this is not a PNG or JPEG image");
        check_error("empty.png", b"", "this is not a PNG or JPEG image");
        let mut png = Vec::new();
        let image = RgbImage::from_pixel(8, 8, image::Rgb([128; 3]));
        image.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
        check_error("cut.png", &png[..png.len() - 20], "the image is damaged: ");
        // The width in the header of a PNG, made enormous: refused before anything is allocated.
        png[16] = 0x7f;
        check_error("huge.png", &png, "the image is ");
        assert!(Picture::read(Path::new("no/such/file.png"), 1).is_err());
    }

    #[test]
    fn other_channel_counts_are_refused() {
        let error = Picture::read(Path::new("image.png"), 2).unwrap_err();
        assert_eq!(error.to_string(), "images have 1 or 3 channels, not 2");
    }

    /// A JPEG with EXIF data that asks for a turn, and a preview in it that ends before the image.
    fn turned(image: &RgbImage) -> Vec<u8> {
        let mut jpeg = Vec::new();
        image.write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
        let mut exif =
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        exif.extend([0xff, 0xda, 0xff, 0xd9]);
        let mut segment = vec![0xff, 0xe1, 0, exif.len() as u8 + 2];
        segment.extend(exif);
        jpeg.splice(2..2, segment);
        jpeg
    }

    #[test]
    fn orientation_is_ignored_and_cut_files_are_found() {
        let bytes = turned(&RgbImage::from_pixel(24, 8, image::Rgb([90; 3])));
        let path = Path::new("a.jpg");
        let picture = Picture::decode(path, &bytes, 1).unwrap();
        assert_eq!((picture.h, picture.w, picture.pixels[0]), (8, 24, 90));
        for cut in [2, 10, bytes.len() / 2] {
            let error = Picture::decode(path, &bytes[..bytes.len() - cut], 1).unwrap_err();
            assert!(error.to_string().starts_with("a.jpg: the image is damaged"), "{error}");
        }
        let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &bytes).unwrap());
        assert_eq!(read_size(&path).unwrap(), [8, 24]);
        assert!(asks_to_be_turned(&path).unwrap());
    }

    #[test]
    fn what_follows_a_jpeg_is_no_part_of_it() {
        let image = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 15, 7]));
        let path = Path::new("a.jpg");
        let mut jpeg = Vec::new();
        image.write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
        let alone = Picture::decode(path, &jpeg, 3).unwrap();
        // A film whose bytes look like the start of a scan.
        jpeg.extend(b"\0\0\0\x18ftypmp42\x01\x02\xff\xda\x03\x04\xff\xda");
        assert_eq!(Picture::decode(path, &jpeg, 3).unwrap(), alone);
        let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &jpeg).unwrap());
        assert!(!asks_to_be_turned(&path).unwrap());
    }

    #[test]
    fn four_printing_colours_become_three() {
        let bytes = include_bytes!("../fixtures/cmyk.jpg");
        let picture = Picture::decode(Path::new("cmyk.jpg"), bytes, 3).unwrap();
        let close = |x: usize, y: usize, expected: [u8; 3]| {
            let pixel = &picture.pixels[3 * (y * 16 + x)..][..3];
            let off = pixel.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
            assert!(off <= Some(3), "{pixel:?} for {expected:?}");
        };
        close(2, 2, [51, 207, 180]);
        close(13, 5, [150, 63, 100]);
    }

    #[test]
    fn a_header_may_be_behind_a_long_preview() {
        let mut jpeg = turned(&RgbImage::new(24, 8));
        let segment = [&[0xff, 0xe2, 0xff, 0xff][..], &vec![0; 0xfffd]].concat();
        jpeg.splice(2..2, segment);
        let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &jpeg).unwrap());
        assert_eq!(read_size(&path).unwrap(), [8, 24]);
    }
}
