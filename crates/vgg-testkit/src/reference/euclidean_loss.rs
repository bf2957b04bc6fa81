//! The loss of boxes by its definition.

use vgg_tensor::spec::EuclideanLoss;

use crate::Real;

pub(super) fn forward_backward<T: Real>(
    op: &EuclideanLoss,
    predicted: &[T],
    targets: &[u8],
    metrics: &mut [T],
    dpredicted: &mut [T],
) {
    const BOX: usize = EuclideanLoss::BOX;
    let (zero, one, half) = (T::default(), T::from(1.0), T::from(0.5));
    let (images, numbers) = (op.predicted().n, op.predicted().c);
    let word = |index: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| targets[4 * index + i]));
    let number = |index: usize| T::from(f32::from_bits(word(index)));
    let divisor = number((1 + BOX) * images);
    metrics.fill(zero);
    dpredicted.fill(zero);
    for n in 0..images {
        if word(n) == EuclideanLoss::NO_BOX {
            continue;
        }
        let at = n * numbers + word(n) as usize * BOX;
        let predicted: [T; BOX] = std::array::from_fn(|i| predicted[at + i]);
        let target: [T; BOX] = std::array::from_fn(|i| number(images + n * BOX + i));
        for i in 0..BOX {
            let difference = predicted[i] - target[i];
            metrics[0] += half * difference * difference;
            dpredicted[at + i] = difference / divisor;
        }
        let iou = iou(predicted, target);
        metrics[1] += if iou > T::from(EuclideanLoss::RIGHT) { one } else { zero };
        metrics[2] += iou;
    }
}

/// Intersection over union of boxes by their centres and sides; of what is no box, zero.
fn iou<T: Real>(a: [T; 4], b: [T; 4]) -> T {
    let zero = T::default();
    let end = |of: [T; 4], axis: usize, side: f32| of[axis] + T::from(side) * of[axis + 2];
    let overlap = |axis: usize| {
        let [a0, b0] = [a, b].map(|of| end(of, axis, -0.5));
        let [a1, b1] = [a, b].map(|of| end(of, axis, 0.5));
        let overlap = (if a1 < b1 { a1 } else { b1 }) - (if a0 > b0 { a0 } else { b0 });
        if overlap > zero { overlap } else { zero }
    };
    let both = overlap(0) * overlap(1);
    let iou = both / (a[2] * a[3] + b[2] * b[3] - both);
    if a[2] > zero && a[3] > zero && iou > zero { iou } else { zero }
}
