//! Pictures turned and mirrored.

use std::ops::Range;

use super::Picture;

/// The EXIF orientation of what is stored as it is meant.
pub(crate) const UPRIGHT: u8 = 1;

/// The side of the blocks that a picture on its side is turned in.
const BLOCK: usize = 32;

/// Whether height and width change places.
fn is_on_its_side(orientation: u8) -> bool {
    orientation >= 5
}

/// Height and width as they are meant, of those that are stored, and the other way round.
pub(crate) fn size([h, w]: [usize; 2], orientation: u8) -> [usize; 2] {
    if is_on_its_side(orientation) { [w, h] } else { [h, w] }
}

/// Where the image is in a picture of it as it is meant, down and across, if it is stored with `stored`
/// rows and columns and was decoded at so many eighths of that: blocks become whole pixels, and the
/// last of them may go beyond the edge.
pub(super) fn extent(stored: [usize; 2], eighths: usize, orientation: u8) -> [Range<f64>; 2] {
    let of_side = |stored: usize, backwards: bool| {
        let end = (stored * eighths) as f64 / 8.0;
        let start = if backwards { end.ceil() - end } else { 0.0 };
        start..start + end
    };
    let down = of_side(stored[0], bottom_first(orientation));
    let across = of_side(stored[1], right_first(orientation));
    if is_on_its_side(orientation) { [across, down] } else { [down, across] }
}

/// The corners of a box as they are meant, of those in an image that is stored with `h` rows and `w`
/// columns: left, top, right and bottom.
pub(crate) fn corners([x0, y0, x1, y1]: [f64; 4], [h, w]: [usize; 2], orientation: u8) -> [f64; 4] {
    let along = |[from, to]: [f64; 2], side: usize, backwards: bool| match backwards {
        true => [side as f64 - to, side as f64 - from],
        false => [from, to],
    };
    let [left, right] = along([x0, x1], w, right_first(orientation));
    let [top, bottom] = along([y0, y1], h, bottom_first(orientation));
    match is_on_its_side(orientation) {
        true => [top, left, bottom, right],
        false => [left, top, right, bottom],
    }
}

fn bottom_first(orientation: u8) -> bool {
    matches!(orientation, 3 | 4 | 6 | 7)
}

fn right_first(orientation: u8) -> bool {
    matches!(orientation, 2 | 3 | 7 | 8)
}

impl Picture {
    /// What is meant, where this is what is stored with an EXIF orientation from 1 to 8.
    pub(super) fn turned(self, orientation: u8) -> Self {
        if orientation == UPRIGHT {
            return self;
        }
        let [h, w] = size([self.h, self.w], orientation);
        let pixels = match self.c {
            1 => turned::<1>(&self, orientation),
            3 => turned::<3>(&self, orientation),
            _ => unreachable!("pictures have 1 or 3 channels"),
        };
        Self { pixels, h, w, c: self.c }
    }
}

fn turned<const C: usize>(stored: &Picture, orientation: u8) -> Vec<u8> {
    let Picture { h, w, .. } = *stored;
    let from = stored.pixels.as_chunks::<C>().0;
    let mut pixels = vec![0; from.len() * C];
    let to = pixels.as_chunks_mut::<C>().0;
    let (bottom_first, right_first) = (bottom_first(orientation), right_first(orientation));
    let row = |y: usize| if bottom_first { h - 1 - y } else { y };
    let column = |x: usize| if right_first { w - 1 - x } else { x };
    if is_on_its_side(orientation) {
        // Rows become columns, by blocks: neither reads nor writes go down a whole column at a time.
        for (strip, out) in to.chunks_mut(BLOCK * h).enumerate() {
            for left in (0..h).step_by(BLOCK) {
                for (y, out) in out.chunks_exact_mut(h).enumerate() {
                    let out = &mut out[left..h.min(left + BLOCK)];
                    let top = if bottom_first { h - left - out.len() } else { left };
                    let column = column(BLOCK * strip + y);
                    let pixels = from[top * w + column..].iter().step_by(w);
                    match bottom_first {
                        true => out.iter_mut().rev().zip(pixels).for_each(|(to, from)| *to = *from),
                        false => out.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from),
                    }
                }
            }
        }
    } else {
        for (y, out) in to.chunks_exact_mut(w).enumerate() {
            let from = &from[row(y) * w..][..w];
            out.iter_mut().enumerate().for_each(|(x, out)| *out = from[column(x)]);
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use image::DynamicImage;
    use image::metadata::Orientation;

    use super::*;

    /// As another library turns them.
    #[test]
    fn each_orientation_is_another() {
        for (h, w) in [(1, 1), (2, 3), (40, 5), (5, 70), (33, 65)] {
            let pixels: Vec<u8> = (0..h * w * 3).map(|i| (i * 7 % 251) as u8).collect();
            for c in [1, 3] {
                let pixels = pixels[..h * w * c].to_vec();
                let (wide, high) = (w as u32, h as u32);
                let image = match c {
                    1 => DynamicImage::from(
                        image::GrayImage::from_raw(wide, high, pixels.clone()).unwrap(),
                    ),
                    _ => DynamicImage::from(
                        image::RgbImage::from_raw(wide, high, pixels.clone()).unwrap(),
                    ),
                };
                for orientation in 1..=8 {
                    let mut expected = image.clone();
                    expected.apply_orientation(Orientation::from_exif(orientation).unwrap());
                    let picture = Picture { pixels: pixels.clone(), h, w, c }.turned(orientation);
                    let size = [expected.height() as usize, expected.width() as usize];
                    assert_eq!([picture.h, picture.w], size);
                    assert_eq!(picture.pixels, expected.into_bytes(), "{h}×{w}, {orientation}");
                }
            }
        }
    }
}
