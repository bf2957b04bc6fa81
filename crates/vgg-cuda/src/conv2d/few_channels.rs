//! Convolutions of few channels with what follows them, and their gradients, by kernels of our own on tensor
//! cores, from Ampere on: their sums stay in registers until all is done, and cuDNN leaves most of the cores
//! idle.

use vgg_tensor::spec::{Conv2d, ConvEpilogue};
use vgg_tensor::{Result, Shape};

use super::tiling::Tiling;
use super::{aux_address, is_3x3, pools, windows};
use crate::columns::sum_rows;
use crate::gpu::{Gpu, kernel};
use crate::{Buffer, Cuda};

/// Channels of a block, forward and backward.
const SLAB: usize = 32;
const BACKWARD_SLAB: usize = 16;

/// The most channels of y whose filters a block has room for, backward.
const MOST_OUT: usize = 64;

/// Whether an operation is such a convolution, and a GPU has the kernel.
pub(super) fn takes(gpu: &Gpu, op: &Conv2d) -> bool {
    gpu.multiplies() && matches!(op.x().c, 16 | 32) && is_3x3(op)
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
    let tiling = Tiling::new(&cuda.gpu, windows(op), SLAB, 1);
    let x = x.numbers(storage, from.len());
    let weight = weight.weight(storage, op.weight().len()).factors;
    let bias = bias.f32(to.c);
    let y = y.numbers(storage, to.len());
    let aux = aux_address(op, aux.as_deref());
    let relu = u32::from(op.epilogue() != ConvEpilogue::Bias);
    let (n, h, w) = (from.n as u64, from.h as u32, from.w as u32);
    let (c_in, c, tiles_per_warp) = (from.c as u32, to.c as u32, tiling.tiles_per_warp as u32);
    macro_rules! launch {
        ($kernel:ident $(, $relu:ident)?) => {{
            let kernel = kernel::$kernel {
                x, weight, bias, y, aux, $($relu,)? n, h, w, c_in, c, tiles_per_warp,
            };
            cuda.gpu.launch_grid(kernel, tiling.grid())
        }};
    }
    // SAFETY: the buffers have room for what the spec says, and no two are the same; the grid is what
    // the kernels ask for.
    unsafe {
        match pools(op) {
            true => launch!(FewChannelsForward),
            false => launch!(FewChannelsUnpooledForward, relu),
        }
    }
}

/// Whether all of its gradients are computed here.
pub(super) fn takes_backward(gpu: &Gpu, op: &Conv2d) -> bool {
    takes(gpu, op) && op.c_out().is_multiple_of(BACKWARD_SLAB) && op.c_out() <= MOST_OUT
}

/// See [`vgg_tensor::Command::Conv2dBackward`]. No map but those of x and y is in memory, nor another gradient.
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
    let aux = aux_address(op, Some(aux));
    let (n, h, w) = (from.n as u64, from.h as u32, from.w as u32);
    let (c_in, c) = (from.c as u32, to.c as u32);

    // Slabs are of pairs of channels' sixteens.
    let pairs = Shape { c: to.c * from.c / BACKWARD_SLAB, ..windows(op) };
    let tiling = Tiling::new(&cuda.gpu, pairs, BACKWARD_SLAB, 1);
    let partial = [4 * tiling.rows * len, 4 * tiling.rows * to.c];
    let [dweight_rows, db] = cuda.scratch.split(&cuda.gpu.stream, partial)?;
    let loss_scale = cuda.loss_scale_address();
    let (rows, tiles_per_warp) = (tiling.rows as u64, tiling.tiles_per_warp as u32);
    macro_rules! launch {
        ($kernel:ident) => {{
            let dweight = dweight_rows;
            let kernel =
                kernel::$kernel { x, dy, aux, dweight, db, n, h, w, c_in, c, tiles_per_warp };
            cuda.gpu.launch_grid(kernel, tiling.grid())
        }};
    }
    // SAFETY: the buffers have room for what the spec says, the scratch memory for the rows, and no
    // two are the same; the grid is what the kernels ask for.
    unsafe {
        match pools(op) {
            true => launch!(FewChannelsBackwardWeight),
            false => launch!(FewChannelsUnpooledBackwardWeight),
        }?;
        sum_rows(&cuda.gpu, dweight_rows, rows, len, dweight.f32(len), loss_scale)?;
        sum_rows(&cuda.gpu, db, rows, to.c, dbias.f32(to.c), loss_scale)?;
    }

    let Some(dx) = dx else { return Ok(()) };
    let windows = Shape { h: from.h.div_ceil(2), w: from.w.div_ceil(2), ..from };
    let tiling = Tiling::new(&cuda.gpu, windows, BACKWARD_SLAB, 1);
    let weight = weight.weight(storage, len).factors;
    let dx = dx.numbers(storage, from.len());
    let tiles_per_warp = tiling.tiles_per_warp as u32;
    macro_rules! launch {
        ($kernel:ident) => {{
            let kernel = kernel::$kernel { dy, aux, weight, dx, n, h, w, c_in, c, tiles_per_warp };
            cuda.gpu.launch_grid(kernel, tiling.grid())
        }};
    }
    // SAFETY: as above.
    unsafe {
        match pools(op) {
            true => launch!(FewChannelsBackwardData),
            false => launch!(FewChannelsUnpooledBackwardData),
        }
    }
}
