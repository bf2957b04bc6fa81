//! JPEGs decoded at a part of their size: the cosine transforms of their blocks give fewer pixels, and
//! coefficients that say nothing of these are passed over.

mod baseline;
mod huffman;
mod transform;

use image::{DynamicImage, GrayImage, RgbImage};

use self::baseline::Baseline;
use super::MAX_SIDE;

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
/// take: progressive images, four colours, damage.
pub(super) fn decode(jpeg: &[u8], wanted: impl Fn([usize; 2]) -> [usize; 2]) -> Option<Reduced> {
    let header = Baseline::read(jpeg)?;
    let stored = header.size;
    if stored.iter().any(|side| *side > MAX_SIDE as usize) {
        return None;
    }
    let wanted = wanted(stored);
    let part = |n: usize| stored.map(|side| (side * n).div_ceil(8));
    let will_do = |n: &usize| part(*n).iter().zip(wanted).all(|(side, wanted)| *side >= wanted);
    let eighths = [1, 2, 4].into_iter().find(will_do)?;
    let (pixels, channels) = header.decode(eighths)?;
    let [h, w] = part(eighths).map(|side| side as u32);
    let image = match channels {
        1 => DynamicImage::from(GrayImage::from_raw(w, h, pixels)?),
        _ => DynamicImage::from(RgbImage::from_raw(w, h, pixels)?),
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
            ("orientation_1.jpg", [11, 17], [11, 17], "fdd3918fcebbe2d1"),
            ("orientation_6.jpg", [9, 5], [9, 6], "9ce7c4db7e7b04bf"),
            ("restarts.jpg", [3, 5], [3, 5], "49cb3c486ff765de"),
            ("grey.jpg", [5, 5], [6, 9], "5b01b53b85dada0e"),
        ] {
            let read = Picture::read_for(&fixture(name), &scaled(3), &|_| wanted).unwrap();
            let picture = read.picture;
            assert_eq!([picture.h, picture.w], size, "{name}");
            let found = hex(&Sha256::digest(&picture.pixels));
            assert_eq!(&found[..16], digest, "{name}");
        }
    }

    /// As another decoder has them, but for rounding. Colours are left out, which it interpolates.
    #[test]
    fn an_eighth_has_the_means_of_blocks() {
        for name in ["orientation_1.jpg", "restarts.jpg", "grey.jpg", "motion.jpg"] {
            let read = |wanted| {
                let decoding = Decoding { turned: false, ..scaled(1) };
                Picture::read_for(&fixture(name), &decoding, &|_| wanted).unwrap().picture
            };
            let (all, eighth) = (read([21, 34]), read([3, 5]));
            assert_eq!([all.h, all.w, eighth.h, eighth.w], [21, 34, 3, 5]);
            // Those that are within the image.
            for (y, x) in (0..2).flat_map(|y| (0..4).map(move |x| (y, x))) {
                let level =
                    |i: usize| f64::from(all.pixels[(8 * y + i / 8) * all.w + 8 * x + i % 8]);
                let mean = (0..64).map(level).sum::<f64>() / 64.0;
                let off = mean - f64::from(eighth.pixels[y * eighth.w + x]);
                assert!(off.abs() < 1.0, "{name}, {y}, {x}: {off} grey levels");
            }
        }
    }

    /// Four colours, progressive images, other formats, and what is wanted at more than half its size.
    #[test]
    fn what_is_not_reduced_is_decoded_as_ever() {
        for (name, wanted) in [
            ("cmyk.jpg", [3, 3]),
            ("progressive.jpg", [3, 3]),
            ("bitmap.bmp", [3, 3]),
            ("orientation_8.jpg", [17, 12]),
            ("orientation_8.jpg", [34, 21]),
        ] {
            let path = fixture(name);
            let picture = Picture::read_for(&path, &scaled(3), &|_| wanted).unwrap().picture;
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
