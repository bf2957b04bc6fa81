//! Average pooling.

use vgg_tensor::Result;
use vgg_tensor::spec::AvgPool2d;

use crate::gpu::{groups, kernel};
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::AvgPool2d`].
pub(crate) fn forward(cuda: &mut Cuda, op: &AvgPool2d, x: &Buffer, y: &mut Buffer) -> Result<()> {
    let (from, to) = (op.x(), op.y());
    let x = x.numbers(cuda.storage, from.len());
    let y = y.numbers(cuda.storage, to.len());
    let [h, w, c, y_h, y_w] = [from.h, from.w, from.c, to.h, to.w].map(|size| size as u32);
    let work = (to.n * to.h * to.w) as u64 * groups(to.c);
    let kernel = kernel::AvgPool2dForward { x, y, n: from.n as u64, h, w, c, y_h, y_w };
    // SAFETY: the buffers have room for what the spec says, and are not the same.
    unsafe { cuda.gpu.launch(kernel, work) }
}

/// See [`vgg_tensor::Command::AvgPool2dBackward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &AvgPool2d,
    dy: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let (from, to) = (op.x(), op.y());
    let dy = dy.numbers(cuda.storage, to.len());
    let dx = dx.numbers(cuda.storage, from.len());
    let [h, w, c, y_h, y_w] = [from.h, from.w, from.c, to.h, to.w].map(|size| size as u32);
    let work = (from.n * from.h * from.w) as u64 * groups(from.c);
    let kernel = kernel::AvgPool2dBackward { dy, dx, n: from.n as u64, h, w, c, y_h, y_w };
    // SAFETY: as above.
    unsafe { cuda.gpu.launch(kernel, work) }
}
