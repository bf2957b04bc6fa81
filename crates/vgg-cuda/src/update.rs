//! What gradients and weights go through besides the optimiser: sums, averages, a limited norm.

use vgg_kernels::BLOCK;
use vgg_tensor::{Content, Result};

use crate::gpu::{Gpu, list};
use crate::{Buffer, Cuda, buffer};

/// See [`vgg_tensor::Backend::blend`]. What is not a weight of products has a copy, too, where weights
/// have one: it costs less than to tell them apart.
pub(crate) fn blend(
    cuda: &mut Cuda,
    content: Content,
    alpha: f32,
    x: &Buffer,
    beta: f32,
    y: &mut Buffer,
) -> Result<()> {
    content.check_trainable()?;
    let len = content.len();
    let to = y.weight(buffer::storage_of_copy(cuda.storage, content), len);
    let arguments = list![x.f32(len), to.numbers, to.copy, len, alpha, beta];
    // SAFETY: the buffers have room for `len` numbers, and no two are the same.
    unsafe { cuda.gpu.launch("blend", len.div_ceil(4) as u64, arguments) }
}

/// See [`vgg_tensor::Backend::clip_gradients`].
pub(crate) fn clip(
    cuda: &mut Cuda,
    max_norm: f32,
    gradients: &mut [(Content, &mut Buffer)],
) -> Result<()> {
    gradients.iter().try_for_each(|(content, _)| content.check_trainable())?;
    let Cuda { gpu, scratch, .. } = cuda;
    let blocks = |content: &Content| blocks(gpu, content.len());
    let count: usize = gradients.iter().map(|(content, _)| blocks(content)).sum();
    let [sums, factor] = scratch.split(&gpu.stream, [8 * count, 4])?;
    let mut first = 0;
    for (content, gradient) in gradients.iter() {
        let (len, blocks) = (content.len(), blocks(content));
        let arguments = list![gradient.f32(len), sums.add(8 * first), len];
        // SAFETY: the buffer has room for `len` numbers, the scratch memory for a sum a block.
        unsafe { gpu.launch_grid("sum_squares", [blocks as u32, 1], arguments) }?;
        first += blocks;
    }
    // SAFETY: the scratch memory has room for all sums and the factor.
    unsafe { gpu.launch_grid("clip_factor", [1, 1], list![sums, count, max_norm, factor]) }?;
    for (content, gradient) in gradients.iter() {
        let len = content.len();
        let arguments = list![gradient.f32(len), len, factor];
        // SAFETY: the buffer has room for `len` numbers.
        unsafe { gpu.launch("clip", len.div_ceil(4) as u64, arguments) }?;
    }
    Ok(())
}

/// Blocks that add up the squares of `len` numbers.
fn blocks(gpu: &Gpu, len: usize) -> usize {
    len.div_ceil(4 * BLOCK as usize).clamp(1, gpu.blocks() as usize)
}
