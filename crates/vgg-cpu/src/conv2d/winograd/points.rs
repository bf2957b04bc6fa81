//! The tiles at the points.

use vgg_tensor::spec::Conv2d;

use super::algebra::HALF_POINTS;
use super::transform::{POINTS, TILE};
use crate::buffer::LINE;
use crate::shared::Shared;
use crate::simd::Simd;

/// A matrix for each of the points: `[point][row][channel]`.
#[derive(Clone, Copy)]
pub(super) struct Points<'a> {
    memory: Shared<'a>,
    /// Rows of a matrix: tiles or, for the filters' gradient, input channels.
    pub(super) rows: usize,
    /// Channels, rounded up to whole vectors.
    pub(super) channels: usize,
    /// Whether [`Points::put`] writes past the caches.
    streamed: bool,
}

impl<'a> Points<'a> {
    /// Numbers in all matrices.
    pub(super) fn len(rows: usize, channels: usize) -> usize {
        POINTS * Self::stride(rows, channels)
    }

    /// Numbers from one point's matrix to the next's: an odd number of cache lines, so that the
    /// points do not compete for the same sets of the cache.
    #[inline(always)]
    pub(super) fn stride(rows: usize, channels: usize) -> usize {
        (rows * channels).next_multiple_of(2 * LINE) + LINE
    }

    /// # Panics
    /// If the memory is too short.
    pub(super) fn new(memory: &'a mut [f32], rows: usize, channels: usize) -> Self {
        assert!(memory.len() >= Self::len(rows, channels));
        Self { memory: Shared::new(memory), rows, channels, streamed: false }
    }

    /// Written past the caches: where other threads read them, and much later, the caches have
    /// better use, and a line need not be fetched to be written. [`Points::flush`] makes the
    /// numbers visible.
    pub(super) fn streamed(self) -> Self {
        Self { streamed: true, ..self }
    }

    /// Writes channels from a vector.
    ///
    /// # Safety
    /// The place lies inside, and no other job uses it.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd>(
        self,
        s: S,
        point: usize,
        row: usize,
        channel: usize,
        v: S::V,
    ) {
        let place = self.at(point, row, channel);
        // SAFETY: the caller's promise; a vector of a whole line is aligned as one, since
        // the memory is.
        unsafe {
            // Parts of a line would go to memory one by one.
            if self.streamed && S::LANES == LINE {
                s.stream(place, v);
            } else {
                s.store(place, v);
            }
        }
    }

    /// Ends a job's [`Points::put`]s.
    #[inline(always)]
    pub(super) fn flush<S: Simd>(self, s: S) {
        if self.streamed {
            s.flush_streams();
        }
    }

    /// The place of a number; inside if point, row and channel are.
    #[inline(always)]
    pub(super) fn at(self, point: usize, row: usize, channel: usize) -> *mut f32 {
        let stride = Self::stride(self.rows, self.channels);
        self.memory.at(point * stride + row * self.channels + channel)
    }
}

/// The points that any tile has: on maps of one or two rows or columns, there are only half tiles.
#[derive(Clone, Copy)]
pub(super) struct UsedPoints {
    only_half_h: bool,
    only_half_w: bool,
}

impl UsedPoints {
    pub(super) fn of(op: &Conv2d) -> Self {
        let [only_half_h, only_half_w] =
            [op.conv_y().h, op.conv_y().w].map(|side| side <= TILE / 2);
        Self { only_half_h, only_half_w }
    }

    /// Whether point `(i, j)` is one of them.
    #[inline(always)]
    pub(super) fn has(self, i: usize, j: usize) -> bool {
        let is_half = |i: usize| HALF_POINTS.contains(&i);
        (!self.only_half_h || is_half(i)) && (!self.only_half_w || is_half(j))
    }
}
