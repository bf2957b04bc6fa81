//! Batch normalisation with ReLU and 2×2 max-pool.
//!
//! All of it is bound by memory, so what counts are sweeps over the maps: training reads `x` once for
//! the statistics (`statistics`) and once to normalise (`forward`), the backward pass reads `x` and
//! `dy` twice, for the sums and for `dx` (`backward`). Small arithmetic on channels is in `f64`.

mod backward;
mod forward;
mod statistics;

use std::ops::Range;

use vgg_tensor::Result;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use crate::Cpu;
use crate::buffer::Buffer;
use crate::epilogue::AuxLayout;
use crate::format::Format;
use crate::needs::Needs;

/// See [`vgg_tensor::Command::BatchNorm2d`].
pub(crate) fn forward<F: Format>(
    cpu: &Cpu,
    op: &BatchNorm2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    running_statistics: [&mut Buffer; 2],
    saved: &mut Buffer,
    y: &mut Buffer,
    aux: &mut Buffer,
) -> Result<()> {
    let (c, count) = (op.x().c, op.count() as f64);
    let x = x.maps::<F>(op.x().len());
    let moments = statistics::moments::<F>(cpu, op, x)?;
    let [means, vars] = running_statistics.map(|buffer| buffer.f32_mut(c));
    let (saved_means, inverses) = saved.f32_mut(2 * c).split_at_mut(c);
    for (c, (mean, squares)) in moments.into_iter().enumerate() {
        means[c] = running(means[c], mean);
        vars[c] = running(vars[c], squares / (count - 1.0));
        saved_means[c] = mean as f32;
        inverses[c] = inverse_deviation(squares / count) as f32;
    }
    let factors = forward::Factors::new(weight.f32(c), bias.f32(c), saved_means, inverses);
    let aux = aux.bytes_mut(op.aux_bytes());
    let y = y.maps_mut::<F>(op.y().len());
    forward::normalise::<F>(cpu, op, x, &factors, y, Some(aux));
    Ok(())
}

/// See [`vgg_tensor::Command::BatchNorm2dInference`].
pub(crate) fn inference<F: Format>(
    cpu: &Cpu,
    op: &BatchNorm2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    running_mean: &Buffer,
    running_var: &Buffer,
    y: &mut Buffer,
) {
    let c = op.x().c;
    let vars = running_var.f32(c).iter();
    let inverses: Vec<_> = vars.map(|var| inverse_deviation(f64::from(*var)) as f32).collect();
    let factors = forward::Factors::new(weight.f32(c), bias.f32(c), running_mean.f32(c), &inverses);
    let (x, y) = (x.maps::<F>(op.x().len()), y.maps_mut::<F>(op.y().len()));
    forward::normalise::<F>(cpu, op, x, &factors, y, None);
}

/// See [`vgg_tensor::Command::BatchNorm2dBackward`].
pub(crate) fn backward<F: Format>(
    cpu: &Cpu,
    op: &BatchNorm2d,
    x: &Buffer,
    weight: &Buffer,
    saved: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    [dweight, dbias]: [&mut Buffer; 2],
    dx: &mut Buffer,
) -> Result<()> {
    let c = op.x().c;
    let (mean, inverse) = saved.f32(2 * c).split_at(c);
    let (x, dy) = (x.maps::<F>(op.x().len()), dy.maps::<F>(op.y().len()));
    let given = backward::Given::<F> { op, x, mean, dy, aux: aux.bytes(op.aux_bytes()) };
    let sums = backward::sums(cpu, given)?;
    let (dweight, dbias) = (dweight.f32_mut(c), dbias.f32_mut(c));
    for (c, (dz, product)) in sums.into_iter().enumerate() {
        dbias[c] = dz as f32;
        dweight[c] = (product * f64::from(inverse[c])) as f32;
    }
    let factors = backward::Factors::new(op, weight.f32(c), inverse, dweight, dbias);
    backward::input_gradient(cpu, given, &factors, dx.maps_mut::<F>(op.x().len()));
    Ok(())
}

/// What [`forward`] takes besides its buffers.
pub(crate) fn forward_needs(op: &BatchNorm2d) -> Needs {
    statistics::needs(op)
}

/// What [`backward()`] takes besides its buffers.
pub(crate) fn backward_needs(op: &BatchNorm2d) -> Needs {
    backward::needs(op)
}

fn running(old: f32, new: f64) -> f32 {
    let momentum = f64::from(BatchNorm2d::MOMENTUM);
    ((1.0 - momentum) * f64::from(old) + momentum * new) as f32
}

fn inverse_deviation(var: f64) -> f64 {
    (var + f64::from(BatchNorm2d::EPSILON)).sqrt().recip()
}

/// The layout of `aux`.
fn aux_layout(op: &BatchNorm2d) -> AuxLayout {
    match op.epilogue() {
        BatchNormEpilogue::Relu => AuxLayout::relu(op.x().c),
        BatchNormEpilogue::ReluMaxPool => AuxLayout::relu_max_pool(op.x().c),
    }
}

/// A fixed split of equal rows into chunks, each of which has sums of its own; the chunks' sums are
/// then added in their order. It depends on the sizes alone, so the result does not depend on the
/// threads.
#[derive(Clone, Copy)]
struct Chunks {
    rows: usize,
    count: usize,
}

impl Chunks {
    /// Chunks of `rows` rows of `row_len` numbers.
    fn new(rows: usize, row_len: usize) -> Self {
        const LEAST: usize = 1 << 14; // numbers of a chunk
        const MOST: usize = 64;
        Self { rows, count: (rows * row_len / LEAST).clamp(1, MOST).min(rows) }
    }

    /// Numbers in all chunks' two sums of `c` channels.
    fn len(self, c: usize) -> usize {
        self.count * 2 * c
    }

    fn rows(self, chunk: usize) -> Range<usize> {
        chunk * self.rows / self.count..(chunk + 1) * self.rows / self.count
    }
}
