//! Sums over pixels, in an order that depends on the sizes and the device alone.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;

use crate::gpu::{Gpu, groups, kernel};
use crate::memory::Address;

/// A block's rows of threads add up at least so many pixels each, so that there is something to add.
const PIXELS: u64 = 8;

/// The most rows that a grid has.
const ROWS: u64 = 65_535;

/// How the sums over `pixels` of each of `c` channels are cut into a grid of blocks: each row of
/// blocks leaves a row of partial sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) pixels: u64,
    pub(crate) c: u32,
    /// Groups of channels of a block.
    pub(crate) lanes: u32,
    /// Pixels that a block adds up.
    pub(crate) pixels_per_block: u64,
}

impl Columns {
    /// Cut into about so many blocks, if there are pixels enough.
    pub(crate) fn new(blocks: u64, pixels: usize, c: usize) -> Self {
        let (pixels, lanes) = (pixels as u64, lanes(c));
        let columns = groups(c).div_ceil(u64::from(lanes));
        let rows = blocks.div_ceil(columns).min(ROWS);
        let least = PIXELS * u64::from(BLOCK / lanes);
        Self { pixels, c: c as u32, lanes, pixels_per_block: pixels.div_ceil(rows).max(least) }
    }

    /// Rows of partial sums, one after another.
    pub(crate) fn rows(&self) -> u64 {
        self.pixels.div_ceil(self.pixels_per_block)
    }

    /// Bytes of these rows, if each has so many sums a channel.
    pub(crate) fn bytes(&self, sums: usize) -> usize {
        4 * self.rows() as usize * sums * self.c as usize
    }

    /// The grid.
    pub(crate) fn grid(&self) -> [u32; 2] {
        [self.row()[0], self.rows() as u32]
    }

    /// A row of the grid, which adds up the rows of partial sums.
    pub(crate) fn row(&self) -> [u32; 2] {
        [groups(self.c as usize).div_ceil(u64::from(self.lanes)) as u32, 1]
    }
}

/// Groups of channels that a row of threads works on.
fn lanes(c: usize) -> u32 {
    groups(c).min(32).next_power_of_two() as u32
}

/// Orders the sums over the rows of `partial: [rows, c]` into `to: [c]`, divided by the loss scale.
///
/// # Safety
/// The addresses are of memory of these sizes.
pub(crate) unsafe fn sum_rows(
    gpu: &Gpu,
    partial: Address,
    rows: u64,
    c: usize,
    to: Address,
    loss_scale: Address,
) -> Result<()> {
    let kernel = kernel::SumRows { x: partial, y: to, rows, c: c as u32, loss_scale };
    // SAFETY: as the caller promises; the grid is what the kernel asks for.
    unsafe { gpu.launch_grid(kernel, [groups(c) as u32, 1]) }
}
