//! Single images from PNG and JPEG files, for prediction.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use image::{DynamicImage, ImageError, ImageReader, Limits};
use vgg_tensor::{Error, Result};

/// The largest height and width that are read.
const MAX_SIDE: u32 = 1 << 14;

/// The most memory that decoding one file may take.
const MAX_BYTES: u64 = 1 << 30;

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedImage {
    /// `[c, h, w]`, 0 to 255.
    pub pixels: Vec<u8>,
    /// The height in pixels.
    pub h: usize,
    /// The width in pixels.
    pub w: usize,
}

/// Decodes the PNG or JPEG file `path`, at its own size, to 1 (grey) or 3 (red, green, blue)
/// channels.
///
/// Colours become grey by the ITU-R 601-2 luma, in the fixed-point arithmetic of Pillow's
/// `convert("L")`. Transparency is dropped, 16 bits a channel are rounded to 8.
///
/// # Errors
/// When the file cannot be read, is no PNG or JPEG, is damaged, or is larger than 16,384 pixels a
/// side; and when `channels` is neither 1 nor 3.
pub fn decode_image(path: &Path, channels: usize) -> Result<DecodedImage> {
    if channels != 1 && channels != 3 {
        let message = format!("images have 1 or 3 channels, not {channels}");
        return Err(Error::Shape(message));
    }
    let io_error = |source| Error::Io { path: path.into(), source };
    let format_error = |reason| Error::Format { path: path.into(), reason };

    let file = BufReader::new(File::open(path).map_err(io_error)?);
    // By contents alone: names lie.
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(io_error)?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| match error {
        ImageError::IoError(source) if source.kind() != ErrorKind::UnexpectedEof => {
            io_error(source)
        }
        ImageError::Unsupported(_) => format_error("this is not a PNG or JPEG image".into()),
        ImageError::Limits(error) => format_error(format!("the image is too large: {error}")),
        error => format_error(format!("the image is damaged: {error}")),
    })?;

    let (h, w) = (image.height() as usize, image.width() as usize);
    let pixels = if channels == 1 { grey(image) } else { planes(image) };
    Ok(DecodedImage { pixels, h, w })
}

/// `[1, h, w]`.
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

/// `[3, h, w]`.
fn planes(image: DynamicImage) -> Vec<u8> {
    let pixels = image.into_rgb8();
    (0..3).flat_map(|channel| pixels.pixels().map(move |pixel| pixel.0[channel])).collect()
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
        assert_eq!(decode_image(&path, channels).unwrap().pixels, expected);
    }

    fn check_error(name: &str, contents: &[u8], reason: &str) {
        let (_dir, path) = file(name, |path| std::fs::write(path, contents).unwrap());
        let message = decode_image(&path, 1).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: {reason}", path.display())), "{message}");
    }

    #[test]
    fn colours_become_planes_or_grey() {
        let colours = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 255, 255, 255, 1, 2, 3];
        let image = RgbImage::from_raw(3, 2, colours).unwrap();
        let planes =
            [[255, 0, 0, 10, 255, 1], [0, 255, 0, 20, 255, 2], [0, 0, 255, 30, 255, 3]].concat();
        check_pixels(image.clone(), 3, &planes);
        // 19595 · 10 + 38470 · 20 + 7471 · 30 = 1,189,480, which is 18.15 · 65,536.
        check_pixels(image.clone(), 1, &[76, 150, 29, 18, 255, 2]);
        let (_dir, path) = file("image.png", |path| image.save(path).unwrap());
        let decoded = decode_image(&path, 1).unwrap();
        assert_eq!((decoded.h, decoded.w), (2, 3));
    }

    #[test]
    fn transparency_is_dropped_and_16_bits_are_rounded() {
        check_pixels(GrayAlphaImage::from_raw(2, 1, vec![9, 0, 200, 128]).unwrap(), 1, &[9, 200]);
        check_pixels(RgbaImage::from_raw(1, 1, vec![1, 2, 3, 0]).unwrap(), 3, &[1, 2, 3]);
        let deep: ImageBuffer<Luma<u16>, _> =
            ImageBuffer::from_raw(4, 1, vec![0, 257, 65535, 300]).unwrap();
        check_pixels(deep.clone(), 1, &[0, 1, 255, 1]);
        check_pixels(deep, 3, &[0, 1, 255, 1].repeat(3));
    }

    #[test]
    fn the_contents_decide_not_the_name() {
        let image = RgbImage::from_pixel(8, 8, image::Rgb([128; 3]));
        let write = |path: &Path| image.save_with_format(path, image::ImageFormat::Jpeg).unwrap();
        let (_dir, path) = file("image.png", write);
        assert_eq!(decode_image(&path, 1).unwrap().pixels, [128; 64]);
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
        assert!(decode_image(Path::new("no/such/file.png"), 1).is_err());
    }

    #[test]
    fn other_channel_counts_are_refused() {
        let error = decode_image(Path::new("image.png"), 2).unwrap_err();
        assert_eq!(error.to_string(), "images have 1 or 3 channels, not 2");
    }
}
