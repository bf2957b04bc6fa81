//! The loss.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;
use vgg_tensor::spec::{Metrics, SoftmaxCrossEntropy};

use crate::gpu::list;
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// A warp works on an image.
const WARP: usize = 32;

/// See [`vgg_tensor::Backend::softmax_cross_entropy`].
pub(crate) fn forward_backward(
    cuda: &mut Cuda,
    op: &SoftmaxCrossEntropy,
    logits: &Buffer,
    labels: &Buffer,
    metrics: &mut Buffer,
    dlogits: Option<&mut Buffer>,
) -> Result<()> {
    let (shape, n) = (op.logits(), op.logits().n);
    let logits = logits.numbers(cuda.storage, shape.len());
    let labels = labels.room(op.label_bytes());
    let metrics = metrics.f32(Metrics::LEN);
    if let (Some(_), Some(loss_scale)) = (&dlogits, &cuda.loss_scale) {
        loss_scale.update(&cuda.gpu)?;
    }
    let dlogits = dlogits.map_or(Address::NULL, |to| to.numbers(cuda.storage, shape.len()));
    let [images] = cuda.scratch.split(&cuda.gpu.stream, [8 * n])?;
    let loss_scale = cuda.loss_scale_address();
    let (classes, mixed) = (shape.c as u32, u32::from(op.is_mixed()));
    let smoothing = op.smoothing();
    let arguments =
        list![logits, labels, images, dlogits, n, classes, mixed, smoothing, loss_scale];
    let work = n.div_ceil(BLOCK as usize / WARP) * BLOCK as usize;
    // SAFETY: the buffers have room for what the spec says, the scratch memory for two numbers an
    // image, and no two are the same.
    unsafe {
        cuda.gpu.launch("softmax_cross_entropy", work as u64, arguments)?;
        let arguments = list![images, metrics, n];
        cuda.gpu.launch_grid("softmax_cross_entropy_metrics", [1, 1], arguments)
    }
}
