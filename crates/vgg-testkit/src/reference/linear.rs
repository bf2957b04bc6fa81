//! A fully connected layer by its definition.

use vgg_tensor::spec::{Linear, LinearEpilogue};

use super::decisions;
use crate::Real;

/// `aux` has a bit an output for ReLU: is it alive.
pub(super) fn forward<T: Real>(
    op: &Linear,
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
    mut aux: Option<&mut [u8]>,
) {
    let zero = T::default();
    let (inputs, outputs) = (op.in_features(), op.out_features());
    for (index, y) in y.iter_mut().enumerate() {
        let (n, o) = (index / outputs, index % outputs);
        let mut sum = bias[o];
        for i in 0..inputs {
            sum += x[n * inputs + i] * weight[o * inputs + i];
        }
        *y = match op.epilogue() {
            LinearEpilogue::Bias => sum,
            LinearEpilogue::BiasRelu => {
                let alive = sum > zero;
                if let Some(aux) = aux.as_deref_mut() {
                    decisions::put(aux, 1, index, u8::from(alive));
                }
                if alive { sum } else { zero }
            }
        };
    }
}

/// `dx` is that of [`input_backward`].
pub(super) fn backward<T: Real>(
    op: &Linear,
    x: &[T],
    dy: &[T],
    aux: &[u8],
    dweight: &mut [T],
    dbias: &mut [T],
) {
    let zero = T::default();
    let (inputs, outputs) = (op.in_features(), op.out_features());
    dweight.fill(zero);
    dbias.fill(zero);
    for (index, dy) in alive(op, dy, aux) {
        let (n, o) = (index / outputs, index % outputs);
        dbias[o] += dy;
        for i in 0..inputs {
            dweight[o * inputs + i] += dy * x[n * inputs + i];
        }
    }
}

pub(super) fn input_backward<T: Real>(
    op: &Linear,
    weight: &[T],
    dy: &[T],
    aux: &[u8],
    dx: &mut [T],
) {
    let (inputs, outputs) = (op.in_features(), op.out_features());
    dx.fill(T::default());
    for (index, dy) in alive(op, dy, aux) {
        let (n, o) = (index / outputs, index % outputs);
        for i in 0..inputs {
            dx[n * inputs + i] += dy * weight[o * inputs + i];
        }
    }
}

/// Puts the rows of a part of a batch, from `first` on, into those of the whole.
pub(super) fn factors<T: Real>(
    op: &Linear,
    first: usize,
    alpha: T,
    [x, dy]: [&[T]; 2],
    aux: &[u8],
    [xs, dsums]: [&mut [T]; 2],
) {
    xs[first * op.in_features()..][..x.len()].copy_from_slice(x);
    let dsums = &mut dsums[first * op.out_features()..][..dy.len()];
    dsums.fill(T::default());
    for (index, dy) in alive(op, dy, aux) {
        dsums[index] = alpha * dy;
    }
}

/// The outputs that ReLU left alive: their places and gradients.
fn alive<T: Real>(op: &Linear, dy: &[T], aux: &[u8]) -> impl Iterator<Item = (usize, T)> {
    let alive = |index: &usize| match op.epilogue() {
        LinearEpilogue::Bias => true,
        LinearEpilogue::BiasRelu => decisions::get(aux, 1, *index) == 1,
    };
    (0..dy.len()).filter(alive).map(|index| (index, dy[index]))
}
