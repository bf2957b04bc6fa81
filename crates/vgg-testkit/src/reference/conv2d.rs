//! Convolution by its definition.

use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::decisions;
use crate::Real;

/// Calls `visit(sum, x, weight)` with the indices of each product of the convolution.
fn for_each_product(op: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let (x, y, kernel) = (op.x(), op.conv_y(), op.kernel());
    // Position `i · stride + r` of the padded map, if it is not padding.
    let inside = |i: usize, r: usize, len: usize| {
        (i * op.stride() + r).checked_sub(op.padding()).filter(|i| *i < len)
    };
    for n in 0..y.n {
        for o in 0..y.c {
            for i in 0..y.h {
                for j in 0..y.w {
                    let sum = ((n * y.c + o) * y.h + i) * y.w + j;
                    for c in 0..x.c {
                        for r in 0..kernel {
                            let Some(row) = inside(i, r, x.h) else { continue };
                            for s in 0..kernel {
                                let Some(column) = inside(j, s, x.w) else { continue };
                                let from = ((n * x.c + c) * x.h + row) * x.w + column;
                                let weight = ((o * x.c + c) * kernel + r) * kernel + s;
                                visit(sum, from, weight);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Calls `visit(y, [sum; 4])` with the indices of each pooled output and of its window's sums, in
/// row-major order.
fn for_each_window(op: &Conv2d, mut visit: impl FnMut(usize, [usize; 4])) {
    let (sums, y) = (op.conv_y(), op.y());
    for map in 0..y.n * y.c {
        for i in 0..y.h {
            for j in 0..y.w {
                let first = (map * sums.h + 2 * i) * sums.w + 2 * j;
                let window = [first, first + 1, first + sums.w, first + sums.w + 1];
                visit((map * y.h + i) * y.w + j, window);
            }
        }
    }
}

/// `aux` has a bit an output for ReLU (is it alive), and four for the fused pool: zero if ReLU is
/// dead, one plus the winner's place in the window otherwise.
pub(super) fn forward<T: Real>(
    op: &Conv2d,
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
    mut aux: Option<&mut [u8]>,
) {
    let zero = T::default();
    let shape = op.conv_y();
    let map_len = shape.h * shape.w;
    let mut sums: Vec<T> = (0..shape.len()).map(|i| bias[i / map_len % shape.c]).collect();
    for_each_product(op, |sum, i, j| sums[sum] += x[i] * weight[j]);

    let mut remember = |bits, index, value| {
        if let Some(aux) = aux.as_deref_mut() {
            decisions::put(aux, bits, index, value);
        }
    };
    match op.epilogue() {
        ConvEpilogue::Bias => y.copy_from_slice(&sums),
        ConvEpilogue::BiasRelu => {
            for (index, sum) in sums.into_iter().enumerate() {
                let alive = sum > zero;
                y[index] = if alive { sum } else { zero };
                remember(1, index, u8::from(alive));
            }
        }
        ConvEpilogue::BiasReluMaxPool => for_each_window(op, |index, window| {
            let mut winner = 0;
            for place in 1..4 {
                if sums[window[place]] > sums[window[winner]] {
                    winner = place;
                }
            }
            let alive = sums[window[winner]] > zero;
            y[index] = if alive { sums[window[winner]] } else { zero };
            remember(4, index, if alive { 1 + winner as u8 } else { 0 });
        }),
    }
}

pub(super) fn backward<T: Real>(
    op: &Conv2d,
    x: &[T],
    weight: &[T],
    dy: &[T],
    aux: &[u8],
    dweight: &mut [T],
    dbias: &mut [T],
    dx: Option<&mut [T]>,
) {
    let zero = T::default();
    let shape = op.conv_y();
    let mut dsums = vec![zero; shape.len()];
    match op.epilogue() {
        ConvEpilogue::Bias => dsums.copy_from_slice(dy),
        ConvEpilogue::BiasRelu => {
            for (index, dsum) in dsums.iter_mut().enumerate() {
                if decisions::get(aux, 1, index) == 1 {
                    *dsum = dy[index];
                }
            }
        }
        ConvEpilogue::BiasReluMaxPool => for_each_window(op, |index, window| {
            if let Some(winner) = decisions::get(aux, 4, index).checked_sub(1) {
                dsums[window[usize::from(winner)]] = dy[index];
            }
        }),
    }

    dbias.fill(zero);
    for (index, dsum) in dsums.iter().enumerate() {
        dbias[index / (shape.h * shape.w) % shape.c] += *dsum;
    }
    dweight.fill(zero);
    for_each_product(op, |sum, i, j| dweight[j] += dsums[sum] * x[i]);
    if let Some(dx) = dx {
        dx.fill(zero);
        for_each_product(op, |sum, i, j| dx[i] += dsums[sum] * weight[j]);
    }
}
