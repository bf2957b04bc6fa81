//! Local response normalisation.

use vgg_tensor::Result;
use vgg_tensor::spec::Lrn;

use crate::gpu::{groups, kernel};
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::Lrn`].
pub(crate) fn forward(cuda: &mut Cuda, op: &Lrn, x: &Buffer, y: &mut Buffer) -> Result<()> {
    let shape = op.x();
    let [x, y] = [x, y].map(|buffer| buffer.numbers(cuda.storage, shape.len()));
    let pixels = (shape.n * shape.h * shape.w) as u64;
    let (c, work) = (shape.c as u32, pixels * groups(shape.c));
    // SAFETY: the buffers have room for what the spec says, and are not the same.
    unsafe { cuda.gpu.launch(kernel::LrnForward { x, y, pixels, c }, work) }
}

/// See [`vgg_tensor::Command::LrnBackward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &Lrn,
    x: &Buffer,
    dy: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let shape = op.x();
    let [x, dy, dx] = [x, dy, dx].map(|buffer| buffer.numbers(cuda.storage, shape.len()));
    let pixels = (shape.n * shape.h * shape.w) as u64;
    let (c, work) = (shape.c as u32, pixels * groups(shape.c));
    // SAFETY: as above.
    unsafe { cuda.gpu.launch(kernel::LrnBackward { x, dy, dx, pixels, c }, work) }
}
