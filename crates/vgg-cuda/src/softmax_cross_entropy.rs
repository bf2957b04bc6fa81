//! The loss.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;
use vgg_tensor::spec::{Metrics, SoftmaxCrossEntropy};

use crate::gpu::kernel;
use crate::{Buffer, Cuda};

/// A warp works on an image.
const WARP: usize = 32;

/// See [`vgg_tensor::Command::SoftmaxCrossEntropy`].
pub(crate) fn forward_backward(
    cuda: &mut Cuda,
    op: &SoftmaxCrossEntropy,
    logits: &Buffer,
    labels: &Buffer,
    metrics: &mut Buffer,
    dlogits: &mut Buffer,
) -> Result<()> {
    let (shape, n) = (op.logits(), op.logits().n);
    let logits = logits.numbers(cuda.storage, shape.len());
    let labels = labels.room(op.label_bytes());
    let metrics = metrics.f32(Metrics::LEN);
    let dlogits = dlogits.numbers(cuda.storage, shape.len());
    let [images] = cuda.scratch.split(&cuda.gpu.stream, [8 * n])?;
    let loss_scale = cuda.loss_scale_address();
    let kernel = kernel::SoftmaxCrossEntropy {
        logits,
        labels,
        images,
        dlogits,
        n: n as u64,
        classes: shape.c as u32,
        mixed: u32::from(op.is_mixed()),
        weighted: u32::from(op.is_weighted()),
        smoothing: op.smoothing(),
        loss_scale,
    };
    let work = n.div_ceil(BLOCK as usize / WARP) * BLOCK as usize;
    // SAFETY: the buffers have room for what the spec says, the scratch memory for two numbers an
    // image, and no two are the same.
    unsafe {
        cuda.gpu.launch(kernel, work as u64)?;
        let kernel = kernel::SoftmaxCrossEntropyMetrics { images, metrics, n: n as u64 };
        cuda.gpu.launch_grid(kernel, [1, 1])
    }
}
