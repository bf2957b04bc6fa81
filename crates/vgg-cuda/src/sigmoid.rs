//! The logistic sigmoid.

use vgg_tensor::{Result, Shape};

use crate::gpu::list;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Backend::sigmoid`].
pub(crate) fn in_place(cuda: &mut Cuda, shape: Shape, x: &mut Buffer) -> Result<()> {
    let len = shape.len();
    let x = x.numbers(cuda.storage, len);
    // SAFETY: the buffer has room for what the shape says.
    unsafe { cuda.gpu.launch("sigmoid_forward", len.div_ceil(4) as u64, list![x, len]) }
}

/// See [`vgg_tensor::Backend::sigmoid_backward`].
pub(crate) fn backward(cuda: &mut Cuda, shape: Shape, y: &Buffer, dy: &mut Buffer) -> Result<()> {
    let len = shape.len();
    let [y, dy] = [y, dy].map(|buffer| buffer.numbers(cuda.storage, len));
    // SAFETY: the buffers have room for what the shape says, and are not the same.
    unsafe { cuda.gpu.launch("sigmoid_backward", len.div_ceil(4) as u64, list![y, dy, len]) }
}
