//! The loss.

use std::cmp::Ordering;

use vgg_tensor::spec::{Metrics, SoftmaxCrossEntropy};

use crate::buffer::Buffer;
use crate::format::Format;

/// See [`vgg_tensor::Command::SoftmaxCrossEntropy`]. The numbers are few: one thread, sums in
/// `f64`.
pub(crate) fn forward_backward<F: Format>(
    op: &SoftmaxCrossEntropy,
    logits: &Buffer,
    labels: &Buffer,
    metrics: &mut Buffer,
    dlogits: &mut Buffer,
) {
    let (n, classes) = (op.logits().n, op.logits().c);
    let logits = logits.maps::<F>(n * classes);
    let words: &[u32] = bytemuck::cast_slice(labels.bytes(op.label_bytes()));
    let (words, weights) = words.split_at(op.label_words());
    let (labels, mixed) = words.split_at(n);
    let number = |word: &u32| f64::from(f32::from_bits(*word));
    let divisor = weights.last().map_or(n as f64, number);
    let weight = |class: usize| weights.get(class).map_or(1.0, number);
    let mean_weight = (0..classes).map(weight).sum::<f64>() / classes as f64;
    let smoothing = f64::from(op.smoothing());
    let dlogits = dlogits.maps_mut::<F>(n * classes);
    let (mut loss_sum, mut top1, mut top5) = (0.0, 0, 0);
    for (i, (row, label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let (label, logits) = (*label as usize, row.iter().map(|x| F::widen(*x)));
        let (other, share) = match op.is_mixed() {
            true => (mixed[i] as usize, number(&mixed[n + i])),
            false => (label, 0.0),
        };
        let true_logit = F::widen(row[label]);
        // Subtracting the maximum keeps the exponentials finite and changes nothing else.
        let max = logits.clone().fold(f32::NEG_INFINITY, f32::max);
        let exp = |x: f32| f64::from(x - max).exp();
        let sum: f64 = logits.clone().map(exp).sum();
        let below_max = |x: f32| f64::from(x - max);
        let mut expected = weight(label) * below_max(true_logit);
        let mut whole = weight(label);
        if share != 0.0 {
            let of_other = weight(other) * below_max(F::widen(row[other]));
            expected = (1.0 - share) * expected + share * of_other;
            whole = (1.0 - share) * whole + share * weight(other);
        }
        if smoothing != 0.0 {
            let each = logits.clone().enumerate().map(|(class, x)| weight(class) * below_max(x));
            let mean = each.sum::<f64>() / classes as f64;
            expected = (1.0 - smoothing) * expected + smoothing * mean;
            whole = (1.0 - smoothing) * whole + smoothing * mean_weight;
        }
        // Without weights a target is 1 as a whole, and to the last bit.
        let whole = if op.is_weighted() { whole } else { 1.0 };
        loss_sum += whole * sum.ln() - expected;
        // NaN counts as ahead, so that a network that has blown up does not look accurate.
        let ahead = |(class, x): &(usize, f32)| match x.partial_cmp(&true_logit) {
            Some(Ordering::Less) => false,
            Some(Ordering::Equal) => *class < label,
            Some(Ordering::Greater) | None => *class != label,
        };
        let rank = logits.clone().enumerate().filter(ahead).count();
        top1 += usize::from(rank < 1 && !true_logit.is_nan());
        top5 += usize::from(rank < 5 && !true_logit.is_nan());
        for (class, (d, x)) in dlogits[i * classes..].iter_mut().zip(logits).enumerate() {
            let mut target = if class == label { 1.0 - share } else { 0.0 };
            target += if class == other { share } else { 0.0 };
            target = weight(class) * ((1.0 - smoothing) * target + smoothing / classes as f64);
            let gradient = ((whole * (exp(x) / sum) - target) / divisor) as f32;
            // A class that is ruled out. What would be computed from it is slow, and nothing.
            *d = F::round(if gradient.is_subnormal() { 0.0 } else { gradient });
        }
    }
    if op.is_weighted() {
        loss_sum *= n as f64 / divisor;
    }
    let values = Metrics { loss_sum: loss_sum as f32, top1: top1 as f32, top5: top5 as f32 };
    metrics.f32_mut(Metrics::LEN).copy_from_slice(&values.to_array());
}

#[cfg(test)]
mod tests {
    use vgg_tensor::{Backend as _, Content};

    use super::*;
    use crate::format::F32;
    use crate::{Config, Cpu};

    #[test]
    fn gradients_of_classes_that_are_ruled_out_are_zeros() {
        let op = SoftmaxCrossEntropy::new(1, 3).unwrap();
        let mut cpu =
            Cpu::new(Config { threads: Some(1), isa: None, ..Config::default() }).unwrap();
        let maps = Content::Maps(op.logits());
        let [mut logits, mut dlogits] = [(); 2].map(|()| cpu.alloc(maps).unwrap());
        // e⁻⁸⁰ is a normal number, e⁻⁹⁵ is not.
        cpu.upload(maps, &[0.0, -80.0, -95.0], &mut logits).unwrap();
        let labels = cpu.alloc(Content::Bytes(op.label_bytes())).unwrap();
        let mut metrics = cpu.alloc(Content::Vector(Metrics::LEN)).unwrap();
        forward_backward::<F32>(&op, &logits, &labels, &mut metrics, &mut dlogits);
        let [_, normal, subnormal] = *dlogits.f32(3) else { unreachable!() };
        assert!(normal.is_normal());
        assert_eq!(subnormal, 0.0);
    }
}
