//! How the work is cut: into blocks of tiles, and each block into jobs.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::spec::Conv2d;

use super::points::Points;
use super::transform::{PATCH, POINTS, TILE};
use crate::conv2d::strips::Strips;

/// Consecutive rows of tiles, counted through all images of the batch, that are transformed,
/// multiplied and transformed back together.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) op: &'a Conv2d,
    pub(super) strips: Strips,
    /// The first row of tiles.
    first: usize,
    rows: usize,
    /// Tiles of a row.
    pub(super) tiles_w: usize,
}

impl<'a> Block<'a> {
    pub(super) fn new(op: &'a Conv2d, strips: Strips, rows: Range<usize>) -> Self {
        let tiles_w = tiles_of_a_row(op);
        Self { op, strips, first: rows.start, rows: rows.len(), tiles_w }
    }

    /// The rows of tiles.
    #[inline(always)]
    pub(super) fn rows(self) -> Range<usize> {
        self.first..self.first + self.rows
    }

    /// The images that they are of.
    pub(super) fn images(self) -> Range<usize> {
        let rows = self.rows();
        rows.start / self.strips.per_image..rows.end.div_ceil(self.strips.per_image)
    }

    /// Those of one image.
    pub(super) fn rows_of(self, image: usize) -> Range<usize> {
        let rows = self.rows();
        let first = image * self.strips.per_image;
        rows.start.max(first)..rows.end.min(first + self.strips.per_image)
    }

    /// How many tiles there are.
    #[inline(always)]
    pub(super) fn tiles(self) -> usize {
        self.rows * self.tiles_w
    }

    /// The number, in the block, of a row's first tile.
    #[inline(always)]
    pub(super) fn tile(self, row: usize) -> usize {
        (row - self.first) * self.tiles_w
    }

    /// As many rows of tiles again, or as are left of the batch.
    #[inline(always)]
    pub(super) fn next(self) -> Self {
        let first = self.first + self.rows;
        Self { first, rows: self.rows.min(self.strips.count - first), ..self }
    }

    /// Numbers that the tiles take at the points, with so many channels of input and output.
    pub(super) fn len(self, [c_in, c_out]: [usize; 2]) -> usize {
        Points::len(self.tiles(), c_in) + Points::len(self.tiles(), c_out)
    }

    /// The tiles at the points, in memory of at least [`Block::len`] numbers.
    pub(super) fn points<'m>(
        self,
        memory: &'m mut [f32],
        [c_in, c_out]: [usize; 2],
    ) -> [Points<'m>; 2] {
        // More than the caches hold.
        let far = self.len([c_in, c_out]) > 4 << 20;
        let (v, m) = memory.split_at_mut(Points::len(self.tiles(), c_in));
        let [v, m] = [(v, c_in), (m, c_out)].map(|(memory, channels)| {
            let points = Points::new(memory, self.tiles(), channels);
            if far { points.streamed() } else { points }
        });
        [v, m]
    }

    /// The part of x that the block reads and the one before it did not; `x` starts with image
    /// `first_image`.
    #[inline(always)]
    pub(super) fn new_input(self, x: &[f32], first_image: usize) -> &[f32] {
        let op = self.op;
        let start = |row: usize| {
            let (image, y) = self.strips.locate(row);
            let y = y + PATCH - TILE - op.padding();
            ((image - first_image) * op.x().features() + y * op.x().w * op.x().c).min(x.len())
        };
        &x[start(self.first)..start(self.first + self.rows)]
    }
}

/// How the tiles are cut into blocks, and who does a block's work.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv2d) struct Cut {
    pub(super) split: Split,
    /// Rows of tiles in a block.
    pub(super) rows: usize,
}

/// Who does the work on a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// A thread has blocks of its own: their transforms stay in its cache, and the filters, which
    /// are read for every block, are small.
    Tiles,
    /// The threads share each block and split its products by points and channels: each reads only
    /// its own points' part of large filters, and for large blocks not often.
    Points,
}

impl Cut {
    /// The fastest one for the gradients. It says in which order they are summed, so it does not
    /// depend on the threads.
    pub(in crate::conv2d) fn backward(op: &Conv2d) -> Self {
        const LARGE: usize = 256 * 256;
        if op.x().c * op.c_out() >= LARGE { Self::points(op) } else { Self::tiles(op) }
    }

    /// The fastest one for the forward pass, where each number is the same sum however it is cut.
    pub(in crate::conv2d) fn forward(op: &Conv2d, threads: usize) -> Self {
        let rows = op.x().n * op.conv_y().h.div_ceil(TILE);
        let blocks = rows.div_ceil(Self::tiles(op).rows);
        if blocks < threads { Self::points(op) } else { Self::backward(op) }
    }

    /// Blocks that the second-level cache holds, but of enough tiles to pay for reading the
    /// filters.
    fn tiles(op: &Conv2d) -> Self {
        const CACHE: usize = 128 << 10; // numbers
        const ENOUGH: usize = 48;
        let tiles = (CACHE / numbers_of_a_tile(op)).max(ENOUGH);
        Self { split: Split::Tiles, rows: (tiles / tiles_of_a_row(op)).max(1) }
    }

    /// Blocks of enough tiles to pay for reading large filters from memory; of whole images where
    /// these are small, so that the threads can split dx by images. As equal as can be.
    fn points(op: &Conv2d) -> Self {
        const MEMORY: usize = 8 << 20; // numbers
        let of_an_image = op.conv_y().h.div_ceil(TILE);
        let rows = (MEMORY / numbers_of_a_tile(op) / tiles_of_a_row(op)).max(1);
        let rows = match rows / of_an_image {
            0 => of_an_image.div_ceil(of_an_image.div_ceil(rows)),
            images => op.x().n.div_ceil(op.x().n.div_ceil(images)) * of_an_image,
        };
        Self { split: Split::Points, rows }
    }
}

/// Numbers that a tile has at the points, of input and output.
fn numbers_of_a_tile(op: &Conv2d) -> usize {
    POINTS * (op.x().c + op.c_out())
}

fn tiles_of_a_row(op: &Conv2d) -> usize {
    op.conv_y().w.div_ceil(TILE)
}

impl Split {
    /// Does `jobs` jobs of a block: the thread all of them, or the threads one by one.
    pub(super) fn run(self, jobs: Range<usize>, work: impl Fn(Range<usize>) + Sync) {
        match self {
            Self::Tiles => work(jobs),
            Self::Points => jobs.into_par_iter().for_each(|job| work(job..job + 1)),
        }
    }
}

/// The products of a block as jobs: each is of one point and some of the channels.
#[derive(Clone, Copy)]
pub(super) struct Products {
    /// Whole vectors.
    channels: usize,
    /// Channels of a job: whole panels, or all.
    of_a_job: usize,
}

impl Products {
    pub(super) fn new(split: Split, channels: usize, panel_width: usize) -> Self {
        let of_a_job = match split {
            Split::Tiles => channels,
            Split::Points => channels.min(4 * panel_width),
        };
        Self { channels, of_a_job }
    }

    /// How many jobs there are.
    #[inline(always)]
    pub(super) fn count(self) -> usize {
        POINTS * self.channels.div_ceil(self.of_a_job)
    }

    /// The point and the channels of a job; those of a point follow each other.
    #[inline(always)]
    pub(super) fn job(self, i: usize) -> (usize, Range<usize>) {
        let per_point = self.channels.div_ceil(self.of_a_job);
        let first = i % per_point * self.of_a_job;
        (i / per_point, first..(first + self.of_a_job).min(self.channels))
    }
}
