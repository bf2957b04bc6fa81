//! Losses of boxes.

use proptest::prelude::*;
use vgg_tensor::spec::EuclideanLoss;

/// One box and several, of one image and of more than a block of threads takes.
pub fn table() -> Vec<EuclideanLoss> {
    [[1, 1], [3, 1], [2, 2], [17, 10], [300, 1], [5, 1000]]
        .iter()
        .filter_map(|dims| spec(*dims))
        .collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = EuclideanLoss> {
    [1..40usize, 1..40].prop_filter_map("fits", spec)
}

fn spec([n, boxes]: [usize; 2]) -> Option<EuclideanLoss> {
    EuclideanLoss::new(n, boxes).ok()
}
