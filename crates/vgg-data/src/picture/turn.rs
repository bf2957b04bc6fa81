//! Pictures turned and mirrored.

use super::Picture;

/// The EXIF orientation of what is stored as it is meant.
pub(super) const UPRIGHT: u8 = 1;

/// Rows of a picture on its side that are written together: they come from columns side by side.
const AT_ONCE: usize = 16;

/// Whether height and width change places.
pub(super) fn is_on_its_side(orientation: u8) -> bool {
    orientation >= 5
}

impl Picture {
    /// What is meant, where this is what is stored with an EXIF orientation from 1 to 8.
    pub(super) fn turned(self, orientation: u8) -> Self {
        if orientation == UPRIGHT {
            return self;
        }
        let (h, w) = match is_on_its_side(orientation) {
            true => (self.w, self.h),
            false => (self.h, self.w),
        };
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
    let bottom_first = matches!(orientation, 3 | 4 | 6 | 7);
    let right_first = matches!(orientation, 2 | 3 | 7 | 8);
    let row = |y: usize| if bottom_first { h - 1 - y } else { y };
    let column = |x: usize| if right_first { w - 1 - x } else { x };
    if is_on_its_side(orientation) {
        // Rows become columns. Neither reads nor writes go down a whole column at a time.
        for (strip, out) in to.chunks_mut(AT_ONCE * h).enumerate() {
            for x in 0..h {
                let from = &from[row(x) * w..][..w];
                for (y, out) in out.chunks_exact_mut(h).enumerate() {
                    out[x] = from[column(AT_ONCE * strip + y)];
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
        for (h, w) in [(1, 1), (2, 3), (40, 5), (5, 40), (17, 33)] {
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
