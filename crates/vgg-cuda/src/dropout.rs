//! Dropout.

use vgg_tensor::{Draw, Result, Shape};

use crate::gpu::list;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Backend::dropout`].
pub(crate) fn in_place(
    cuda: &mut Cuda,
    shape: Shape,
    p: f32,
    draw: Draw,
    x: &mut Buffer,
) -> Result<()> {
    let len = shape.len();
    let x = x.numbers(cuda.storage, len);
    let step = cuda.replay.step(draw.step)?;
    let arguments = list![x, len, p, draw.seed, draw.stream, step];
    // SAFETY: the buffer has room for what the shape says.
    unsafe { cuda.gpu.launch("dropout", len.div_ceil(4) as u64, arguments) }
}
