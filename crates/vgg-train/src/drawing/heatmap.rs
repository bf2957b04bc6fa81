//! Where a network looks, laid over the image that it looks at.

use image::{Rgb, RgbImage};
use vgg_model::Heatmap;

/// The longer side of a picture, in pixels, at least.
const SIDE: usize = 224;

/// How much of the image the strongest place hides.
const OPACITY: f64 = 0.8;

/// "Inferno", of which equal steps look equal, also to the colour-blind and in grey: every sixteenth
/// of it, from Matplotlib's `_cm_listed.py` (Smith and van der Walt 2015, CC0). Linear between these,
/// it is off by no more than seven of 255.
const COLOURS: [[u8; 3]; 17] = [
    [0, 0, 4],
    [11, 7, 36],
    [33, 12, 74],
    [60, 9, 101],
    [87, 16, 109],
    [112, 25, 110],
    [137, 34, 106],
    [163, 43, 97],
    [187, 55, 85],
    [209, 70, 68],
    [227, 89, 50],
    [241, 113, 30],
    [249, 141, 10],
    [252, 171, 15],
    [249, 202, 50],
    [242, 232, 101],
    [252, 255, 164],
];

/// An image of bytes `[c, h, w]`, grey or of red, green and blue, with a heatmap of whatever size over
/// it: the stronger, the brighter and the less transparent, up to the map's own maximum. A map without
/// one leaves the image as it is.
///
/// Small images are enlarged by a whole factor until their longer side has 224 pixels: each of the
/// network's pixels is a square, and the map is interpolated between the centres of its places.
pub(crate) fn overlay(pixels: &[u8], [c, h, w]: [usize; 3], map: &Heatmap) -> RgbImage {
    assert!(pixels.len() == c * h * w && (c == 1 || c == 3), "an image of {c}×{h}×{w}");
    let factor = SIDE.div_ceil(h.max(w)).max(1);
    let most = map.values.iter().copied().fold(0.0, f32::max);
    let strength = |x: f64, y: f64| match most.is_finite() && most > 0.0 {
        true => interpolated(map, x / w as f64, y / h as f64) / f64::from(most),
        false => 0.0,
    };
    RgbImage::from_fn((w * factor) as u32, (h * factor) as u32, |x, y| {
        let [x, y] = [x as usize, y as usize];
        let place = y / factor * w + x / factor;
        let centre = |i: usize| (i as f64 + 0.5) / factor as f64;
        let strength = strength(centre(x), centre(y));
        let (colour, opacity) = (colour(strength), OPACITY * strength);
        Rgb([0, 1, 2].map(|channel| {
            let below = f64::from(pixels[channel.min(c - 1) * h * w + place]);
            (below + opacity * (colour[channel] - below)).round() as u8
        }))
    })
}

/// A map at a share of its width and height, linear between the centres of its places and constant
/// outside of them.
fn interpolated(map: &Heatmap, x: f64, y: f64) -> f64 {
    let ([x0, x1], right) = neighbours(x, map.width);
    let ([y0, y1], low) = neighbours(y, map.height);
    let at = |x: usize, y: usize| f64::from(map.values[y * map.width + x]);
    let row = |y| at(x0, y) + right * (at(x1, y) - at(x0, y));
    row(y0) + low * (row(y1) - row(y0))
}

/// The two places of `count` around a share, and how far it is from the first to the second.
fn neighbours(share: f64, count: usize) -> ([usize; 2], f64) {
    let place = (share * count as f64 - 0.5).clamp(0.0, (count - 1) as f64);
    let first = place as usize;
    ([first, (first + 1).min(count - 1)], place.fract())
}

/// The colour of a strength from 0 to 1.
fn colour(strength: f64) -> [f64; 3] {
    let ([low, high], part) = {
        let place = strength * (COLOURS.len() - 1) as f64;
        let low = place as usize;
        ([low, (low + 1).min(COLOURS.len() - 1)], place.fract())
    };
    [0, 1, 2].map(|channel| {
        let [low, high] = [low, high].map(|at| f64::from(COLOURS[at][channel]));
        low + part * (high - low)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(height: usize, width: usize, values: &[f32]) -> Heatmap {
        Heatmap { height, width, values: values.to_vec() }
    }

    #[test]
    fn small_images_are_enlarged_to_squares() {
        let colours = [10, 20, 30, 40, 50, 60];
        let nothing = map(1, 1, &[0.0]);
        let picture = overlay(&colours, [3, 1, 2], &nothing);
        assert_eq!(picture.dimensions(), (224, 112));
        for (x, expected) in [(0, [10, 30, 50]), (111, [10, 30, 50]), (112, [20, 40, 60])] {
            assert_eq!([0, 111].map(|y| picture.get_pixel(x, y).0), [expected; 2]);
        }
        let size = |h, w| overlay(&vec![7; h * w], [1, h, w], &nothing).dimensions();
        assert_eq!((size(28, 28), size(160, 96)), ((224, 224), (192, 320)));
        assert_eq!((size(224, 112), size(225, 300)), ((112, 224), (300, 225)));
    }

    #[test]
    fn the_strongest_place_is_the_brightest_and_the_least_transparent() {
        let white = [255; 28 * 28];
        let over = |values: &[f32]| overlay(&white, [1, 28, 28], &map(2, 2, values));
        // Between the centre of a corner's place and the corner nothing changes.
        let picture = over(&[0.0, 0.5, 1.0, 2.0]);
        let mixed = |opacity: f64, colour: [u8; 3]| {
            colour.map(|c| (255.0 + OPACITY * opacity * (f64::from(c) - 255.0)).round() as u8)
        };
        assert_eq!(picture.get_pixel(223, 223).0, mixed(1.0, COLOURS[16]));
        assert_eq!(picture.get_pixel(168, 168).0, mixed(1.0, COLOURS[16]));
        assert_eq!(picture.get_pixel(0, 223).0, mixed(0.5, COLOURS[8]));
        assert_eq!(picture.get_pixel(223, 0).0, mixed(0.25, COLOURS[4]));
        assert_eq!(picture.get_pixel(0, 0).0, [255; 3]);
        // Halfway between two centres is their mean, and the scale is the map's own.
        let picture = over(&[0.0, 2e-9, 0.0, 2e-9]);
        let [left, right] = [111, 112].map(|x| picture.get_pixel(x, 50).0[2]);
        assert!(left > mixed(0.5, COLOURS[8])[2] && mixed(0.5, COLOURS[8])[2] > right);
        assert!(left - right < 4);
    }

    #[test]
    fn a_map_without_numbers_leaves_the_image() {
        let grey = [100; 28 * 28];
        for values in [[0.0; 4], [f32::NAN; 4], [0.0, f32::INFINITY, 0.0, 1.0]] {
            let picture = overlay(&grey, [1, 28, 28], &map(2, 2, &values));
            assert!(picture.pixels().all(|pixel| pixel.0 == [100; 3]), "{values:?}");
        }
    }
}
