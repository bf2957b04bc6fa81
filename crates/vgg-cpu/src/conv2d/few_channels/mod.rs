//! 3×3 convolutions of few input channels, above all a network's first.
//!
//! An output has too few products there for a matrix product to pay: its sums would be written and
//! read again by the epilogue, which costs as much as the products. Instead, a 2×2 tile of sums
//! for a vector of output channels stays in registers from the first product to the epilogue; to a
//! pool it is the window, and without one it is four outputs. The weight's gradient, too, stays in
//! registers along a few tiles.

mod backward;
mod forward;

use std::ops::Range;

use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::window::Window;

pub(super) use backward::{backward, backward_needs};
pub(super) use forward::{forward, forward_needs};

/// The most input channels that are few: those of images. Each number is compiled for itself.
pub(super) const FEW: usize = 3;

/// Side of the kernel.
const KERNEL: usize = 3;
/// Weights of an input and an output channel.
const TAPS: usize = KERNEL * KERNEL;
/// Side of the inputs under a tile.
const PATCH: usize = 2 + KERNEL - 1;
/// Rows of sums in a strip, which share padded rows: an even number.
const STRIP: usize = 8;
/// Tiles that are done one after the other: enough that starting costs little, few enough that what
/// they read and write stays in the first-level cache for all output channels.
const TILES: usize = 16;

/// Rows and columns of sums that outputs depend on: a pool drops an odd last one.
fn used_sums(op: &Conv2d) -> (usize, usize) {
    let (sums, y) = (op.conv_y(), op.y());
    match op.epilogue() {
        ConvEpilogue::Bias | ConvEpilogue::BiasRelu => (sums.h, sums.w),
        ConvEpilogue::BiasReluMaxPool => (2 * y.h, 2 * y.w),
    }
}

/// The columns of so many tiles each, over a row of `columns` sums.
fn columns_of_tiles(columns: usize) -> impl Iterator<Item = Range<usize>> {
    (0..columns).step_by(2 * TILES).map(move |first| first..columns.min(first + 2 * TILES))
}

/// Asserts that the patches under tiles lie in the padded rows.
#[inline(always)]
fn assert_inside(window: &Window, padded: &[f32], i: usize, columns: &Range<usize>) {
    let end = (columns.end.next_multiple_of(2) + KERNEL - 1) * window.image.c;
    assert!((i + PATCH - 1) * window.row_len() + end <= padded.len());
}

/// Calls `product` with each product of a tile, for one input channel: the place of the input in
/// the patch, of the weight in the kernel, and of the sum in the tile.
#[inline(always)]
fn products(mut product: impl FnMut([usize; 2], [usize; 2], [usize; 2])) {
    for ki in 0..KERNEL {
        for kj in 0..KERNEL {
            for di in 0..2 {
                for dj in 0..2 {
                    product([ki + di, kj + dj], [ki, kj], [di, dj]);
                }
            }
        }
    }
}
