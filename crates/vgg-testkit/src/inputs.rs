//! Numbers to compute with: the same in every run.

use vgg_tensor::Draw;

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
