//! The loss by its definition.

use vgg_tensor::spec::SoftmaxCrossEntropy;

use crate::Real;

pub(super) fn forward_backward<T: Real>(
    op: &SoftmaxCrossEntropy,
    logits: &[T],
    labels: &[u8],
    metrics: &mut [T],
    mut dlogits: Option<&mut [T]>,
) {
    let (zero, one) = (T::default(), T::from(1.0));
    let (images, classes) = (op.logits().n, op.logits().c);
    metrics.fill(zero);
    for n in 0..images {
        let logits = &logits[n * classes..][..classes];
        let label = u32::from_ne_bytes([0, 1, 2, 3].map(|i| labels[4 * n + i])) as usize;
        // Softmax does not change when a constant is subtracted; with the maximum, nothing overflows.
        let max = logits.iter().fold(logits[0], |a, b| if *b > a { *b } else { a });
        let mut sum = zero;
        for logit in logits {
            sum += (*logit - max).exp();
        }
        let ahead = |class: usize| {
            logits[class] > logits[label] || logits[class] == logits[label] && class < label
        };
        let rank = (0..classes).filter(|class| ahead(*class)).count();
        metrics[0] += sum.ln() - (logits[label] - max);
        metrics[1] += if rank < 1 { one } else { zero };
        metrics[2] += if rank < 5 { one } else { zero };
        if let Some(dlogits) = dlogits.as_deref_mut() {
            for class in 0..classes {
                let softmax = (logits[class] - max).exp() / sum;
                let target = if class == label { one } else { zero };
                dlogits[n * classes + class] = (softmax - target) / T::from_f64(images as f64);
            }
        }
    }
}
