//! The gradients: sums over the batch first, on which every number of `dx` depends.
//!
//! With `dz` for the gradient of the normalised maps, undone of pool and ReLU,
//! `dx = scale · (dz − mean(dz) − x̂ · mean(dz · x̂))` where `x̂ = (x − mean) · inverse`.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use super::{Chunks, aux_layout};
use crate::Cpu;
use crate::buffer::AlignedVec;
use crate::epilogue::{AuxLayout, relu_max_pool_gradient};
use crate::format::Format;
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// What the gradients are computed from.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, F: Format> {
    pub(super) op: &'a BatchNorm2d,
    pub(super) x: &'a [F::Number],
    pub(super) mean: &'a [f32],
    pub(super) dy: &'a [F::Number],
    pub(super) aux: &'a [u8],
}

/// Each channel's `Σ dz` and `Σ dz · (x − mean)`.
pub(super) fn sums<F: Format>(cpu: &Cpu, given: Given<'_, F>) -> Result<Vec<(f64, f64)>> {
    let (c, chunks) = (given.op.x().c, chunks(given.op));
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    needs(given.op).reserve(cpu, workspace)?;
    let [partials] = workspace.split([chunks.len(c)]);
    cpu.threads.run(|| {
        partials.par_chunks_exact_mut(2 * c).enumerate().for_each(|(chunk, partial)| {
            let (dz, products) = partial.split_at_mut(c);
            F::run(cpu.isa, Sums { given, rows: chunks.rows(chunk), dz, products });
        });
    });
    let add_up =
        |k: usize| partials.iter().skip(k).step_by(2 * c).map(|x| f64::from(*x)).sum::<f64>();
    Ok((0..c).map(|k| (add_up(k), add_up(c + k))).collect())
}

/// What [`sums`] takes besides its buffers.
pub(super) fn needs(op: &BatchNorm2d) -> Needs {
    let workspace = AlignedVec::len_of([chunks(op).len(op.x().c)]);
    Needs { workspace, ..Needs::default() }
}

/// How the rows of the output are split.
fn chunks(op: &BatchNorm2d) -> Chunks {
    let y = op.y();
    Chunks::new(y.n * y.h, y.w * y.c)
}

/// The sums of some rows of the output, counted through all images.
struct Sums<'a, F: Format> {
    given: Given<'a, F>,
    rows: Range<usize>,
    dz: &'a mut [f32],
    products: &'a mut [f32],
}

impl<F: Format> Kernel for Sums<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { given, rows, dz, products } = self;
        let c = given.op.x().c;
        assert_eq!([dz.len(), products.len(), given.mean.len()], [c; 3]);
        dz.fill(0.0);
        products.fill(0.0);
        for row in rows {
            let row = Row::of(given, row);
            for k in (0..c).step_by(S::LANES) {
                let n = (c - k).min(S::LANES);
                let sums = row.sums(s, given.mean, k, n);
                // SAFETY: `n` channels are left from `k` on.
                unsafe {
                    let (dz, products) = (dz.as_mut_ptr().add(k), products.as_mut_ptr().add(k));
                    s.store_first(dz, n, s.add(s.load_first(dz, n), sums[0]));
                    s.store_first(products, n, s.add(s.load_first(products, n), sums[1]));
                }
            }
        }
    }
}

/// A row of the output, with the rows of the input that it came from.
#[derive(Clone, Copy)]
struct Row<'a, F: Format> {
    c: usize,
    /// One row, or the upper and the lower one, where the pool's windows are.
    x: &'a [F::Number],
    dy: &'a [F::Number],
    aux: &'a [u8],
    layout: AuxLayout,
    pools: bool,
}

impl<'a, F: Format> Row<'a, F> {
    fn of(given: Given<'a, F>, row: usize) -> Self {
        let (shape, y) = (given.op.x(), given.op.y());
        let (x_row, aux_row) = (shape.w * shape.c, given.op.aux_bytes() / (y.n * y.h));
        let pools = given.op.epilogue() == BatchNormEpilogue::ReluMaxPool;
        let x = match pools {
            true => {
                let first = (row / y.h * shape.h + 2 * (row % y.h)) * x_row;
                &given.x[first..first + 2 * x_row]
            }
            false => &given.x[row * x_row..][..x_row],
        };
        Self {
            c: shape.c,
            x,
            dy: &given.dy[row * y.w * y.c..][..y.w * y.c],
            aux: &given.aux[row * aux_row..][..aux_row],
            layout: aux_layout(given.op),
            pools,
        }
    }

    /// The gradient of output `j`, `n` channels from `k` on.
    #[inline(always)]
    fn dy<S: Simd>(&self, s: S, j: usize, k: usize, n: usize) -> S::V {
        let dy = &self.dy[j * self.c + k..][..n];
        // SAFETY: there are `n`.
        unsafe { F::load_first(s, dy.as_ptr(), n) }
    }

    /// The gradient of ReLU's input `j`.
    #[inline(always)]
    fn relu<S: Simd>(&self, s: S, j: usize, k: usize, n: usize) -> S::V {
        s.keep(self.layout.alive(self.aux, j, k, n), self.dy(s, j, k, n))
    }

    /// The gradients of window `j`.
    #[inline(always)]
    fn window<S: Simd>(&self, s: S, j: usize, k: usize, n: usize) -> [[S::V; 2]; 2] {
        relu_max_pool_gradient(s, self.dy(s, j, k, n), self.layout.pool(self.aux, j, k, n))
    }

    /// `x − mean` of a pixel.
    #[inline(always)]
    fn difference<S: Simd>(&self, s: S, mean: S::V, pixel: usize, k: usize, n: usize) -> S::V {
        let x = &self.x[pixel * self.c + k..][..n];
        // SAFETY: there are `n`.
        s.sub(unsafe { F::load_first(s, x.as_ptr(), n) }, mean)
    }

    /// The row's `Σ dz` and `Σ dz · (x − mean)` of `n` channels from `k` on.
    #[inline(always)]
    fn sums<S: Simd>(&self, s: S, mean: &[f32], k: usize, n: usize) -> [S::V; 2] {
        let mean = &mean[k..][..n];
        // SAFETY: there are `n`.
        let mean = unsafe { s.load_first(mean.as_ptr(), n) };
        let [mut sum, mut products] = [s.splat(0.0); 2];
        let w = self.x.len() / (2 * self.c);
        for j in 0..self.dy.len() / self.c {
            if !self.pools {
                let dz = self.relu(s, j, k, n);
                sum = s.add(sum, dz);
                products = s.mul_add(dz, self.difference(s, mean, j, k, n), products);
                continue;
            }
            let [upper, lower] = self.window(s, j, k, n);
            // All but one of a window's gradients are zero.
            sum = s.add(sum, s.add(s.add(upper[0], upper[1]), s.add(lower[0], lower[1])));
            let (left, right) = (2 * j, 2 * j + 1);
            products = s.mul_add(upper[0], self.difference(s, mean, left, k, n), products);
            products = s.mul_add(upper[1], self.difference(s, mean, right, k, n), products);
            products = s.mul_add(lower[0], self.difference(s, mean, w + left, k, n), products);
            products = s.mul_add(lower[1], self.difference(s, mean, w + right, k, n), products);
        }
        [sum, products]
    }
}

/// What makes a number of `dx`, `scale · dz + (x − mean) · slope + constant`.
pub(super) struct Factors {
    scale: Vec<f32>,
    slope: Vec<f32>,
    constant: Vec<f32>,
}

impl Factors {
    pub(super) fn new(
        op: &BatchNorm2d,
        weight: &[f32],
        inverse: &[f32],
        dweight: &[f32],
        dbias: &[f32],
    ) -> Self {
        let count = op.count() as f64;
        let scale = |c: usize| f64::from(weight[c]) * f64::from(inverse[c]);
        let slope = |c: usize| -scale(c) * f64::from(inverse[c]) * f64::from(dweight[c]) / count;
        let constant = |c: usize| -scale(c) * f64::from(dbias[c]) / count;
        let all = |of: &dyn Fn(usize) -> f64| (0..op.x().c).map(|c| of(c) as f32).collect();
        Self { scale: all(&scale), slope: all(&slope), constant: all(&constant) }
    }
}

/// Writes `dx`.
pub(super) fn input_gradient<F: Format>(
    cpu: &Cpu,
    given: Given<'_, F>,
    factors: &Factors,
    dx: &mut [F::Number],
) {
    let (shape, y) = (given.op.x(), given.op.y());
    let row = shape.w * shape.c;
    let pools = given.op.epilogue() == BatchNormEpilogue::ReluMaxPool;
    // The rows that an output row came from. A last row that the pool drops is by itself.
    let rows = if pools { 2 } else { 1 };
    let images = dx.par_chunks_exact_mut(shape.features()).enumerate();
    cpu.threads.run(|| {
        images
            .flat_map(|(image, dx)| {
                let index = move |(i, dx)| (image, i, dx);
                dx.par_chunks_mut(rows * row).enumerate().map(index)
            })
            .for_each(|(image, i, dx)| {
                let first = (image * shape.h + i * rows) * row;
                let x = &given.x[first..first + dx.len()];
                let out = (i < y.h).then(|| Row::of(given, image * y.h + i));
                F::run(cpu.isa, InputGradient { x, mean: given.mean, factors, out, dx });
            });
    });
}

/// The gradient of a row, or of the two that the pool takes.
struct InputGradient<'a, F: Format> {
    x: &'a [F::Number],
    mean: &'a [f32],
    factors: &'a Factors,
    /// The output row; none came of a row that the pool drops.
    out: Option<Row<'a, F>>,
    dx: &'a mut [F::Number],
}

impl<F: Format> Kernel for InputGradient<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, mean, factors, out, dx } = self;
        let (c, Factors { scale, slope, constant }) = (mean.len(), factors);
        assert_eq!([scale.len(), slope.len(), constant.len()], [c; 3]);
        assert_eq!(x.len(), dx.len());
        let pixels = x.len() / c;
        let mut gradient = Writer::<F, S> { s, x, dx, mean, factors };
        match out {
            None => gradient.put_zeros(0..pixels),
            Some(row) if !row.pools => {
                for pixel in 0..pixels {
                    for k in (0..c).step_by(S::LANES) {
                        let n = (c - k).min(S::LANES);
                        gradient.put(pixel, k, n, row.relu(s, pixel, k, n));
                    }
                }
            }
            Some(row) => {
                let (w, windows) = (pixels / 2, row.dy.len() / c);
                for j in 0..windows {
                    for k in (0..c).step_by(S::LANES) {
                        let n = (c - k).min(S::LANES);
                        let [upper, lower] = row.window(s, j, k, n);
                        gradient.put(2 * j, k, n, upper[0]);
                        gradient.put(2 * j + 1, k, n, upper[1]);
                        gradient.put(w + 2 * j, k, n, lower[0]);
                        gradient.put(w + 2 * j + 1, k, n, lower[1]);
                    }
                }
                gradient.put_zeros(2 * windows..w);
                gradient.put_zeros(w + 2 * windows..2 * w);
            }
        }
    }
}

/// Writes gradients.
struct Writer<'a, F: Format, S> {
    s: S,
    x: &'a [F::Number],
    dx: &'a mut [F::Number],
    mean: &'a [f32],
    factors: &'a Factors,
}

impl<F: Format, S: Simd> Writer<'_, F, S> {
    /// Of `n` channels of a pixel from `k` on.
    #[inline(always)]
    fn put(&mut self, pixel: usize, k: usize, n: usize, dz: S::V) {
        let (s, c) = (self.s, self.mean.len());
        let Factors { scale, slope, constant } = self.factors;
        let at = pixel * c + k;
        let (x, dx) = (&self.x[at..][..n], &mut self.dx[at..][..n]);
        debug_assert!(k + n <= c && [scale.len(), slope.len(), constant.len()] == [c; 3]);
        // SAFETY: there are `n` of both, and the caller has seen to it that `n` channels are left.
        unsafe {
            let x = F::load_first(s, x.as_ptr(), n);
            let difference = s.sub(x, s.load_first(self.mean.as_ptr().add(k), n));
            let slope = s.load_first(slope.as_ptr().add(k), n);
            let rest = s.load_first(constant.as_ptr().add(k), n);
            let rest = s.mul_add(difference, slope, rest);
            let scale = s.load_first(scale.as_ptr().add(k), n);
            F::store_first(s, dx.as_mut_ptr(), n, s.mul_add(dz, scale, rest));
        }
    }

    /// Of pixels that no output came from.
    #[inline(always)]
    fn put_zeros(&mut self, pixels: Range<usize>) {
        let (c, zero) = (self.mean.len(), self.s.splat(0.0));
        for pixel in pixels {
            for k in (0..c).step_by(S::LANES) {
                self.put(pixel, k, (c - k).min(S::LANES), zero);
            }
        }
    }
}
