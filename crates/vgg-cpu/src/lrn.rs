//! Local response normalisation.

use rayon::prelude::*;
use vgg_tensor::spec::Lrn;

use crate::Cpu;
use crate::buffer::Buffer;

/// See [`vgg_tensor::Backend::lrn`].
pub(crate) fn forward(cpu: &Cpu, op: &Lrn, x: &Buffer, y: &mut Buffer) {
    let x = x.f32(op.x().len());
    let y = y.f32_mut(op.x().len());
    let c = op.x().c;
    cpu.threads.run(|| {
        y.par_chunks_exact_mut(c).zip(x.par_chunks_exact(c)).for_each(|(y, x)| {
            for i in 0..c {
                y[i] = x[i] * scale(x, i).powf(-Lrn::BETA);
            }
        });
    });
}

/// See [`vgg_tensor::Backend::lrn_backward`].
///
/// With `s_j = k + alpha · Σ x²` over j's window, channel i is in the windows of its neighbours:
/// `dx_i = dy_i · s_i^−beta − 2 · alpha · beta · x_i · Σ_j dy_j · x_j · s_j^(−beta − 1)`.
pub(crate) fn backward(cpu: &Cpu, op: &Lrn, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
    let x = x.f32(op.x().len());
    let dy = dy.f32(op.x().len());
    let dx = dx.f32_mut(op.x().len());
    let c = op.x().c;
    cpu.threads.run(|| {
        let pixels =
            dx.par_chunks_exact_mut(c).zip(x.par_chunks_exact(c)).zip(dy.par_chunks_exact(c));
        pixels.for_each(|((dx, x), dy)| {
            for i in 0..c {
                let through = |j: usize| dy[j] * x[j] * scale(x, j).powf(-Lrn::BETA - 1.0);
                let neighbours: f32 = window(i, c).map(through).sum();
                dx[i] = dy[i] * scale(x, i).powf(-Lrn::BETA)
                    - 2.0 * Lrn::ALPHA * Lrn::BETA * x[i] * neighbours;
            }
        });
    });
}

/// `k + alpha · Σ x²` over channel i's window.
fn scale(x: &[f32], i: usize) -> f32 {
    Lrn::K + Lrn::ALPHA * x[window(i, x.len())].iter().map(|x| x * x).sum::<f32>()
}

/// The channels around i that exist.
fn window(i: usize, c: usize) -> std::ops::Range<usize> {
    i.saturating_sub(Lrn::SIZE / 2)..(i + Lrn::SIZE / 2 + 1).min(c)
}
