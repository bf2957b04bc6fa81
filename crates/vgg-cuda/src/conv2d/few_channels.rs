//! Convolutions of few channels before a pool, forward, by a kernel of our own on tensor cores, from
//! Ampere on: their sums stay in registers, and cuDNN leaves most of the cores idle.

use vgg_tensor::Result;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::tiling::Tiling;
use crate::gpu::{Gpu, kernel};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// Channels of a block.
const SLAB: usize = 32;

/// Whether an operation is such a convolution, and a GPU has the kernel.
pub(super) fn takes(gpu: &Gpu, op: &Conv2d) -> bool {
    gpu.multiplies()
        && matches!(op.x().c, 16 | 32)
        && (op.kernel(), op.padding(), op.stride()) == (3, 1, 1)
        && op.epilogue() == ConvEpilogue::BiasReluMaxPool
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
    let tiling = Tiling::new(&cuda.gpu, op, SLAB, 1);
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
