//! The loss.

use std::cmp::Ordering;

use vgg_tensor::spec::{Metrics, SoftmaxCrossEntropy};

use crate::buffer::Buffer;

/// See [`vgg_tensor::Backend::softmax_cross_entropy`]. The numbers are few: one thread, sums in
/// `f64`.
pub(crate) fn forward_backward(
    op: &SoftmaxCrossEntropy,
    logits: &Buffer,
    labels: &Buffer,
    metrics: &mut Buffer,
    dlogits: Option<&mut Buffer>,
) {
    let (n, classes) = (op.logits().n, op.logits().c);
    let logits = logits.f32(n * classes);
    let labels: &[u32] = bytemuck::cast_slice(labels.bytes(4 * n));
    let mut dlogits = dlogits.map(|dlogits| dlogits.f32_mut(n * classes));
    let (mut loss_sum, mut top1, mut top5) = (0.0, 0, 0);
    for (i, (logits, label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let label = *label as usize;
        let true_logit = logits[label];
        // Subtracting the maximum keeps the exponentials finite and changes nothing else.
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = |x: &f32| f64::from(x - max).exp();
        let sum: f64 = logits.iter().map(exp).sum();
        loss_sum += sum.ln() - f64::from(true_logit - max);
        // NaN counts as ahead, so that a network that has blown up does not look accurate.
        let ahead = |(class, x): &(usize, &f32)| match x.partial_cmp(&&true_logit) {
            Some(Ordering::Less) => false,
            Some(Ordering::Equal) => *class < label,
            Some(Ordering::Greater) | None => *class != label,
        };
        let rank = logits.iter().enumerate().filter(ahead).count();
        top1 += usize::from(rank < 1);
        top5 += usize::from(rank < 5);
        if let Some(dlogits) = &mut dlogits {
            for (class, (d, x)) in dlogits[i * classes..].iter_mut().zip(logits).enumerate() {
                let target = if class == label { 1.0 } else { 0.0 };
                *d = ((exp(x) / sum - target) / n as f64) as f32;
            }
        }
    }
    let values = Metrics { loss_sum: loss_sum as f32, top1: top1 as f32, top5: top5 as f32 };
    metrics.f32_mut(Metrics::LEN).copy_from_slice(&values.to_array());
}
