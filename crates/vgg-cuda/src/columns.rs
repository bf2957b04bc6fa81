//! Sums over pixels, in an order that depends on the sizes and the device alone.

use vgg_kernels::BLOCK;

use crate::gpu::{Gpu, groups};

/// A block's rows of threads add up at least so many pixels each, so that there is something to add.
const PIXELS: usize = 8;

/// The most rows that a grid has.
const ROWS: usize = 65_535;

/// How the sums over `pixels` of each of `c` channels are cut into a grid of blocks: each row of
/// blocks leaves a row of partial sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) pixels: usize,
    pub(crate) c: usize,
    /// Groups of channels of a block.
    pub(crate) lanes: usize,
    /// Pixels that a block adds up.
    pub(crate) pixels_per_block: usize,
}

impl Columns {
    /// Cut into enough blocks for the device.
    pub(crate) fn new(gpu: &Gpu, pixels: usize, c: usize) -> Self {
        let lanes = (groups(c) as usize).min(32).next_power_of_two();
        let columns = groups(c).div_ceil(lanes as u64);
        let rows = (gpu.blocks().div_ceil(columns) as usize).min(ROWS);
        let least = PIXELS * (BLOCK as usize / lanes);
        Self { pixels, c, lanes, pixels_per_block: pixels.div_ceil(rows).max(least) }
    }

    /// Rows of partial sums, one after another.
    pub(crate) fn rows(&self) -> usize {
        self.pixels.div_ceil(self.pixels_per_block)
    }

    /// The grid.
    pub(crate) fn grid(&self) -> [u32; 2] {
        [self.row()[0], self.rows() as u32]
    }

    /// A row of the grid, which adds up the rows of partial sums.
    pub(crate) fn row(&self) -> [u32; 2] {
        [groups(self.c).div_ceil(self.lanes as u64) as u32, 1]
    }
}
