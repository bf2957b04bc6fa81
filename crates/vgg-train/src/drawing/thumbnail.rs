//! Images of data sets, small enough for a page or among many.

use std::io::Cursor;

use anyhow::{Context as _, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageEncoder as _, RgbImage};
use vgg_data::{Picture, scaled_within};

use super::pixels::data_uri;

/// The longer side of a thumbnail, in pixels, at most …
const SIDE: u32 = 112;
/// … and of an image that is kept to the bit, as drawings of few pixels do not bear JPEG.
const EXACT_SIDE: u32 = 48;
/// JPEG's, from 1 to 100: what is shown this small hides what the rest would show.
const QUALITY: u8 = 82;

/// A small image, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Thumbnail {
    pub width: u32,
    pub height: u32,
    /// For an attribute `src`.
    pub uri: String,
}

impl Thumbnail {
    /// Of bytes `[c, h, w]`, grey or of red, green and blue.
    pub(crate) fn of_pixels(pixels: &[u8], [c, h, w]: [usize; 3]) -> Result<Self> {
        let plane = h * w;
        let image = RgbImage::from_fn(w as u32, h as u32, |x, y| {
            let place = y as usize * w + x as usize;
            image::Rgb([0, 1, 2].map(|channel| pixels[channel.min(c - 1) * plane + place]))
        });
        Self::of_image(&image, c == 1)
    }

    /// Of a picture of a file or a data set.
    pub(crate) fn of_picture(picture: Picture) -> Result<Self> {
        // A photograph has some thousand times as many pixels.
        let Picture { pixels, h, w, c } = scaled_within(picture, SIDE as usize);
        let image = RgbImage::from_fn(w as u32, h as u32, |x, y| {
            let pixel = (y as usize * w + x as usize) * c;
            image::Rgb([0, 1, 2].map(|channel| pixels[pixel + channel.min(c - 1)]))
        });
        Self::of_image(&image, c == 1)
    }

    /// Of an image, all of whose pixels are grey if `grey` says so.
    pub(crate) fn of_image(image: &RgbImage, grey: bool) -> Result<Self> {
        let longest = image.width().max(image.height());
        let fit = |side: u32| (side * SIDE).div_ceil(longest).max(1);
        let small = match longest > SIDE {
            true => resize(image, fit(image.width()), fit(image.height()), FilterType::Triangle),
            false => image.clone(),
        };
        let (width, height) = small.dimensions();
        let mut bytes = Cursor::new(Vec::new());
        let exact = longest <= EXACT_SIDE;
        let small = match grey {
            true => DynamicImage::from(DynamicImage::from(small).into_luma8()),
            false => DynamicImage::from(small),
        };
        let (data, color) = (small.as_bytes(), small.color().into());
        let done = match exact {
            true => PngEncoder::new(&mut bytes).write_image(data, width, height, color),
            false => {
                let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
                encoder.write_image(data, width, height, color)
            }
        };
        done.context("cannot encode a thumbnail")?;
        let kind = if exact { "png" } else { "jpeg" };
        Ok(Self { width, height, uri: data_uri(kind, bytes.get_ref()) })
    }

    /// Whether its pixels are to be seen as what they are.
    pub(crate) fn is_coarse(&self) -> bool {
        self.width.max(self.height) <= EXACT_SIDE
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use super::*;

    fn decoded(thumbnail: &Thumbnail) -> DynamicImage {
        let (_, base64) = thumbnail.uri.split_once(',').unwrap();
        image::load_from_memory(&BASE64_STANDARD.decode(base64).unwrap()).unwrap()
    }

    #[test]
    fn few_pixels_stay_as_they_are() {
        let thumbnail = Thumbnail::of_pixels(&[0, 50, 100, 150, 200, 250], [1, 2, 3]).unwrap();
        assert!(thumbnail.uri.starts_with("data:image/png;base64,") && thumbnail.is_coarse());
        let image = decoded(&thumbnail).into_luma8();
        assert_eq!(image.dimensions(), (3, 2));
        assert_eq!(image.into_raw(), [0, 50, 100, 150, 200, 250]);
        let colours: Vec<u8> = (0..12).collect();
        let image = decoded(&Thumbnail::of_pixels(&colours, [3, 2, 2]).unwrap()).into_rgb8();
        assert_eq!(image.into_raw(), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    }

    #[test]
    fn photographs_become_small() {
        let thumbnail = Thumbnail::of_pixels(&vec![128; 3 * 224 * 448], [3, 224, 448]).unwrap();
        assert_eq!((thumbnail.width, thumbnail.height), (112, 56));
        assert!(thumbnail.uri.starts_with("data:image/jpeg;base64,") && !thumbnail.is_coarse());
        let image = decoded(&thumbnail).into_rgb8();
        assert!(image.pixels().all(|pixel| pixel.0.iter().all(|x| x.abs_diff(128) < 3)));
    }
}
