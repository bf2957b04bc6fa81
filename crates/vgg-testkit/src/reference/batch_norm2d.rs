//! Batch normalisation by its definition, with ReLU and 2×2 max-pool.

use vgg_tensor::Shape;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use super::decisions;
use crate::Real;

/// The indices of all numbers of channel `c`.
fn channel(shape: Shape, c: usize) -> impl Iterator<Item = usize> + Clone {
    let map_len = shape.h * shape.w;
    (0..shape.n).flat_map(move |n| {
        let first = (n * shape.c + c) * map_len;
        first..first + map_len
    })
}

/// A statistic's share of all numbers of a channel.
fn count<T: Real>(op: &BatchNorm2d) -> T {
    T::from_f64(op.count() as f64)
}

fn mean<T: Real>(op: &BatchNorm2d, numbers: impl Iterator<Item = T>) -> T {
    let mut sum = T::default();
    numbers.for_each(|x| sum += x);
    sum / count(op)
}

fn inverse_deviation<T: Real>(var: T) -> T {
    (var + T::from(BatchNorm2d::EPSILON)).powf(T::from(-0.5))
}

/// `saved` is the means and inverse deviations.
pub(super) fn statistics<T: Real>(
    op: &BatchNorm2d,
    x: &[T],
    running_mean: &mut [T],
    running_var: &mut [T],
    saved: &mut [T],
) {
    let one = T::from(1.0);
    let momentum = T::from(BatchNorm2d::MOMENTUM);
    let (means, inverses) = saved.split_at_mut(op.x().c);
    for c in 0..op.x().c {
        let indices = channel(op.x(), c);
        let mean_c = mean(op, indices.clone().map(|i| x[i]));
        let var = mean(op, indices.map(|i| (x[i] - mean_c) * (x[i] - mean_c)));
        let unbiased = var * count(op) / (count::<T>(op) - one);
        running_mean[c] = (one - momentum) * running_mean[c] + momentum * mean_c;
        running_var[c] = (one - momentum) * running_var[c] + momentum * unbiased;
        (means[c], inverses[c]) = (mean_c, inverse_deviation(var));
    }
}

/// The means and inverse deviations of the running statistics.
pub(super) fn running<T: Real>(running_mean: &[T], running_var: &[T]) -> Vec<T> {
    let inverses = running_var.iter().map(|var| inverse_deviation(*var));
    running_mean.iter().copied().chain(inverses).collect()
}

/// Calls `visit(y, window)` with the index of each output and those of the inputs that it depends
/// on, in row-major order: one, or the four of a pooling window.
pub(crate) fn for_each_window(op: &BatchNorm2d, mut visit: impl FnMut(usize, &[usize])) {
    let (x, y) = (op.x(), op.y());
    match op.epilogue() {
        BatchNormEpilogue::Relu => (0..y.len()).for_each(|i| visit(i, &[i])),
        BatchNormEpilogue::ReluMaxPool => {
            for map in 0..y.n * y.c {
                for i in 0..y.h {
                    for j in 0..y.w {
                        let first = (map * x.h + 2 * i) * x.w + 2 * j;
                        let window = [first, first + 1, first + x.w, first + x.w + 1];
                        visit((map * y.h + i) * y.w + j, &window);
                    }
                }
            }
        }
    }
}

/// Bits of a decision in `aux`, which are a convolution's.
fn bits(op: &BatchNorm2d) -> usize {
    match op.epilogue() {
        BatchNormEpilogue::Relu => 1,
        BatchNormEpilogue::ReluMaxPool => 4,
    }
}

pub(super) fn apply<T: Real>(
    op: &BatchNorm2d,
    x: &[T],
    weight: &[T],
    bias: &[T],
    saved: &[T],
    y: &mut [T],
    mut aux: Option<&mut [u8]>,
) {
    let zero = T::default();
    let (means, inverses) = saved.split_at(op.x().c);
    let normalised = |i: usize| {
        let c = i / (op.x().h * op.x().w) % op.x().c;
        weight[c] * (x[i] - means[c]) * inverses[c] + bias[c]
    };
    for_each_window(op, |index, window| {
        let mut winner = 0;
        for place in 1..window.len() {
            if normalised(window[place]) > normalised(window[winner]) {
                winner = place;
            }
        }
        let largest = normalised(window[winner]);
        let alive = largest > zero;
        y[index] = if alive { largest } else { zero };
        if let Some(aux) = aux.as_deref_mut() {
            decisions::put(aux, bits(op), index, if alive { 1 + winner as u8 } else { 0 });
        }
    });
}

/// With `dz` for the gradient of the normalised maps and `x̂` for the maps without weight and bias,
/// `dx = weight / √(var + ε) · (dz − mean(dz) − x̂ · mean(dz · x̂))`.
pub(super) fn backward<T: Real>(
    op: &BatchNorm2d,
    x: &[T],
    weight: &[T],
    saved: &[T],
    dy: &[T],
    aux: &[u8],
    dweight: &mut [T],
    dbias: &mut [T],
    dx: &mut [T],
) {
    let mut dz = vec![T::default(); x.len()];
    for_each_window(op, |index, window| {
        if let Some(winner) = decisions::get(aux, bits(op), index).checked_sub(1) {
            dz[window[usize::from(winner)]] = dy[index];
        }
    });
    let (means, inverses) = saved.split_at(op.x().c);
    for c in 0..op.x().c {
        let indices = channel(op.x(), c);
        let normalised = |i: usize| (x[i] - means[c]) * inverses[c];
        let dz_mean = mean(op, indices.clone().map(|i| dz[i]));
        let product_mean = mean(op, indices.clone().map(|i| dz[i] * normalised(i)));
        dbias[c] = dz_mean * count(op);
        dweight[c] = product_mean * count(op);
        for i in indices {
            let direct = dz[i] - dz_mean - normalised(i) * product_mean;
            dx[i] = weight[c] * inverses[c] * direct;
        }
    }
}
