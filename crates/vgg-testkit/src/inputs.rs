//! Numbers to compute with: the same in every run.

use vgg_tensor::Draw;
use vgg_tensor::spec::{EuclideanLoss, SoftmaxCrossEntropy};

fn draw(seed: u64) -> Draw {
    Draw { seed, stream: 0, step: 0 }
}

/// `len` numbers, uniform in [−range, range).
pub fn uniform(seed: u64, len: usize, range: f32) -> Vec<f32> {
    (0..len as u64).map(|i| (2.0 * draw(seed).uniform(i) - 1.0) * range).collect()
}

/// `len` whole numbers from −`max` to `max`: many are equal, and their sums and products are exact.
pub fn integers(seed: u64, len: usize, max: u32) -> Vec<f32> {
    (0..len as u64).map(|i| (draw(seed).bits(i) % (2 * max + 1)) as f32 - max as f32).collect()
}

/// `len` bytes.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| draw(seed).bits(i) as u8).collect()
}

/// `len` different numbers in random order, evenly spaced with mean zero, `gap` apart: no two are
/// nearly equal and none is nearly zero.
pub fn spread(seed: u64, len: usize, gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by_key(|i| draw(seed).bits(*i as u64));
    order.iter().map(|rank| (*rank as f64 - (len / 2) as f64 + 0.5) * gap).collect()
}

/// Labels from 0 to `classes − 1`, both ends among them where there are two labels or more.
pub fn labels(seed: u64, len: usize, classes: usize) -> Vec<u32> {
    let label = |i: usize| match i {
        0 => classes as u32 - 1,
        1 => 0,
        _ => draw(seed).bits(i as u64) % classes as u32,
    };
    (0..len).map(label).collect()
}

/// The largest weight of a class in [`targets`] to the smallest.
pub(crate) const WEIGHTS: f64 = 4.0;

/// What a loss takes beside the logits: labels from 0 to `classes − 1`, and as `spec` says others with
/// shares up to a half, and weights of classes with the sum of those of the labels.
pub fn targets(seed: u64, spec: &SoftmaxCrossEntropy) -> Vec<u32> {
    let (n, classes) = (spec.logits().n, spec.logits().c);
    let mut words = labels(seed, n, classes);
    if spec.is_mixed() {
        words.extend(labels(seed + 1, n, classes));
        words.extend(uniform(seed + 2, n, 0.5).iter().map(|share| share.abs().to_bits()));
    }
    if spec.is_weighted() {
        let weights = uniform(seed + 3, classes, 0.75).into_iter().map(|x| 1.25 + x);
        let weights: Vec<f32> = weights.collect();
        let divisor = words[..n].iter().map(|label| weights[*label as usize]).sum::<f32>();
        words.extend(weights.iter().chain([&divisor]).map(|x| x.to_bits()));
    }
    words
}

/// What a loss of boxes takes beside what is predicted: which box of an image counts, every fifth's none,
/// true boxes in the image, of sides from a quarter to three quarters, and how many there are.
pub fn boxes(seed: u64, spec: &EuclideanLoss) -> Vec<u32> {
    let n = spec.predicted().n;
    let mut words = labels(seed, n, spec.boxes());
    words.iter_mut().skip(4).step_by(5).for_each(|word| *word = EuclideanLoss::NO_BOX);
    let count = words.iter().filter(|word| **word != EuclideanLoss::NO_BOX).count();
    let numbers = uniform(seed + 1, EuclideanLoss::BOX * n, 0.25).into_iter().map(|x| 0.5 + x);
    words.extend(numbers.map(f32::to_bits));
    words.push((count as f32).to_bits());
    words
}
