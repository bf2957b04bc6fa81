//! The tiles at the points.

use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;
use vgg_tensor::spec::Conv2d;

use super::algebra::HALF_POINTS;
use super::transform::{POINTS, TILE};
use crate::buffer::LINE;
use crate::format::{F32, Format};
use crate::shared::Shared;
use crate::simd::{MAX_LANES, Simd};

/// A matrix for each of the points: `[point][row][channel]`, of factors or of sums.
#[derive(Clone, Copy)]
pub(super) struct Points<'a, F = F32> {
    memory: Shared<'a>,
    /// Rows of a matrix: tiles or, for the filters' gradient, input channels.
    pub(super) rows: usize,
    /// Channels, rounded up to whole vectors.
    pub(super) channels: usize,
    /// Whether [`Points::put`] writes past the caches.
    streamed: bool,
    factors: PhantomData<F>,
}

impl<'a, F: Format> Points<'a, F> {
    /// Places of all matrices.
    pub(super) fn len(rows: usize, channels: usize) -> usize {
        POINTS * Self::stride(rows, channels)
    }

    /// Places from one point's matrix to the next's: an odd number of cache lines, so that the
    /// points do not compete for the same sets of the cache.
    #[inline(always)]
    pub(super) fn stride(rows: usize, channels: usize) -> usize {
        (rows * channels / F::OF_A_PLACE).next_multiple_of(2 * LINE) + LINE
    }

    /// # Panics
    /// If the memory is too short.
    pub(super) fn new(memory: &'a mut [f32], rows: usize, channels: usize) -> Self {
        assert!(memory.len() >= Self::len(rows, channels));
        let memory = Shared::new(memory);
        Self { memory, rows, channels, streamed: false, factors: PhantomData }
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
            if self.streamed && S::LANES == LINE * F::OF_A_PLACE {
                s.stream(place, v);
            } else {
                F::store(s, place.cast(), v);
            }
        }
    }

    /// As `f32`, if a number's place has room for one.
    pub(super) fn in_f32(self) -> Option<Points<'a>> {
        let Self { memory, rows, channels, streamed, .. } = self;
        let factors = PhantomData;
        (F::OF_A_PLACE == 1).then_some(Points { memory, rows, channels, streamed, factors })
    }

    /// Pairs of rows, each with the one after it, or with zeros: `[pair][channel]`, some rows and channels of
    /// `bf16`.
    ///
    /// # Safety
    /// The rows and channels lie inside, the channels are whole vectors, no job writes them, and there is
    /// room at `to`.
    #[inline(always)]
    pub(super) unsafe fn pair_rows<S: Simd>(
        self,
        s: S,
        point: usize,
        rows: Range<usize>,
        channels: Range<usize>,
        to: *mut f32,
    ) {
        let zeros = [bf16::ZERO; MAX_LANES];
        let place = |row: usize, channel: usize| {
            let inside = row < rows.end;
            if inside { self.at(point, row, channel).cast() } else { zeros.as_ptr() }
        };
        for (pair, row) in rows.clone().step_by(2).enumerate() {
            for channel in channels.clone().step_by(S::LANES) {
                // SAFETY: the caller's promise.
                unsafe {
                    let both = s.load_pairs(place(row, channel), place(row + 1, channel));
                    s.store(to.add(pair * channels.len() + channel - channels.start), both);
                }
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

    /// The place of a number, the first in it; inside if point, row and channel are.
    #[inline(always)]
    pub(super) fn at(self, point: usize, row: usize, channel: usize) -> *mut f32 {
        let stride = Self::stride(self.rows, self.channels);
        self.memory.at(point * stride + self.of_a_row() * row + channel / F::OF_A_PLACE)
    }

    /// Places from one row to the next.
    #[inline(always)]
    pub(super) fn of_a_row(self) -> usize {
        self.channels / F::OF_A_PLACE
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
