//! Max-pooling as a layer of its own.

use vgg_tensor::Result;
use vgg_tensor::spec::MaxPool2d;

use crate::gpu::{groups, kernel};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::MaxPool2d`].
pub(crate) fn forward(
    cuda: &mut Cuda,
    op: &MaxPool2d,
    x: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    let (from, to) = (op.x(), op.y());
    let x = x.numbers(cuda.storage, from.len());
    let y = y.numbers(cuda.storage, to.len());
    let aux = aux.map_or(Address::NULL, |aux| aux.room(op.aux_bytes()));
    let [h, w, c, side, stride] = [from.h, from.w, from.c, op.kernel(), op.stride()].map(word);
    let n = from.n as u64;
    let work = (to.n * to.h * to.w) as u64 * groups(to.c);
    let kernel = kernel::MaxPool2dForward { x, y, aux, n, h, w, c, kernel: side, stride };
    // SAFETY: the buffers have room for what the spec says, and no two are the same.
    unsafe { cuda.gpu.launch(kernel, work) }
}

/// See [`vgg_tensor::Command::MaxPool2dBackward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &MaxPool2d,
    dy: &Buffer,
    aux: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let from = op.x();
    let dy = dy.numbers(cuda.storage, op.y().len());
    let aux = aux.room(op.aux_bytes());
    let dx = dx.numbers(cuda.storage, from.len());
    let [h, w, c, side, stride] = [from.h, from.w, from.c, op.kernel(), op.stride()].map(word);
    let n = from.n as u64;
    let work = (from.n * from.h * from.w) as u64 * groups(from.c);
    let kernel = kernel::MaxPool2dBackward { dy, aux, dx, n, h, w, c, kernel: side, stride };
    // SAFETY: as above.
    unsafe { cuda.gpu.launch(kernel, work) }
}

/// A side or a stride as kernels have it. A stride that is longer than any map skips all but the
/// first window, however long.
fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
