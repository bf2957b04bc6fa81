//! Resizes.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::PrepareImages;

/// n, c, source h, source w, h, w.
const TABLE: [[usize; 6]; 15] = [
    [2, 1, 28, 28, 224, 224],
    [1, 1, 28, 28, 96, 96],
    [3, 1, 28, 28, 32, 32],
    [2, 3, 32, 32, 32, 32], // nothing to resize
    [1, 3, 7, 5, 5, 7],     // one side grows, one shrinks
    [2, 3, 9, 13, 9, 20],   // one side stays
    [1, 2, 13, 9, 20, 9],
    [1, 3, 53, 37, 17, 11],
    [1, 1, 100, 120, 8, 8],
    [1, 1, 1, 1, 6, 5],
    [1, 3, 5, 6, 1, 1],
    [2, 5, 3, 4, 31, 17],
    [2, 3, 28, 28, 65, 129],
    [1, 1, 2, 300, 90, 7],
    [2, 1, 16, 16, 16, 16], // as when every byte is tried, but normalised differently
];

/// The awkward ones.
pub fn table() -> Vec<PrepareImages> {
    TABLE.iter().filter_map(|dims| spec(*dims)).collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = PrepareImages> {
    [1..4usize, 1..5, 1..40, 1..40, 1..60, 1..60].prop_filter_map("fits", spec)
}

fn spec([n, c, source_h, source_w, h, w]: [usize; 6]) -> Option<PrepareImages> {
    PrepareImages::new(Shape::new(n, c, source_h, source_w), h, w).ok()
}
