//! Normalising, ReLU and max-pool in one sweep.

use rayon::prelude::*;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use super::aux_layout;
use crate::Cpu;
use crate::epilogue::relu_max_pool;
use crate::format::Format;
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

    /// The normalised numbers of `x`, which begins with `n` numbers of channels from `k` on.
    #[inline(always)]
    fn normal<F: Format, S: Simd>(&self, s: S, x: &[F::Number], k: usize, n: usize) -> S::V {
        let Self { mean, scale, bias } = self;
        let c = mean.len();
        debug_assert!(k + n <= c && [scale.len(), bias.len()] == [c; 2] && n <= x.len());
        // SAFETY: the caller has seen to it that `n` channels are left from `k` on.
        unsafe {
            let x = F::load_first(s, x.as_ptr(), n);
            let difference = s.sub(x, s.load_first(mean.as_ptr().add(k), n));
            let scale = s.load_first(scale.as_ptr().add(k), n);
            s.mul_add(difference, scale, s.load_first(bias.as_ptr().add(k), n))
        }
    }
}

/// Writes `y` and, if there is one, `aux`.
pub(super) fn normalise<F: Format>(
    cpu: &Cpu,
    op: &BatchNorm2d,
    x: &[F::Number],
    factors: &Factors<'_>,
    y: &mut [F::Number],
    aux: Option<&mut [u8]>,
) {
    let out = op.y();
    let rows = y.par_chunks_exact_mut(out.w * out.c).enumerate();
    cpu.threads.run(|| match aux {
        Some(aux) => {
            let aux = aux.par_chunks_exact_mut(op.aux_bytes() / (out.n * out.h));
            rows.zip(aux).for_each(|((index, y), aux)| {
                F::run(cpu.isa, Row::<F> { op, x, factors, index, y, aux: Some(aux) });
            });
        }
        None => rows.for_each(|(index, y)| {
            F::run(cpu.isa, Row::<F> { op, x, factors, index, y, aux: None });
        }),
    });
}

/// Row `index` of the output, counted through all images.
struct Row<'a, F: Format> {
    op: &'a BatchNorm2d,
    x: &'a [F::Number],
    factors: &'a Factors<'a>,
    index: usize,
    y: &'a mut [F::Number],
    aux: Option<&'a mut [u8]>,
}

impl<F: Format> Kernel for Row<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, x, factors, index, y, mut aux } = self;
        let (shape, out) = (op.x(), op.y());
        let (c, row) = (shape.c, shape.w * shape.c);
        let Factors { mean, scale, bias } = factors;
        assert_eq!([mean.len(), scale.len(), bias.len(), y.len()], [c, c, c, out.w * c]);
        assert_eq!(x.len(), shape.len());
        let layout = aux_layout(op);
        let zero = s.splat(0.0);
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let x = &x[index * row..][..row];
                for (j, (x, y)) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).enumerate() {
                    for k in (0..c).step_by(S::LANES) {
                        let n = (c - k).min(S::LANES);
                        let z = factors.normal::<F, S>(s, &x[k..], k, n);
                        // SAFETY: `n` of this pixel's channels are left.
                        unsafe { F::store_first(s, y.as_mut_ptr().add(k), n, s.max(z, zero)) };
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
                    let (upper, lower) = (&upper[2 * j * c..], &lower[2 * j * c..]);
                    for k in (0..c).step_by(S::LANES) {
                        let n = (c - k).min(S::LANES);
                        let upper_left = factors.normal::<F, S>(s, &upper[k..], k, n);
                        let upper_right = factors.normal::<F, S>(s, &upper[c + k..], k, n);
                        let lower_left = factors.normal::<F, S>(s, &lower[k..], k, n);
                        let lower_right = factors.normal::<F, S>(s, &lower[c + k..], k, n);
                        let window = [[upper_left, upper_right], [lower_left, lower_right]];
                        let (winner, bits) = relu_max_pool(s, window);
                        // SAFETY: `n` of this pixel's channels are left.
                        unsafe { F::store_first(s, y.as_mut_ptr().add(k), n, winner) };
                        if let Some(aux) = &mut aux {
                            layout.put_pool(aux, j, k, n, bits);
                        }
                    }
                }
            }
        }
    }
}
