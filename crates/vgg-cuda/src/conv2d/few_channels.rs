//! Convolutions of few channels before a pool, and their gradients, by kernels of our own on tensor cores,
//! from Ampere on: their sums stay in registers, and cuDNN leaves most of the cores idle.

use vgg_tensor::spec::Conv2d;
use vgg_tensor::{Result, Shape};

use super::is_pooled_3x3;
use super::tiling::Tiling;
use crate::columns::sum_rows;
use crate::gpu::{Gpu, kernel};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// Channels of a block, forward and backward.
const SLAB: usize = 32;
const BACKWARD_SLAB: usize = 16;

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

/// Whether all of its gradients are computed here.
pub(super) fn takes_backward(gpu: &Gpu, op: &Conv2d) -> bool {
    takes(gpu, op) && op.c_out().is_multiple_of(BACKWARD_SLAB) && op.c_out() <= MOST_OUT
}

/// See [`vgg_tensor::Command::Conv2dBackward`]. The map before the pool, and its gradient, are in no memory.
pub(super) fn backward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dweight: &mut Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    let (storage, from, to) = (cuda.storage, op.x(), op.y());
    let len = op.weight().len();
    let x = x.numbers(storage, from.len());
    let dy = dy.numbers(storage, to.len());
    let aux = aux.room(op.aux_bytes());
    let (n, h, w) = (from.n as u64, from.h as u32, from.w as u32);
    let (c_in, c) = (from.c as u32, to.c as u32);

    // Slabs are of pairs of channels' sixteens.
    let pairs = Shape { c: to.c * from.c / BACKWARD_SLAB, ..to };
    let tiling = Tiling::new(&cuda.gpu, pairs, BACKWARD_SLAB, 1);
    let partial = [4 * tiling.rows * len, 4 * tiling.rows * to.c];
    let [dweight_rows, db] = cuda.scratch.split(&cuda.gpu.stream, partial)?;
    let loss_scale = cuda.loss_scale_address();
    let kernel = kernel::FewChannelsBackwardWeight {
        x,
        dy,
        aux,
        dweight: dweight_rows,
        db,
        n,
        h,
        w,
        c_in,
        c,
        tiles_per_warp: tiling.tiles_per_warp as u32,
    };
    let rows = tiling.rows as u64;
    // SAFETY: the buffers have room for what the spec says, the scratch memory for the rows, and no
    // two are the same; the grid is what the kernel asks for.
    unsafe {
        cuda.gpu.launch_grid(kernel, tiling.grid())?;
        sum_rows(&cuda.gpu, dweight_rows, rows, len, dweight.f32(len), loss_scale)?;
        sum_rows(&cuda.gpu, db, rows, to.c, dbias.f32(to.c), loss_scale)?;
    }

    let Some(dx) = dx else { return Ok(()) };
    let windows = Shape { h: from.h.div_ceil(2), w: from.w.div_ceil(2), ..from };
    let tiling = Tiling::new(&cuda.gpu, windows, BACKWARD_SLAB, 1);
    let kernel = kernel::FewChannelsBackwardData {
        dy,
        aux,
        weight: weight.weight(storage, len).factors,
        dx: dx.numbers(storage, from.len()),
        n,
        h,
        w,
        c_in,
        c,
        tiles_per_warp: tiling.tiles_per_warp as u32,
    };
    // SAFETY: as above.
    unsafe { cuda.gpu.launch_grid(kernel, tiling.grid()) }
}
