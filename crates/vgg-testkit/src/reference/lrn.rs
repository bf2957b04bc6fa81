//! Local response normalisation by its definition.

use std::ops::Range;

use vgg_tensor::spec::Lrn;

use crate::Real;

/// Calls `visit` with the indices of all channels of one position of one image, for each.
fn for_each_column(op: &Lrn, mut visit: impl FnMut(&[usize])) {
    let shape = op.x();
    let map_len = shape.h * shape.w;
    for n in 0..shape.n {
        for position in 0..map_len {
            let column: Vec<_> =
                (0..shape.c).map(|c| (n * shape.c + c) * map_len + position).collect();
            visit(&column);
        }
    }
}

/// The channels of the window around channel `c` of `channels`.
fn window(c: usize, channels: usize) -> Range<usize> {
    let reach = Lrn::SIZE / 2;
    c.saturating_sub(reach)..(c + reach + 1).min(channels)
}

/// `k + alpha · Σ x²` over the window around channel `c`.
fn denominator<T: Real>(x: &[T], column: &[usize], c: usize) -> T {
    let mut squares = T::default();
    for j in window(c, column.len()) {
        squares += x[column[j]] * x[column[j]];
    }
    T::from(Lrn::K) + T::from(Lrn::ALPHA) * squares
}

pub(super) fn forward<T: Real>(op: &Lrn, x: &[T], y: &mut [T]) {
    for_each_column(op, |column| {
        for (c, index) in column.iter().enumerate() {
            y[*index] = x[*index] * denominator(x, column, c).powf(-T::from(Lrn::BETA));
        }
    });
}

/// With `d` for the denominators:
/// `dx_i = dy_i · d_i^−beta − 2 · alpha · beta · x_i · Σ_j dy_j · x_j · d_j^(−beta − 1)`, summed
/// over the windows `j` that `i` is in, which are those that are in the window of `i`.
pub(super) fn backward<T: Real>(op: &Lrn, x: &[T], dy: &[T], dx: &mut [T]) {
    let beta = T::from(Lrn::BETA);
    let factor = T::from(2.0) * T::from(Lrn::ALPHA) * beta;
    for_each_column(op, |column| {
        let d: Vec<T> = (0..column.len()).map(|c| denominator(x, column, c)).collect();
        for (c, index) in column.iter().enumerate() {
            let mut sum = T::default();
            for j in window(c, column.len()) {
                sum += dy[column[j]] * x[column[j]] * d[j].powf(-beta - T::from(1.0));
            }
            dx[*index] = dy[*index] * d[c].powf(-beta) - factor * x[*index] * sum;
        }
    });
}
