//! Dropout.

use vgg_tensor::{Result, Shape};

use crate::gpu::kernel;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::Dropout`].
pub(crate) fn in_place(
    cuda: &mut Cuda,
    shape: Shape,
    p: f32,
    seed: u64,
    stream: u32,
    x: &mut Buffer,
) -> Result<()> {
    let x = x.numbers(cuda.storage, shape.len());
    let len = shape.len() as u64;
    let kernel = kernel::Dropout { x, len, p, seed, stream, step: cuda.scalars.step() };
    // SAFETY: the buffer has room for what the shape says.
    unsafe { cuda.gpu.launch(kernel, len.div_ceil(4)) }
}
