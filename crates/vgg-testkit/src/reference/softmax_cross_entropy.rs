//! The loss by its definition.

use vgg_tensor::spec::SoftmaxCrossEntropy;

use crate::Real;

pub(super) fn forward_backward<T: Real>(
    op: &SoftmaxCrossEntropy,
    logits: &[T],
    labels: &[u8],
    metrics: &mut [T],
    dlogits: &mut [T],
) {
    let (zero, one) = (T::default(), T::from(1.0));
    let (images, classes) = (op.logits().n, op.logits().c);
    let word = |index: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| labels[4 * index + i]));
    let number = |index: usize| T::from(f32::from_bits(word(index)));
    let (weights, n) = (op.label_words(), T::from_f64(images as f64));
    let weight = |class: usize| if op.is_weighted() { number(weights + class) } else { one };
    let divisor = if op.is_weighted() { number(weights + classes) } else { n };
    metrics.fill(zero);
    for n in 0..images {
        let logits = &logits[n * classes..][..classes];
        let label = word(n) as usize;
        let (other, share) = match op.is_mixed() {
            true => (word(images + n) as usize, number(2 * images + n)),
            false => (label, zero),
        };
        let smoothing = T::from(op.smoothing());
        let target = |class: usize| {
            let mut target = if class == label { one - share } else { zero };
            target += if class == other { share } else { zero };
            (target * (one - smoothing) + smoothing / T::from_f64(classes as f64)) * weight(class)
        };
        let mut whole = one;
        if op.is_weighted() {
            whole = zero;
            (0..classes).for_each(|class| whole += target(class));
        }
        // Softmax does not change when a constant is subtracted; with the maximum, nothing overflows.
        let max = logits.iter().fold(logits[0], |a, b| if *b > a { *b } else { a });
        let mut sum = zero;
        for logit in logits {
            sum += (*logit - max).exp();
        }
        let own = logits[label];
        let ahead = |class: usize| {
            // NaN is behind nothing.
            let behind = logits[class] < own || logits[class] == own && class > label;
            class != label && !behind
        };
        #[expect(clippy::eq_op, reason = "NaN alone differs from itself")]
        let is_number = own == own;
        let rank = match is_number {
            true => (0..classes).filter(|class| ahead(*class)).count(),
            false => classes.max(5),
        };
        for class in 0..classes {
            metrics[0] += target(class) * (sum.ln() - (logits[class] - max));
        }
        metrics[1] += if rank < 1 { one } else { zero };
        metrics[2] += if rank < 5 { one } else { zero };
        for class in 0..classes {
            let softmax = (logits[class] - max).exp() / sum;
            dlogits[n * classes + class] = (softmax * whole - target(class)) / divisor;
        }
    }
    if op.is_weighted() {
        metrics[0] = metrics[0] * n / divisor;
    }
}
