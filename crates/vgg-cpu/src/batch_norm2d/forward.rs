//! Normalising, ReLU and max-pool in one sweep.

use rayon::prelude::*;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use super::aux_layout;
use crate::Cpu;
use crate::epilogue::relu_max_pool;
use crate::simd::{Kernel, Simd};

/// What makes a normalised number of a channel, `(x − mean) · scale + bias`: a mean that is far from
/// zero is taken away first, so that nothing cancels later.
pub(super) struct Factors<'a> {
    mean: &'a [f32],
    scale: Vec<f32>,
    bias: &'a [f32],
}

impl<'a> Factors<'a> {
    pub(super) fn new(weight: &[f32], bias: &'a [f32], mean: &'a [f32], inverse: &[f32]) -> Self {
        let scale = weight.iter().zip(inverse).map(|(weight, inverse)| weight * inverse).collect();
        Self { mean, scale, bias }
    }
}

/// Writes `y` and, if there is one, `aux`.
pub(super) fn normalise(
    cpu: &Cpu,
    op: &BatchNorm2d,
    x: &[f32],
    factors: &Factors<'_>,
    y: &mut [f32],
    aux: Option<&mut [u8]>,
) {
    let out = op.y();
    let rows = y.par_chunks_exact_mut(out.w * out.c).enumerate();
    cpu.threads.run(|| match aux {
        Some(aux) => {
            let aux = aux.par_chunks_exact_mut(op.aux_bytes() / (out.n * out.h));
            rows.zip(aux).for_each(|((index, y), aux)| {
                cpu.isa.run(Row { op, x, factors, index, y, aux: Some(aux) });
            });
        }
        None => rows.for_each(|(index, y)| {
            cpu.isa.run(Row { op, x, factors, index, y, aux: None });
        }),
    });
}

/// Row `index` of the output, counted through all images.
struct Row<'a> {
    op: &'a BatchNorm2d,
    x: &'a [f32],
    factors: &'a Factors<'a>,
    index: usize,
    y: &'a mut [f32],
    aux: Option<&'a mut [u8]>,
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, x, factors, index, y, mut aux } = self;
        let (shape, out) = (op.x(), op.y());
        let (c, row) = (shape.c, shape.w * shape.c);
        let Factors { mean, scale, bias } = factors;
        assert_eq!([mean.len(), scale.len(), bias.len(), y.len()], [c, c, c, out.w * c]);
        let layout = aux_layout(op);
        // SAFETY: the caller gives a place in `x`, and a channel `k`, from where `n` channels are left.
        let normal = |x: &[f32], k: usize, n: usize| unsafe {
            let load = |vector: &[f32]| s.load_first(vector.as_ptr().add(k), n);
            let difference = s.sub(s.load_first(x.as_ptr(), n), load(mean));
            s.mul_add(difference, load(scale), load(bias))
        };
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let x = &x[index * row..][..row];
                let pixels = x.chunks_exact(c).zip(y.chunks_exact_mut(c));
                for (j, (x, y)) in pixels.enumerate() {
                    for k in (0..c).step_by(S::LANES) {
                        let n = (c - k).min(S::LANES);
                        let z = normal(&x[k..], k, n);
                        let zero = s.splat(0.0);
                        // SAFETY: `n` of this pixel's channels are left.
                        unsafe { s.store_first(y.as_mut_ptr().add(k), n, s.max(z, zero)) };
                        if let Some(aux) = &mut aux {
                            layout.put_alive(aux, j, k, n, s.gt(z, zero));
                        }
                    }
                }
            }
            BatchNormEpilogue::ReluMaxPool => {
                let (image, i) = (index / out.h, index % out.h);
                let rows = &x[(image * shape.h + 2 * i) * row..][..2 * row];
                let (upper, lower) = rows.split_at(row);
                for (j, y) in y.chunks_exact_mut(c).enumerate() {
                    let window = [upper, lower].map(|row| &row[2 * j * c..][..2 * c]);
                    for k in (0..c).step_by(S::LANES) {
                        let n = (c - k).min(S::LANES);
                        let z = window.map(|pair| [k, c + k].map(|at| normal(&pair[at..], k, n)));
                        let (winner, bits) = relu_max_pool(s, z);
                        // SAFETY: `n` of this pixel's channels are left.
                        unsafe { s.store_first(y.as_mut_ptr().add(k), n, winner) };
                        if let Some(aux) = &mut aux {
                            layout.put_pool(aux, j, k, n, bits);
                        }
                    }
                }
            }
        }
    }
}
