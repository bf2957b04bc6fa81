//! Blocks of threads that keep to their channels, and sums over pixels, in an order that depends on
//! the sizes and the device alone.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;

use crate::gpu::{Gpu, groups, kernel};
use crate::memory::Address;

/// A thread adds up at least so many pixels, so that there is more to add than to reduce.
const SUMMED: u64 = 8;

/// The most rows that a grid has.
const ROWS: u64 = 65_535;

/// Groups of channels of a block at most: its threads read long pieces of memory.
const WIDE: u32 = 32;

/// Groups of channels of a block at most where pixels are few, a fully connected layer's: with more
/// threads for each channel, one row of blocks adds them up.
const NARROW: u32 = 4;

/// How `pixels` of `c` channels each are cut into a grid of blocks of threads that keep to their
/// channels: each row of blocks goes through some pixels, and leaves a row of partial sums if it adds
/// up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) pixels: u64,
    pub(crate) c: u32,
    /// Groups of channels of a block.
    pub(crate) lanes: u32,
    /// Pixels that a block goes through.
    pub(crate) pixels_per_block: u64,
}

impl Columns {
    /// For sums over pixels: cut into no more than so many blocks, unless channels alone need more.
    pub(crate) fn sums(blocks: u64, pixels: usize, c: usize) -> Self {
        let few = pixels as u64 <= SUMMED * u64::from(BLOCK / NARROW);
        Self::new(blocks, pixels, c, if few { NARROW } else { WIDE }, SUMMED)
    }

    /// For maps of pixels that are independent of each other: cut as for sums.
    pub(crate) fn map(blocks: u64, pixels: usize, c: usize) -> Self {
        Self::new(blocks, pixels, c, WIDE, 1)
    }

    /// Cut so that a block has at most `widest` groups of channels, and a thread at least `least`
    /// pixels.
    fn new(blocks: u64, pixels: usize, c: usize, widest: u32, least: u64) -> Self {
        let pixels = pixels as u64;
        let lanes = groups(c).min(u64::from(widest)).next_power_of_two() as u32;
        let columns = groups(c).div_ceil(u64::from(lanes));
        let rows = (blocks / columns).clamp(1, ROWS);
        let least = least * u64::from(BLOCK / lanes);
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
