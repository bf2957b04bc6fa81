//! The loss of boxes.

use vgg_tensor::Result;
use vgg_tensor::spec::{BoxMetrics, EuclideanLoss};

use crate::gpu::kernel;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::EuclideanLoss`].
pub(crate) fn forward_backward(
    cuda: &mut Cuda,
    op: &EuclideanLoss,
    predicted: &Buffer,
    targets: &Buffer,
    metrics: &mut Buffer,
    dpredicted: &mut Buffer,
) -> Result<()> {
    let (len, n, boxes) = (op.predicted().len(), op.predicted().n as u64, op.boxes() as u32);
    let predicted = predicted.numbers(cuda.storage, len);
    let targets = targets.room(op.target_bytes());
    let metrics = metrics.f32(BoxMetrics::LEN);
    let dpredicted = dpredicted.numbers(cuda.storage, len);
    let loss_scale = cuda.loss_scale_address();
    // SAFETY: the buffers have room for what the spec says, and no two are the same.
    unsafe {
        let kernel = kernel::EuclideanLossMetrics { predicted, targets, metrics, n, boxes };
        cuda.gpu.launch_grid(kernel, [1, 1])?;
        let kernel =
            kernel::EuclideanLossBackward { predicted, targets, dpredicted, n, boxes, loss_scale };
        cuda.gpu.launch(kernel, n * u64::from(boxes))
    }
}
