//! The loss of boxes.

use vgg_tensor::spec::{BoxMetrics, EuclideanLoss};

use crate::buffer::Buffer;
use crate::format::Format;

const BOX: usize = EuclideanLoss::BOX;

/// See [`vgg_tensor::Command::EuclideanLoss`]. The numbers are few: one thread, sums in `f64`.
pub(crate) fn forward_backward<F: Format>(
    op: &EuclideanLoss,
    predicted: &Buffer,
    targets: &Buffer,
    metrics: &mut Buffer,
    dpredicted: &mut Buffer,
) {
    let (n, numbers) = (op.predicted().n, op.predicted().c);
    let predicted = predicted.maps::<F>(n * numbers);
    let words: &[u32] = bytemuck::cast_slice(targets.bytes(op.target_bytes()));
    let (counting, words) = words.split_at(n);
    let (boxes, divisor) = words.split_at(BOX * n);
    let divisor = f64::from(f32::from_bits(divisor[0]));
    let dpredicted = dpredicted.maps_mut::<F>(n * numbers);
    dpredicted.fill(F::round(0.0));
    let (mut loss_sum, mut right, mut iou_sum) = (0.0, 0, 0.0);
    for (i, (counting, target)) in counting.iter().zip(boxes.as_chunks::<BOX>().0).enumerate() {
        if *counting == EuclideanLoss::NO_BOX {
            continue;
        }
        let at = i * numbers + *counting as usize * BOX;
        let target = target.map(|word| f64::from(f32::from_bits(word)));
        let own: [f64; BOX] = std::array::from_fn(|k| f64::from(F::widen(predicted[at + k])));
        for k in 0..BOX {
            let difference = own[k] - target[k];
            loss_sum += 0.5 * difference * difference;
            dpredicted[at + k] = F::round((difference / divisor) as f32);
        }
        let iou = iou(own, target);
        right += usize::from(iou > f64::from(EuclideanLoss::RIGHT));
        iou_sum += iou;
    }
    let values =
        BoxMetrics { loss_sum: loss_sum as f32, right: right as f32, iou_sum: iou_sum as f32 };
    metrics.f32_mut(BoxMetrics::LEN).copy_from_slice(&values.to_array());
}

/// Intersection over union of a predicted box and a true one, by their centres and sides.
fn iou(own: [f64; BOX], target: [f64; BOX]) -> f64 {
    let overlap = |axis: usize| {
        let [[a0, a1], [b0, b1]] =
            [own, target].map(|of| [of[axis] - of[axis + 2] / 2.0, of[axis] + of[axis + 2] / 2.0]);
        (a1.min(b1) - a0.max(b0)).max(0.0)
    };
    let both = overlap(0) * overlap(1);
    let iou = both / (own[2] * own[3] + target[2] * target[3] - both);
    // A box without an area, or of what is no number, has nothing in common with any.
    if own[2] > 0.0 && own[3] > 0.0 && iou > 0.0 { iou } else { 0.0 }
}
