//! Convolutions.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

const EPILOGUES: [ConvEpilogue; 3] =
    [ConvEpilogue::Bias, ConvEpilogue::BiasRelu, ConvEpilogue::BiasReluMaxPool];

/// n, c_in, h, w, c_out, kernel, padding.
const TABLE: [[usize; 7]; 35] = [
    // one of everything
    [1, 1, 1, 1, 1, 1, 0],
    [1, 1, 1, 1, 1, 3, 1],
    [1, 1, 3, 3, 1, 3, 0],
    [2, 3, 1, 1, 5, 3, 1],
    [1, 3, 1, 9, 2, 3, 1],
    [1, 3, 9, 1, 2, 3, 1],
    // odd sizes and channels
    [3, 1, 7, 5, 3, 3, 1],
    [1, 5, 5, 8, 17, 3, 1],
    [2, 17, 6, 7, 24, 3, 1],
    [1, 33, 9, 11, 8, 3, 1],
    [1, 8, 10, 13, 33, 3, 1],
    [5, 24, 2, 3, 1, 3, 1],
    // other kernels and paddings
    [2, 3, 8, 6, 5, 3, 0],
    [1, 9, 7, 7, 10, 3, 2],
    [2, 16, 5, 6, 24, 1, 0],
    [1, 5, 7, 4, 3, 1, 0],
    [2, 2, 9, 8, 3, 5, 2],
    [1, 3, 6, 7, 17, 5, 0],
    [1, 4, 8, 7, 8, 2, 1],
    [1, 2, 13, 12, 3, 11, 2],
    // few channels on maps that are cut into pieces, with and without a rest
    [1, 1, 11, 37, 16, 3, 2],
    [2, 2, 10, 34, 24, 3, 1],
    [2, 3, 19, 35, 17, 3, 0],
    [1, 3, 16, 64, 8, 3, 1],
    // one channel to many, and more pixels than a block of threads adds up
    [1, 1, 6, 7, 70, 3, 1],
    [2, 1, 93, 95, 9, 3, 1],
    // VGG's stages, small: grey and colour images, channels that double, the last maps
    [2, 1, 32, 32, 16, 3, 1],
    [1, 3, 28, 28, 64, 3, 1],
    [2, 16, 16, 16, 32, 3, 1],
    [1, 64, 8, 8, 64, 3, 1],
    [3, 64, 4, 4, 72, 3, 1],
    [4, 64, 2, 2, 64, 3, 1],
    // few channels, on rows of windows that are whole and that are not
    [2, 16, 5, 33, 16, 3, 1],
    [1, 32, 7, 35, 48, 3, 1],
    [3, 3, 5, 67, 24, 3, 1],
];

/// The same with a stride at the end.
const STRIDED: [[usize; 8]; 15] = [
    // AlexNet's first, on small maps: no rest, and rests that no window reaches
    [2, 1, 27, 27, 24, 11, 1, 4],
    [1, 3, 24, 31, 16, 11, 2, 4],
    [1, 1, 30, 29, 9, 11, 1, 4],
    // halving the side
    [2, 16, 8, 8, 24, 3, 1, 2],
    [1, 8, 7, 9, 17, 3, 1, 2],
    [2, 1, 12, 9, 8, 3, 1, 2],
    [1, 3, 9, 6, 8, 3, 0, 2],
    [2, 17, 6, 5, 5, 1, 0, 2],
    [1, 2, 13, 12, 3, 5, 2, 2],
    [1, 3, 23, 22, 16, 7, 3, 2],
    // gaps between windows
    [1, 5, 10, 11, 7, 2, 1, 3],
    [3, 9, 9, 9, 10, 1, 0, 4],
    // one window, and a stride beyond the map
    [2, 3, 5, 4, 8, 3, 1, 5],
    [1, 4, 3, 3, 33, 3, 0, 255],
    [1, 1, 1, 1, 1, 1, 0, 2],
];

/// The awkward ones, each with every epilogue that fits.
pub fn table() -> Vec<Conv2d> {
    let plain = TABLE.iter().map(|dims| (*dims, 1));
    let strided = STRIDED.iter().map(|[dims @ .., stride]| (*dims, *stride));
    let specs = |(dims, stride)| EPILOGUES.iter().filter_map(move |e| spec(dims, stride, *e));
    plain.chain(strided).flat_map(specs).collect()
}

/// Random ones of some 10⁶ multiply-adds at most.
pub fn random() -> impl Strategy<Value = Conv2d> {
    let dims = [1..4usize, 1..40, 1..15, 1..15, 1..40, 1..6, 0..3];
    // Most have no stride.
    let stride = prop::sample::select(&[1, 1, 1, 2, 3, 4][..]);
    (dims, stride, prop::sample::select(&EPILOGUES[..]))
        .prop_filter_map("fits", |(dims, stride, epilogue)| spec(dims, stride, epilogue))
        .prop_filter("small", |op| op.macs() < 1_000_000)
}

fn spec(
    [n, c_in, h, w, c_out, k, p]: [usize; 7],
    stride: usize,
    epilogue: ConvEpilogue,
) -> Option<Conv2d> {
    Conv2d::new(Shape::new(n, c_in, h, w), c_out, k, p, epilogue).ok()?.with_stride(stride).ok()
}
