//! Local response normalisation.

use vgg_tensor::Result;
use vgg_tensor::spec::Lrn;

use crate::gpu::{groups, list};
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Backend::lrn`].
pub(crate) fn forward(cuda: &mut Cuda, op: &Lrn, x: &Buffer, y: &mut Buffer) -> Result<()> {
    let shape = op.x();
    let [x, y] = [x, y].map(|buffer| buffer.numbers(cuda.storage, shape.len()));
    let pixels = shape.n * shape.h * shape.w;
    let work = pixels as u64 * groups(shape.c);
    // SAFETY: the buffers have room for what the spec says, and are not the same.
    unsafe { cuda.gpu.launch("lrn_forward", work, list![x, y, pixels, shape.c as u32]) }
}

/// See [`vgg_tensor::Backend::lrn_backward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &Lrn,
    x: &Buffer,
    dy: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let shape = op.x();
    let [x, dy, dx] = [x, dy, dx].map(|buffer| buffer.numbers(cuda.storage, shape.len()));
    let pixels = shape.n * shape.h * shape.w;
    let work = pixels as u64 * groups(shape.c);
    // SAFETY: as above.
    unsafe { cuda.gpu.launch("lrn_backward", work, list![x, dy, dx, pixels, shape.c as u32]) }
}
