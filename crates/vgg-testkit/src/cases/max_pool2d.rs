//! Max-pools.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::MaxPool2d;

/// n, c, h, w, kernel, stride.
const TABLE: [[usize; 6]; 13] = [
    [1, 1, 1, 1, 1, 1],
    [1, 1, 2, 2, 2, 2],
    [2, 3, 5, 7, 2, 2],
    [1, 17, 4, 3, 2, 2],
    [3, 64, 8, 8, 2, 2],
    [1, 8, 9, 6, 3, 2],
    [2, 33, 7, 7, 3, 2],
    [1, 5, 6, 8, 3, 1],
    [1, 24, 8, 5, 2, 1],
    [1, 3, 9, 9, 2, 3],
    [1, 16, 6, 6, 1, 2],
    [2, 1, 16, 17, 16, 1],
    [1, 2, 12, 11, 5, 4],
];

/// The awkward ones: odd sizes, overlaps, gaps between windows.
pub fn table() -> Vec<MaxPool2d> {
    TABLE.iter().filter_map(|dims| spec(*dims)).collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = MaxPool2d> {
    [1..4usize, 1..40, 1..15, 1..15, 1..5, 1..5].prop_filter_map("fits", spec)
}

fn spec([n, c, h, w, kernel, stride]: [usize; 6]) -> Option<MaxPool2d> {
    MaxPool2d::new(Shape::new(n, c, h, w), kernel, stride).ok()
}
