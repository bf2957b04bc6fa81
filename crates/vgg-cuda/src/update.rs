//! What gradients and weights go through besides the optimiser: sums, averages, a limited norm.

use vgg_kernels::BLOCK;
use vgg_tensor::{Content, Result};

use crate::gpu::{Gpu, kernel};
use crate::{Buffer, Cuda, buffer};

/// See [`vgg_tensor::Command::Scale`].
pub(crate) fn scale(
    cuda: &mut Cuda,
    content: Content,
    alpha: f32,
    x: &Buffer,
    y: &mut Buffer,
) -> Result<()> {
    blend(cuda, content, alpha, x, 0.0, y) // which does not read `y` then
}

/// See [`vgg_tensor::Command::Blend`]. What is not a weight of products has a copy, too, where weights
/// have one: it costs less than to tell them apart.
pub(crate) fn blend(
    cuda: &mut Cuda,
    content: Content,
    alpha: f32,
    x: &Buffer,
    beta: f32,
    y: &mut Buffer,
) -> Result<()> {
    let len = content.len();
    let to = y.weight(buffer::storage_of_copy(cuda.storage, content), len);
    let (x, y, copy) = (x.f32(len), to.numbers, to.copy);
    let kernel = kernel::Blend { x, y, copy, len: len as u64, alpha, beta };
    // SAFETY: the buffers have room for `len` numbers, and no two are the same.
    unsafe { cuda.gpu.launch(kernel, len.div_ceil(4) as u64) }
}

/// See [`vgg_tensor::Command::ClipGradients`].
pub(crate) fn clip(
    cuda: &mut Cuda,
    max_norm: f32,
    gradients: &[(Content, &mut Buffer)],
) -> Result<()> {
    let Cuda { gpu, scratch, .. } = cuda;
    let blocks = |content: &Content| blocks(gpu, content.len());
    let count: usize = gradients.iter().map(|(content, _)| blocks(content)).sum();
    let [sums, factor] = scratch.split(&gpu.stream, [8 * count, 4])?;
    let mut first = 0;
    for (content, gradient) in gradients {
        let (len, blocks) = (content.len(), blocks(content));
        let (x, sums) = (gradient.f32(len), sums.add(8 * first));
        let kernel = kernel::SumSquares { x, sums, len: len as u64 };
        // SAFETY: the buffer has room for `len` numbers, the scratch memory for a sum a block.
        unsafe { gpu.launch_grid(kernel, [blocks as u32, 1]) }?;
        first += blocks;
    }
    let kernel = kernel::ClipFactor { sums, count: count as u64, max_norm, factor };
    // SAFETY: the scratch memory has room for all sums and the factor.
    unsafe { gpu.launch_grid(kernel, [1, 1]) }?;
    for (content, gradient) in gradients {
        let len = content.len();
        let kernel = kernel::Clip { x: gradient.f32(len), len: len as u64, factor };
        // SAFETY: the buffer has room for `len` numbers.
        unsafe { gpu.launch(kernel, len.div_ceil(4) as u64) }?;
    }
    Ok(())
}

/// Blocks that add up the squares of `len` numbers.
fn blocks(gpu: &Gpu, len: usize) -> usize {
    len.div_ceil(4 * BLOCK as usize).clamp(1, gpu.blocks() as usize)
}
