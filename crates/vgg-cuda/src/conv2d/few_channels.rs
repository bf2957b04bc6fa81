//! Convolutions of few channels before a pool, and the gradients of their inputs, by kernels of our own on
//! tensor cores, from Ampere on: their sums stay in registers, and cuDNN leaves most of the cores idle.

use vgg_tensor::spec::Conv2d;
use vgg_tensor::{Result, Shape};

use super::is_pooled_3x3;
use super::tiling::Tiling;
use crate::gpu::{Gpu, kernel};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// Channels of a block, forward and backward.
const SLAB: usize = 32;
const DATA_SLAB: usize = 16;

/// The most channels of y whose filters a block has room for, backward.
const MOST_OUT: usize = 64;

/// Whether an operation is such a convolution, and a GPU has the kernel.
pub(super) fn takes(gpu: &Gpu, op: &Conv2d) -> bool {
    gpu.multiplies() && matches!(op.x().c, 16 | 32) && is_pooled_3x3(op)
}

/// See [`vgg_tensor::Command::Conv2d`].
pub(super) fn forward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    let (storage, from, to) = (cuda.storage, op.x(), op.y());
    let tiling = Tiling::new(&cuda.gpu, op.y(), SLAB, 1);
    let kernel = kernel::FewChannelsForward {
        x: x.numbers(storage, from.len()),
        weight: weight.weight(storage, op.weight().len()).factors,
        bias: bias.f32(to.c),
        y: y.numbers(storage, to.len()),
        aux: aux.map_or(Address::NULL, |aux| aux.room(op.aux_bytes())),
        n: from.n as u64,
        h: from.h as u32,
        w: from.w as u32,
        c_in: from.c as u32,
        c: to.c as u32,
        tiles_per_warp: tiling.tiles_per_warp as u32,
    };
    // SAFETY: the buffers have room for what the spec says, and no two are the same; the grid is what
    // the kernel asks for.
    unsafe { cuda.gpu.launch_grid(kernel, tiling.grid()) }
}

/// Whether the gradient of an operation's input is computed here.
pub(super) fn takes_data(gpu: &Gpu, op: &Conv2d) -> bool {
    takes(gpu, op) && op.c_out().is_multiple_of(16) && op.c_out() <= MOST_OUT
}

/// Orders the gradient of an operation's input.
///
/// # Safety
/// The addresses are of memory that has room for what the spec says.
pub(super) unsafe fn backward_data(
    gpu: &Gpu,
    op: &Conv2d,
    dy: Address,
    aux: Address,
    weight: Address,
    dx: Address,
) -> Result<()> {
    let (from, to) = (op.x(), op.y());
    let windows = Shape { h: from.h.div_ceil(2), w: from.w.div_ceil(2), ..from };
    let tiling = Tiling::new(gpu, windows, DATA_SLAB, 1);
    let kernel = kernel::FewChannelsBackwardData {
        dy,
        aux,
        weight,
        dx,
        n: from.n as u64,
        h: from.h as u32,
        w: from.w as u32,
        c_in: from.c as u32,
        c: to.c as u32,
        tiles_per_warp: tiling.tiles_per_warp as u32,
    };
    // SAFETY: as the caller promises; no two are the same, and the grid is what the kernel asks for.
    unsafe { gpu.launch_grid(kernel, tiling.grid()) }
}
