//! Pixels where they are: all of a picture, or a part of it.

use super::Picture;

/// `h` × `w` pixels of `c` channels that lie in rows of a picture, which may be longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// From the first pixel on.
    pixels: &'a [u8],
    /// From the beginning of a row to that of the next one.
    row_len: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl<'a> View<'a> {
    /// All of `pixels`, `[h, w, c]`.
    pub(crate) fn new(pixels: &'a [u8], [h, w]: [usize; 2], c: usize) -> Self {
        Self { pixels, row_len: w * c, h, w, c }
    }

    /// The part of so many pixels down and across at a corner.
    ///
    /// # Panics
    /// When it goes beyond the view.
    pub(crate) fn cut(self, [top, left]: [usize; 2], [h, w]: [usize; 2]) -> Self {
        assert!(top + h <= self.h && left + w <= self.w, "a part of the view");
        let first = (top * self.row_len + left * self.c).min(self.pixels.len());
        Self { pixels: &self.pixels[first..], h, w, ..self }
    }

    /// The pixels of row `y`, `[w, c]`.
    pub(crate) fn row(&self, y: usize) -> &'a [u8] {
        &self.pixels[y * self.row_len..][..self.w * self.c]
    }

    /// The same as a picture of its own.
    pub(crate) fn to_picture(self) -> Picture {
        let mut pixels = Vec::with_capacity(self.h * self.w * self.c);
        (0..self.h).for_each(|y| pixels.extend_from_slice(self.row(y)));
        Picture { pixels, h: self.h, w: self.w, c: self.c }
    }
}
