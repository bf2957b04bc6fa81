//! How large a block is, and who does its work.

use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::spec::Conv2d;

use super::block::{Block, tiles_of_a_strip};
use super::transform::{POINTS, TILE};
use crate::Cpu;
use crate::buffer::AlignedVec;
use crate::conv2d::strips::Strips;

/// How large a block is, and who does its work.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv2d) struct Blocking {
    pub(super) parallel: Parallel,
    /// Strips of a block.
    pub(super) size: usize,
}

/// Who does the work on a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parallel {
    /// A thread has blocks of its own: their transforms stay in its cache, and the filters, which
    /// are read for every block, are small.
    Blocks,
    /// The threads share each block, and its products by points and channels: each reads only
    /// its own points' part of large filters, and for large blocks not often.
    Points,
}

impl Blocking {
    /// The fastest one for the gradients. It says in which order they are summed, so it does not
    /// depend on the threads.
    pub(in crate::conv2d) fn backward(op: &Conv2d) -> Self {
        const LARGE: usize = 256 * 256;
        if op.x().c * op.c_out() >= LARGE { Self::by_points(op) } else { Self::by_blocks(op) }
    }

    /// The fastest one for the forward pass, where each number is the same sum whatever the
    /// blocks are: as many for each thread, so that none waits for others in the end.
    pub(in crate::conv2d) fn forward(op: &Conv2d, threads: usize) -> Self {
        let strips = Strips::new(op, TILE).count;
        let blocks = strips.div_ceil(Self::by_blocks(op).size);
        match Self::backward(op) {
            blocking if blocking.parallel == Parallel::Points || blocks < threads => {
                Self::by_points(op)
            }
            blocking => {
                Self { size: strips.div_ceil(blocks.next_multiple_of(threads)), ..blocking }
            }
        }
    }

    /// Blocks that the second-level cache holds, but of enough tiles to pay for reading the
    /// filters.
    fn by_blocks(op: &Conv2d) -> Self {
        const CACHE: usize = 128 << 10; // numbers
        const ENOUGH: usize = 48;
        let tiles = (CACHE / numbers_of_a_tile(op)).max(ENOUGH);
        Self { parallel: Parallel::Blocks, size: (tiles / tiles_of_a_strip(op)).max(1) }
    }

    /// Blocks of enough tiles to pay for reading large filters from memory; of whole images where
    /// these are small, so that the threads can share dx by images. As equal as can be.
    fn by_points(op: &Conv2d) -> Self {
        const MEMORY: usize = 8 << 20; // numbers
        let of_an_image = Strips::new(op, TILE).per_image;
        let size = (MEMORY / numbers_of_a_tile(op) / tiles_of_a_strip(op)).max(1);
        let size = match size / of_an_image {
            0 => of_an_image.div_ceil(of_an_image.div_ceil(size)),
            images => op.x().n.div_ceil(op.x().n.div_ceil(images)) * of_an_image,
        };
        Self { parallel: Parallel::Points, size }
    }

    /// The first of the blocks, the largest.
    pub(super) fn first_block(self, op: &Conv2d) -> Block<'_> {
        Block::new(op, Strips::new(op, TILE), 0..self.size)
    }
}

impl fmt::Display for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.parallel {
            Parallel::Blocks => "each by a thread",
            Parallel::Points => "each by all threads",
        };
        write!(f, "in blocks of {} rows of tiles, {who}", self.size)
    }
}

/// Numbers that a tile has at the points, of input and output.
fn numbers_of_a_tile(op: &Conv2d) -> usize {
    POINTS * (op.x().c + op.c_out())
}

/// Channels of input and output, rounded up to whole vectors.
pub(super) fn whole_vectors(cpu: &Cpu, op: &Conv2d) -> [usize; 2] {
    [op.x().c, op.c_out()].map(|c| c.next_multiple_of(cpu.isa.lanes()))
}

impl Parallel {
    /// Where a block's memory of so many places is: in the workspace or in each thread's scratch.
    pub(super) fn workspace_and_scratch(self, len: usize) -> [usize; 2] {
        let len = AlignedVec::len_of([len]);
        match self {
            Self::Blocks => [0, len],
            Self::Points => [len, 0],
        }
    }

    /// Does `jobs` jobs of a block: the thread all of them, or the threads one by one.
    pub(super) fn run(self, jobs: Range<usize>, work: impl Fn(Range<usize>) + Sync) {
        match self {
            Self::Blocks => work(jobs),
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
    jobs_of_a_point: usize,
}

impl Products {
    /// Four panels a job read a tile's numbers seldom enough; fewer, where the threads that share the block
    /// would have less than two jobs each. What is computed does not depend on it.
    pub(super) fn new(
        parallel: Parallel,
        channels: usize,
        panel_width: usize,
        threads: usize,
    ) -> Self {
        let jobs_of_a_point = |panels: usize| channels.div_ceil(panels * panel_width);
        let is_enough = |panels: &usize| POINTS * jobs_of_a_point(*panels) >= 2 * threads;
        let of_a_job = match parallel {
            Parallel::Blocks => channels,
            Parallel::Points => {
                channels.min([4, 2].into_iter().find(is_enough).unwrap_or(1) * panel_width)
            }
        };
        Self { channels, of_a_job, jobs_of_a_point: channels.div_ceil(of_a_job) }
    }

    /// How many jobs there are.
    #[inline(always)]
    pub(super) fn count(self) -> usize {
        POINTS * self.jobs_of_a_point
    }

    /// The point and the channels of a job; those of a point follow each other.
    #[inline(always)]
    pub(super) fn job(self, i: usize) -> (usize, Range<usize>) {
        let first = i % self.jobs_of_a_point * self.of_a_job;
        (i / self.jobs_of_a_point, first..(first + self.of_a_job).min(self.channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_have_jobs_of_fewer_panels() {
        for (channels, threads, jobs) in [
            (128, 2, 36),
            (128, 16, 36),
            (128, 64, 144),
            (256, 16, 72),
            (256, 64, 144),
            (512, 64, 144),
            (16, 64, 36), // no more are possible
        ] {
            let products = Products::new(Parallel::Points, channels, 32, threads);
            assert_eq!(products.count(), jobs, "{channels} channels, {threads} threads");
            let done: usize = (0..jobs).map(|job| products.job(job).1.len()).sum();
            assert_eq!(done, POINTS * channels);
        }
    }
}
