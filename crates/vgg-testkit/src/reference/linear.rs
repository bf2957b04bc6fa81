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

pub(super) fn backward<T: Real>(
    op: &Linear,
    x: &[T],
    weight: &[T],
    dy: &[T],
    aux: &[u8],
    dweight: &mut [T],
    dbias: &mut [T],
    mut dx: Option<&mut [T]>,
) {
    let zero = T::default();
    let (inputs, outputs) = (op.in_features(), op.out_features());
    dweight.fill(zero);
    dbias.fill(zero);
    if let Some(dx) = dx.as_deref_mut() {
        dx.fill(zero);
    }
    for (index, dy) in dy.iter().enumerate() {
        let alive = match op.epilogue() {
            LinearEpilogue::Bias => true,
            LinearEpilogue::BiasRelu => decisions::get(aux, 1, index) == 1,
        };
        if !alive {
            continue;
        }
        let (n, o) = (index / outputs, index % outputs);
        dbias[o] += *dy;
        for i in 0..inputs {
            dweight[o * inputs + i] += *dy * x[n * inputs + i];
            if let Some(dx) = dx.as_deref_mut() {
                dx[n * inputs + i] += *dy * weight[o * inputs + i];
            }
        }
    }
}
