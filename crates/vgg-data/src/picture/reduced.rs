//! JPEGs decoded at a part of their size: the cosine transforms of their blocks give fewer pixels.

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, PixelFormat};

use super::{MAX_BYTES, MAX_SIDE};

/// What was decoded.
pub(super) struct Reduced {
    pub image: DynamicImage,
    /// The height and width that are stored.
    pub stored: [usize; 2],
    /// Pixels of the image for eight that are stored, each way.
    pub eighths: usize,
}

/// The image at the least part of its size that is no smaller, each way, than what `wanted` makes of the
/// height and width that are stored. None where that is all of it, and for what this decoder does not
/// take: four colours, damage.
pub(super) fn decode(jpeg: &[u8], wanted: impl Fn([usize; 2]) -> [usize; 2]) -> Option<Reduced> {
    let mut decoder = Decoder::new(jpeg);
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    let stored = [info.height, info.width].map(usize::from);
    // What is kept of a progressive one until its last scan.
    let coefficients = 2 * 3 * stored.iter().product::<usize>() as u64;
    if stored.iter().any(|side| *side > MAX_SIDE as usize) || coefficients > MAX_BYTES {
        return None;
    }
    let wanted = wanted(stored);
    let part = |n: usize| stored.map(|side| (side * n).div_ceil(8));
    let will_do = |n: &usize| part(*n).iter().zip(wanted).all(|(side, wanted)| *side >= wanted);
    let eighths = [1, 2, 4].into_iter().find(will_do)?;
    let [h, w] = part(eighths).map(|side| side as u16);
    decoder.scale(w, h).ok()?;
    let pixels = decoder.decode().ok()?;
    let (w, h) = (w.into(), h.into());
    let image = match info.pixel_format {
        PixelFormat::L8 => DynamicImage::from(GrayImage::from_raw(w, h, pixels)?),
        PixelFormat::RGB24 => DynamicImage::from(RgbImage::from_raw(w, h, pixels)?),
        PixelFormat::L16 | PixelFormat::CMYK32 => return None,
    };
    Some(Reduced { image, stored, eighths })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use image::Rgb;
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};
    use vgg_tensor::hex;

    use crate::{Decoding, Images, Moment, Picture, Transform};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures").join(name)
    }

    fn scaled(channels: usize) -> Decoding {
        Decoding { scaled: true, ..Decoding::turned(channels) }
    }

    /// The mean difference of what a network is fed with.
    fn difference(path: &Path, transform: &Transform) -> f64 {
        let [c, ..] = transform.shape();
        let fed = |decoding| {
            let mut out = vec![0; transform.views() * transform.shape().iter().product::<usize>()];
            let images = Images::from_files(&[path.into()], decoding);
            transform.apply(&images, 0, Moment { seed: 1, epoch: 1 }, &mut out).unwrap();
            out
        };
        let [full, scaled] = [fed(Decoding::turned(c)), fed(scaled(c))];
        let off = full.iter().zip(&scaled).map(|(a, b)| f64::from(a.abs_diff(*b)));
        off.sum::<f64>() / full.len() as f64
    }

    /// Other pixels would be another training for old runs.
    #[test]
    fn pixels_are_pinned() {
        for (name, wanted, size, digest) in [
            ("orientation_1.jpg", [11, 17], [11, 17], "5dd27d53563ef172"),
            ("orientation_6.jpg", [9, 5], [9, 6], "6d7681a436f20551"),
            ("progressive.jpg", [3, 5], [3, 5], "0dbb334dfb61f2d6"),
            ("grey.jpg", [5, 5], [6, 9], "dd7e77a6d727d57d"),
        ] {
            let read = Picture::read_for(&fixture(name), &scaled(3), &|_| wanted).unwrap();
            let picture = read.into_picture();
            assert_eq!([picture.h, picture.w], size, "{name}");
            let found = hex(&Sha256::digest(&picture.pixels));
            assert_eq!(&found[..16], digest, "{name}");
        }
    }

    /// Four colours, other formats, and what is wanted at more than half its size.
    #[test]
    fn what_is_not_reduced_is_decoded_as_ever() {
        for (name, wanted) in [
            ("cmyk.jpg", [3, 3]),
            ("bitmap.bmp", [3, 3]),
            ("orientation_8.jpg", [17, 12]),
            ("orientation_8.jpg", [34, 21]),
        ] {
            let path = fixture(name);
            let picture = Picture::read_for(&path, &scaled(3), &|_| wanted).unwrap().into_picture();
            assert_eq!(picture, Picture::read(&path, &Decoding::turned(3)).unwrap(), "{name}");
        }
    }

    /// Blocks go beyond the image at the right and at the bottom, wherever that is when it is turned.
    #[test]
    fn images_are_where_they_were_in_each_orientation() {
        let off = |orientation: usize| {
            let path = fixture(&format!("orientation_{orientation}.jpg"));
            difference(&path, &Transform::resized([3, 5, 5]))
        };
        for orientation in 2..=8 {
            let more = (off(orientation) - off(1)).abs();
            assert!(more < 0.1, "{orientation}: {more} grey levels more than upright");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn a_network_is_fed_with_nearly_the_same(
            [h, w] in [100..400_u32, 100..400_u32],
            wave in 1.0..6.0_f32,
            [least, more] in [24..60_usize, 0..20_usize],
            quality in 70..=95_u8,
            c in prop_oneof![Just(1), Just(3)],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.jpg");
            let level = |x: f32| (127.5 + 120.0 * (wave * x).sin()) as u8;
            let image = image::RgbImage::from_fn(w, h, |x, y| {
                let (x, y) = (x as f32 / w as f32, y as f32 / h as f32);
                Rgb([level(x + y), level(x - 2.0 * y), if x * y > 0.2 { 200 } else { level(y) }])
            });
            let file = std::fs::File::create(&path).unwrap();
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(file, quality);
            image.write_with_encoder(encoder).unwrap();
            let transform = Transform::scaled([c, 24, 24], [least, least + more]).unwrap();
            for transform in [transform, Transform::resized([c, 30, 20])] {
                let mean = difference(&path, &transform);
                prop_assert!(mean < 2.0, "{} grey levels", mean);
            }
        }
    }
}
