//! Average pools.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::AvgPool2d;

/// n, c, h, w, and the output's h and w.
const TABLE: [[usize; 6]; 15] = [
    [1, 1, 1, 1, 1, 1],
    // a side that stays, one that is halved
    [2, 3, 7, 7, 7, 7],
    [2, 6, 28, 28, 14, 14],
    [3, 16, 10, 10, 5, 5],
    [1, 8, 4, 6, 4, 2],
    // the mean of all
    [2, 33, 5, 3, 1, 1],
    // windows that overlap
    [1, 17, 8, 12, 7, 7],
    [2, 64, 15, 10, 7, 7],
    [1, 5, 9, 6, 5, 4],
    [1, 24, 13, 3, 5, 2],
    // more outputs than inputs
    [2, 9, 1, 1, 7, 7],
    [1, 16, 3, 5, 7, 7],
    [1, 2, 2, 9, 3, 4],
    [1, 1, 1, 40, 2, 37],
    [4, 12, 6, 5, 1, 9],
];

/// The awkward ones.
pub fn table() -> Vec<AvgPool2d> {
    TABLE.iter().filter_map(|dims| spec(*dims)).collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = AvgPool2d> {
    [1..4usize, 1..40, 1..15, 1..15, 1..9, 1..9].prop_filter_map("fits", spec)
}

fn spec([n, c, x_h, x_w, h, w]: [usize; 6]) -> Option<AvgPool2d> {
    AvgPool2d::new(Shape::new(n, c, x_h, x_w), h, w).ok()
}
