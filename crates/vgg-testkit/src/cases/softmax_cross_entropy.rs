//! Losses.

use proptest::prelude::*;
use vgg_tensor::spec::SoftmaxCrossEntropy;

/// The awkward ones: one class, fewer classes than the top five, more than a vector.
pub fn table() -> Vec<SoftmaxCrossEntropy> {
    [[1, 1], [1, 2], [3, 4], [2, 5], [5, 6], [17, 10], [4, 17], [2, 1000]]
        .iter()
        .filter_map(|dims| spec(*dims))
        .collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = SoftmaxCrossEntropy> {
    [1..40usize, 1..40].prop_filter_map("fits", spec)
}

fn spec([n, classes]: [usize; 2]) -> Option<SoftmaxCrossEntropy> {
    SoftmaxCrossEntropy::new(n, classes).ok()
}
