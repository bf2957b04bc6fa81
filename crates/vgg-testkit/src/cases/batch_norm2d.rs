//! Batch normalisations.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

const EPILOGUES: [BatchNormEpilogue; 2] = [BatchNormEpilogue::Relu, BatchNormEpilogue::ReluMaxPool];

/// n, c, h, w.
const TABLE: [[usize; 4]; 14] = [
    // two numbers a channel, and other few
    [2, 1, 1, 1],
    [1, 3, 1, 2],
    [1, 5, 2, 2],
    [3, 17, 1, 3],
    // odd sizes: rows and columns that the pool drops, channels that fill no vector
    [2, 9, 5, 7],
    [1, 33, 4, 3],
    [3, 24, 7, 2],
    [2, 65, 3, 3],
    // many numbers a channel, and many channels
    [2, 1, 41, 50],
    [1, 8, 32, 33],
    [4, 16, 24, 24],
    [2, 64, 12, 14],
    [3, 256, 4, 4],
    [2, 520, 2, 2],
];

/// The awkward ones, each with every epilogue that fits.
pub fn table() -> Vec<BatchNorm2d> {
    TABLE.iter().flat_map(|dims| EPILOGUES.iter().filter_map(|e| spec(*dims, *e))).collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = BatchNorm2d> {
    let dims = [1..5usize, 1..40, 1..15, 1..15];
    (dims, prop::sample::select(&EPILOGUES[..]))
        .prop_filter_map("fits", |(dims, epilogue)| spec(dims, epilogue))
}

fn spec([n, c, h, w]: [usize; 4], epilogue: BatchNormEpilogue) -> Option<BatchNorm2d> {
    BatchNorm2d::new(Shape::new(n, c, h, w), epilogue).ok()
}
