//! How windows of sums and channels are cut into warps and blocks of the kernels on tensor cores.

use vgg_kernels::BLOCK;
use vgg_tensor::Shape;

use crate::gpu::Gpu;

/// Windows beside each other that a warp works on at a time.
const TILE: usize = 16;

const WARPS: usize = BLOCK as usize / 32;

/// Blocks of these kernels that a multiprocessor has room for.
const RESIDENT: u64 = 2;

/// The most rows that a grid has.
const ROWS: usize = 65_535;

/// A grid of slabs of channels by rows of tiles.
pub(super) struct Tiling {
    slabs: usize,
    pub(super) tiles_per_warp: usize,
    pub(super) rows: usize,
}

impl Tiling {
    /// Windows and channels, cut into slabs of so many channels, and into as many blocks as the device has
    /// room for so many times, or, of few tiles, into less.
    pub(super) fn new(gpu: &Gpu, windows: Shape, slab: usize, turns: u64) -> Self {
        let slabs = windows.c.div_ceil(slab);
        let tiles = windows.n * windows.h * windows.w.div_ceil(TILE);
        let blocks = (turns * RESIDENT * gpu.processors()) as usize;
        let rows = blocks.div_ceil(slabs).min(ROWS);
        let tiles_per_warp = tiles.div_ceil(rows * WARPS);
        Self { slabs, tiles_per_warp, rows: tiles.div_ceil(tiles_per_warp * WARPS) }
    }

    pub(super) fn grid(&self) -> [u32; 2] {
        [self.slabs as u32, self.rows as u32]
    }
}
