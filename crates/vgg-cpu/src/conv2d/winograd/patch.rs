//! Where the pixels under a tile lie.

use vgg_tensor::Shape;

use super::transform::{PATCH, TILE};

/// The input pixels under a tile of outputs, some of which may lie in the padding.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    /// The first pixel's place in its image, counted in pixels; it wraps if that is in the padding.
    first: usize,
    /// Pixels of a row of the image.
    w: usize,
    /// A bit for each row of the patch that lies in the image.
    rows: u32,
    /// A bit for each column of the patch that lies in the image.
    columns: u32,
    /// No tile above, none to the left.
    first_row: bool,
    first_column: bool,
}

impl Patch {
    /// Of the tile whose first output is `(y, x)` of an image.
    #[inline(always)]
    pub(super) fn new(images: Shape, padding: usize, y: usize, x: usize) -> Self {
        let Shape { h, w, .. } = images;
        Self {
            first: (y * w + x).wrapping_sub(padding * (w + 1)),
            w,
            rows: in_image(y, padding, h),
            columns: in_image(x, padding, w),
            first_row: y == 0,
            first_column: x == 0,
        }
    }

    /// The place of pixel `(i, j)` in the image, meaningful if the image [has](Patch::has) it.
    #[inline(always)]
    pub(super) fn pixel(self, i: usize, j: usize) -> usize {
        self.first.wrapping_add(i * self.w + j)
    }

    /// Whether pixel `(i, j)` lies in the image.
    #[inline(always)]
    pub(super) fn has(self, i: usize, j: usize) -> bool {
        self.rows >> i & self.columns >> j & 1 == 1
    }

    /// Whether all pixels lie in the image.
    #[inline(always)]
    pub(super) fn inside(self) -> bool {
        self.rows & self.columns == (1 << PATCH) - 1
    }

    /// Whether there are tiles above and to the left.
    #[inline(always)]
    pub(super) fn has_neighbours(self) -> bool {
        !self.first_row && !self.first_column
    }

    /// Whether pixel `(i, j)` is shared with a tile that comes before in row-major order.
    #[inline(always)]
    pub(super) fn is_shared(self, i: usize, j: usize) -> bool {
        const SHARED: usize = PATCH - TILE;
        (i < SHARED && !self.first_row) || (j < SHARED && !self.first_column)
    }
}

/// A bit for each of the patch's rows (or columns) from `first - padding` on that is below `len`.
#[inline(always)]
fn in_image(first: usize, padding: usize, len: usize) -> u32 {
    let bits = |count: usize| (1u32 << count.min(PATCH)) - 1;
    bits((len + padding).saturating_sub(first)) & !bits(padding.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use vgg_tensor::spec::{Conv2d, ConvEpilogue};

    use super::*;

    #[test]
    fn every_pixel_is_found_and_first_written_once() {
        for (h, w, padding) in [(9, 14, 1), (3, 6, 0), (7, 5, 2), (1, 1, 1)] {
            let op = Conv2d::new(Shape::new(1, 1, h, w), 1, 3, padding, ConvEpilogue::Bias);
            let op = op.unwrap();
            let mut writes = vec![0; h * w];
            for y in (0..op.conv_y().h).step_by(TILE) {
                for x in (0..op.conv_y().w).step_by(TILE) {
                    let patch = Patch::new(op.x(), padding, y, x);
                    let mut inside = true;
                    for (i, j) in (0..PATCH * PATCH).map(|p| (p / PATCH, p % PATCH)) {
                        let (row, column) =
                            ((y + i).wrapping_sub(padding), (x + j).wrapping_sub(padding));
                        let has = row < h && column < w;
                        inside &= has;
                        assert_eq!(patch.has(i, j), has, "({i}, {j}) of the tile at ({y}, {x})");
                        if has {
                            let pixel = patch.pixel(i, j);
                            assert_eq!(pixel, row * w + column);
                            assert_eq!(patch.is_shared(i, j), writes[pixel] > 0);
                            writes[pixel] += 1;
                        }
                    }
                    assert_eq!(patch.inside(), inside);
                }
            }
            assert!(writes.iter().all(|writes| *writes > 0));
        }
    }
}
