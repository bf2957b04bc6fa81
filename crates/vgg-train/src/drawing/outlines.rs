//! Boxes drawn on the image that they are of.

use image::{Rgb, RgbImage};
use vgg_data::Picture;
use vgg_data::boxes::BoundingBox;

/// The longer side of a picture, in pixels, at least.
const SIDE: usize = 224;

/// How thick outlines are, as a share of the picture's longer side, and in pixels at least.
const THICKNESS: (f64, usize) = (0.008, 2);

/// The colour of the first box, and of the others.
const COLOURS: [[u8; 3]; 2] = [[230, 60, 40], [60, 140, 220]];

/// An image with boxes in its pixels, the first one on top of the others. Small images are enlarged by a whole
/// factor until their longer side has 224 pixels.
pub(crate) fn outlined(image: &Picture, boxes: &[BoundingBox]) -> RgbImage {
    let Picture { ref pixels, h, w, c } = *image;
    let factor = SIDE.div_ceil(h.max(w)).max(1);
    let (share, least) = THICKNESS;
    let thickness = ((share * (h.max(w) * factor) as f64).round() as usize).max(least) as f64;
    let mut drawn = RgbImage::from_fn((w * factor) as u32, (h * factor) as u32, |x, y| {
        let pixel = (y as usize / factor * w + x as usize / factor) * c;
        Rgb([0, 1, 2].map(|channel| pixels[pixel + channel.min(c - 1)]))
    });
    for (i, bounds) in boxes.iter().enumerate().rev() {
        let colour = Rgb(COLOURS[i.min(1)]);
        let [x0, y0, x1, y1] = bounds.corners().map(|at| at * factor as f64);
        for (x, y, pixel) in drawn.enumerate_pixels_mut() {
            // A pixel is where its centre is.
            let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            let inside = (x - x0).min(x1 - x).min(y - y0).min(y1 - y);
            if (0.0..thickness).contains(&inside) {
                *pixel = colour;
            }
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_are_within_boxes_and_the_first_is_on_top() {
        let image = Picture { pixels: vec![9; 224 * 100], h: 224, w: 100, c: 1 };
        let of = |corners| BoundingBox::new(corners).unwrap();
        let drawn = outlined(&image, &[of([10.0, 20.0, 60.0, 90.0]), of([0.0, 0.0, 60.0, 200.0])]);
        let at = |x, y| drawn.get_pixel(x, y).0;
        assert_eq!(drawn.dimensions(), (100, 224));
        // Two pixels on each side, all in the box.
        assert_eq!(
            [at(9, 50), at(10, 50), at(11, 50), at(12, 50)],
            [[9; 3], COLOURS[0], COLOURS[0], [9; 3]]
        );
        assert_eq!([at(59, 50), at(60, 50)], [COLOURS[0], [9; 3]]);
        assert_eq!([at(30, 20), at(30, 89), at(30, 90)], [COLOURS[0], COLOURS[0], [9; 3]]);
        assert_eq!([at(59, 150), at(0, 0)], [COLOURS[1]; 2]);
        // Few pixels become many.
        let small = Picture { pixels: vec![9; 28 * 28 * 3], h: 28, w: 28, c: 3 };
        let drawn = outlined(&small, &[of([1.0, 1.0, 27.0, 27.0])]);
        assert_eq!((drawn.dimensions(), drawn.get_pixel(8, 8).0), ((224, 224), COLOURS[0]));
        assert_eq!(drawn.get_pixel(7, 8).0, [9; 3]);
    }
}
