//! The logistic sigmoid.

use vgg_tensor::{Result, Shape};

use crate::gpu::kernel;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::Sigmoid`].
pub(crate) fn in_place(cuda: &mut Cuda, shape: Shape, x: &mut Buffer) -> Result<()> {
    let x = x.numbers(cuda.storage, shape.len());
    let len = shape.len() as u64;
    // SAFETY: the buffer has room for what the shape says.
    unsafe { cuda.gpu.launch(kernel::SigmoidForward { x, len }, len.div_ceil(4)) }
}

/// See [`vgg_tensor::Command::SigmoidBackward`].
pub(crate) fn backward(cuda: &mut Cuda, shape: Shape, y: &Buffer, dy: &mut Buffer) -> Result<()> {
    let [y, dy] = [y, dy].map(|buffer| buffer.numbers(cuda.storage, shape.len()));
    let len = shape.len() as u64;
    // SAFETY: the buffers have room for what the shape says, and are not the same.
    unsafe { cuda.gpu.launch(kernel::SigmoidBackward { y, dy, len }, len.div_ceil(4)) }
}
