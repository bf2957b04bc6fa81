//! Blocks of tiles.

use std::ops::Range;

use vgg_tensor::Shape;
use vgg_tensor::spec::Conv2d;

use super::algebra::HALF_POINTS;
use super::points::Points;
use super::transform::{PATCH, TILE};
use crate::conv2d::strips::Strips;
use crate::format::Format;

/// Consecutive strips, counted through all images of the batch, whose tiles are transformed,
/// multiplied and transformed back together.
///
/// In each direction, an image's last tiles are half tiles if they have one or two outputs; they
/// have fewer points. The tiles are numbered so that those of a point follow each other: first those
/// that are half in width, then the full ones, then those half in height, then those half in both.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) op: &'a Conv2d,
    /// The operation's: at hand in the innermost loops.
    pub(super) x: Shape,
    pub(super) sums: Shape,
    pub(super) y: Shape,
    pub(super) strips: Strips,
    /// The first strip.
    first: usize,
    count: usize,
    /// Of these strips, those whose tiles are half in height.
    half_count: usize,
    /// Tiles of a strip.
    tiles_w: usize,
    /// Of these, the last one, if it is half: 0 or 1.
    half_w: usize,
    /// Of an image's strips, the last one, if its tiles are half: 0 or 1.
    half_h: usize,
}

impl<'a> Block<'a> {
    pub(super) fn new(op: &'a Conv2d, strips: Strips, range: Range<usize>) -> Self {
        let half = |outputs: usize| usize::from((1..=TILE / 2).contains(&(outputs % TILE)));
        let (half_h, half_w) = (half(op.conv_y().h), half(op.conv_y().w));
        let half_count = half_h * (range.end / strips.per_image - range.start / strips.per_image);
        let tiles_w = tiles_of_a_strip(op);
        Self {
            op,
            x: op.x(),
            sums: op.conv_y(),
            y: op.y(),
            strips,
            first: range.start,
            count: range.len(),
            half_count,
            tiles_w,
            half_w,
            half_h,
        }
    }

    /// The strips, by their numbers.
    #[inline(always)]
    pub(super) fn range(self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// The images that they are of.
    pub(super) fn images(self) -> Range<usize> {
        let Range { start, end } = self.range();
        start / self.strips.per_image..end.div_ceil(self.strips.per_image)
    }

    /// Those of one image.
    pub(super) fn range_of(self, image: usize) -> Range<usize> {
        let Range { start, end } = self.range();
        let first = image * self.strips.per_image;
        start.max(first)..end.min(first + self.strips.per_image)
    }

    /// How many tiles there are.
    #[inline(always)]
    pub(super) fn tiles(self) -> usize {
        self.count * self.tiles_w
    }

    /// The tiles of a strip.
    #[inline(always)]
    pub(super) fn strip(self, index: usize) -> Strip {
        let full_w = self.tiles_w - self.half_w;
        let full_tiles = (self.count - self.half_count) * self.tiles_w;
        let images = index / self.strips.per_image - self.first / self.strips.per_image;
        let half_before = images * self.half_h;
        let full_before = index - self.first - half_before;
        let half_h = self.half_h == 1 && (index + 1).is_multiple_of(self.strips.per_image);
        let (first, half_w) = if half_h {
            let first = full_tiles + half_before * full_w;
            (first, full_tiles + self.half_count * full_w + half_before)
        } else {
            ((self.count - self.half_count) * self.half_w + full_before * full_w, full_before)
        };
        let (image, y) = self.strips.locate(index);
        let half_w = (self.half_w == 1).then_some(half_w);
        Strip { index, image, y, half_h, full_w: first..first + full_w, half_w }
    }

    /// The tiles that have point `p`.
    #[inline(always)]
    pub(super) fn tiles_at(self, p: usize) -> Range<usize> {
        let full = self.count - self.half_count;
        let has = |i: usize| HALF_POINTS.contains(&i);
        let start = if has(p % PATCH) { 0 } else { full * self.half_w };
        let end = match (has(p / PATCH), has(p % PATCH)) {
            (true, true) => self.count * self.tiles_w,
            (true, false) => self.count * self.tiles_w - self.half_count * self.half_w,
            (false, _) => full * self.tiles_w,
        };
        start..end
    }

    /// As many strips again, or as are left of the batch.
    #[inline(always)]
    pub(super) fn next(self) -> Self {
        let first = self.first + self.count;
        let end = (first + self.count).min(self.strips.count);
        Self::new(self.op, self.strips, first..end)
    }

    /// Places that the tiles take at the points, with so many channels of input and output.
    pub(super) fn len<I: Format, O: Format>(self, [c_in, c_out]: [usize; 2]) -> usize {
        Points::<I>::len(self.tiles(), c_in) + Points::<O>::len(self.tiles(), c_out)
    }

    /// The tiles at the points, in memory of at least [`Block::len`] numbers.
    pub(super) fn points<'m, I: Format, O: Format>(
        self,
        memory: &'m mut [f32],
        [c_in, c_out]: [usize; 2],
    ) -> (Points<'m, I>, Points<'m, O>) {
        // More than the caches hold.
        let far = self.len::<I, O>([c_in, c_out]) > 4 << 20;
        let (v, m) = memory.split_at_mut(Points::<I>::len(self.tiles(), c_in));
        let (v, m) = (Points::new(v, self.tiles(), c_in), Points::new(m, self.tiles(), c_out));
        if far { (v.streamed(), m.streamed()) } else { (v, m) }
    }

    /// The rows of x that the block reads and the one before it did not; `x` starts with image
    /// `first_image`.
    #[inline(always)]
    pub(super) fn new_input<N>(self, x: &[N], first_image: usize) -> &[N] {
        let op = self.op;
        let start = |strip: usize| {
            let (image, y) = self.strips.locate(strip);
            let y = y + PATCH - TILE - op.padding();
            ((image - first_image) * op.x().features() + y * op.x().w * op.x().c).min(x.len())
        };
        &x[start(self.first)..start(self.first + self.count)]
    }
}

/// A strip: a row of a block's tiles.
pub(super) struct Strip {
    /// Its number among those of the batch.
    pub(super) index: usize,
    /// The image, and the first of its rows of outputs.
    pub(super) image: usize,
    pub(super) y: usize,
    /// Whether the tiles are half in height.
    pub(super) half_h: bool,
    /// The numbers of the tiles of full width, from the left on.
    pub(super) full_w: Range<usize>,
    /// The number of the one after them, if it is half in width.
    pub(super) half_w: Option<usize>,
}

/// Tiles side by side.
pub(super) fn tiles_of_a_strip(op: &Conv2d) -> usize {
    op.conv_y().w.div_ceil(TILE)
}

#[cfg(test)]
mod tests {
    use vgg_tensor::spec::ConvEpilogue;

    use super::super::transform::POINTS;
    use super::*;

    #[test]
    fn the_tiles_of_a_point_follow_each_other() {
        for (h, w) in [(8, 8), (14, 14), (9, 7), (3, 10), (2, 1), (6, 12), (11, 5)] {
            let op = Conv2d::new(Shape::new(3, 1, h, w), 1, 3, 1, ConvEpilogue::Bias).unwrap();
            let strips = Strips::new(&op, TILE);
            for first in 0..strips.count {
                for end in first + 1..=strips.count {
                    let block = Block::new(&op, strips, first..end);
                    // Of each tile, by its number: whether it is half in height, and in width.
                    let mut tiles = vec![None; block.tiles()];
                    for index in block.range() {
                        let strip = block.strip(index);
                        assert_eq!(strip.half_h, h - strip.y <= TILE / 2);
                        assert_eq!(strip.half_w.is_some(), (1..=TILE / 2).contains(&(w % TILE)));
                        let full_w = strip.full_w.map(|tile| (tile, false));
                        for (tile, half_w) in full_w.chain(strip.half_w.map(|tile| (tile, true))) {
                            assert_eq!(tiles[tile].replace((strip.half_h, half_w)), None);
                        }
                    }
                    for p in 0..POINTS {
                        let at = block.tiles_at(p);
                        for (tile, half) in tiles.iter().enumerate() {
                            let (half_h, half_w) = half.expect("every number is some tile's");
                            let has = |half: bool, i: usize| !half || HALF_POINTS.contains(&i);
                            let expected = has(half_h, p / PATCH) && has(half_w, p % PATCH);
                            assert_eq!(at.contains(&tile), expected, "tile {tile}, point {p}");
                        }
                    }
                }
            }
        }
    }
}
