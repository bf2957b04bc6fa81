//! The output's side of the products: the points to y with its epilogue, and dy to the points.

use std::ops::Range;

use vgg_tensor::spec::ConvEpilogue;

use super::algebra::{HalfOutput, HalfOutputGradient, Interpolation, Output, OutputGradient};
use super::block::{Block, Strip};
use super::points::Points;
use super::tiles::{TileWork, each_tile};
use super::transform::{PATCH, TILE, two_of_size};
use crate::conv2d::strips::StripOutput;
use crate::epilogue::{AuxLayout, relu_max_pool, relu_max_pool_gradient};
use crate::simd::{Kernel, Simd};

/// `y = Aᵀ M A` and the epilogue for some of a block's strips.
pub(super) struct PutOutput<'a, F: Interpolation> {
    pub(super) block: Block<'a>,
    pub(super) m: Points<'a>,
    pub(super) bias: &'a [f32],
    pub(super) output: StripOutput<'a, F>,
}

impl<F: Interpolation> Kernel for PutOutput<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        each_tile(s, self.block, self.output.strips.clone(), &mut self);
    }
}

impl<F: Interpolation> TileWork for PutOutput<'_, F> {
    #[inline(always)]
    fn tile<S: Simd, const HALF_H: bool, const HALF_W: bool>(
        &mut self,
        s: S,
        strip: &Strip,
        column: usize,
        index: usize,
    ) {
        // Copies: a store might change what is behind `self`, for all the compiler knows.
        let (Block { op, sums, y, strips, .. }, m) = (self.block, self.m);
        let column = column * TILE;
        let first_pixel =
            strips.y_pixels_before(strip.index) - strips.y_pixels_before(self.output.strips.start);
        let (rows, columns) = ((sums.h - strip.y).min(TILE), (sums.w - column).min(TILE));
        let layout = AuxLayout::new(op);
        let keep_aux = !self.output.aux.is_empty();
        assert!(index < m.rows && y.c <= m.channels);
        for c in (0..y.c).step_by(S::LANES) {
            let n = (y.c - c).min(S::LANES);
            // SAFETY: `m` has the tile, and its channels are whole vectors.
            let get = |i: usize, j: usize| unsafe { s.load(m.at(i * PATCH + j, index, c)) };
            // SAFETY: the bias has a number for each of the `n` channels from `c` on.
            let bias = unsafe { s.load_first(self.bias[c..c + n].as_ptr(), n) };
            let mut tile = [[bias; TILE]; TILE];
            two_of_size::<Output<F>, HalfOutput<F>, HALF_H, HALF_W, _, _, _, _, _>(
                s,
                get,
                |i, j, sum| tile[i][j] = s.add(sum, bias),
            );
            let put = |output: &mut StripOutput<'_, F>, pixel: usize, value: S::V| {
                let y = &mut output.y[pixel * y.c + c..][..n];
                // SAFETY: the slice has `n` numbers.
                unsafe { F::store_first(s, y.as_mut_ptr(), n, value) };
            };
            // These loops have constant bounds, so that the sums stay in registers.
            match op.epilogue() {
                ConvEpilogue::Bias | ConvEpilogue::BiasRelu => {
                    let relu = op.epilogue() == ConvEpilogue::BiasRelu;
                    let zero = s.splat(0.0);
                    for i in 0..TILE {
                        for j in 0..TILE {
                            if i >= rows || j >= columns {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column + j;
                            let sum = tile[i][j];
                            put(&mut self.output, pixel, if relu { s.max(sum, zero) } else { sum });
                            if relu && keep_aux {
                                layout.put_alive(self.output.aux, pixel, c, n, s.gt(sum, zero));
                            }
                        }
                    }
                }
                ConvEpilogue::BiasReluMaxPool => {
                    for i in 0..TILE / 2 {
                        for j in 0..TILE / 2 {
                            if i >= rows / 2 || j >= columns / 2 {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column / 2 + j;
                            let [i, j] = [2 * i, 2 * j];
                            let window = [
                                [tile[i][j], tile[i][j + 1]],
                                [tile[i + 1][j], tile[i + 1][j + 1]],
                            ];
                            let (max, bits) = relu_max_pool(s, window);
                            put(&mut self.output, pixel, max);
                            if keep_aux {
                                layout.put_pool(self.output.aux, pixel, c, n, bits);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `dM = A dy Aᵀ` for some strips, ReLU and pool undone on the way.
pub(super) struct TransformOutputGradient<'a, F: Interpolation> {
    pub(super) block: Block<'a>,
    /// The strips of the block to do.
    pub(super) strips: Range<usize>,
    pub(super) dy: &'a [F::Number],
    pub(super) aux: &'a [u8],
    /// Of the whole block; strips that are not done are not touched.
    pub(super) dm: Points<'a, F>,
}

impl<F: Interpolation> Kernel for TransformOutputGradient<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let dm = self.dm;
        each_tile(s, self.block, self.strips.clone(), &mut self);
        dm.flush(s);
    }
}

impl<F: Interpolation> TileWork for TransformOutputGradient<'_, F> {
    #[inline(always)]
    fn tile<S: Simd, const HALF_H: bool, const HALF_W: bool>(
        &mut self,
        s: S,
        strip: &Strip,
        column: usize,
        index: usize,
    ) {
        // Copies: see above.
        let Block { op, sums, y, strips, .. } = self.block;
        let Self { dy, aux, dm, .. } = *self;
        let column = column * TILE;
        let first_pixel = strips.y_pixels_before(strip.index);
        let (rows, columns) = ((sums.h - strip.y).min(TILE), (sums.w - column).min(TILE));
        let layout = AuxLayout::new(op);
        assert!(index < dm.rows && y.c <= dm.channels);
        for c in (0..y.c).step_by(S::LANES) {
            let n = (y.c - c).min(S::LANES);
            let get = |pixel: usize| {
                let dy = &dy[pixel * y.c + c..][..n];
                // SAFETY: the slice has `n` numbers.
                unsafe { F::load_first(s, dy.as_ptr(), n) }
            };
            // The loops have constant bounds, so that the gradients stay in registers.
            let mut gradient = [[s.splat(0.0); TILE]; TILE];
            match op.epilogue() {
                ConvEpilogue::Bias | ConvEpilogue::BiasRelu => {
                    let relu = op.epilogue() == ConvEpilogue::BiasRelu;
                    for i in 0..TILE {
                        for j in 0..TILE {
                            if i >= rows || j >= columns {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column + j;
                            let alive = if relu { layout.alive(aux, pixel, c, n) } else { !0 };
                            gradient[i][j] = s.keep(alive, get(pixel));
                        }
                    }
                }
                ConvEpilogue::BiasReluMaxPool => {
                    for i in 0..TILE / 2 {
                        for j in 0..TILE / 2 {
                            if i >= rows / 2 || j >= columns / 2 {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column / 2 + j;
                            let bits = layout.pool(aux, pixel, c, n);
                            let window = relu_max_pool_gradient(s, get(pixel), bits);
                            for (k, g) in window.as_flattened().iter().enumerate() {
                                gradient[2 * i + k / 2][2 * j + k % 2] = *g;
                            }
                        }
                    }
                }
            }
            let put = |i: usize, j: usize, point: S::V| {
                // SAFETY: `dm` has the tile, and its channels are whole vectors; no other job has
                // this tile's strip.
                unsafe { dm.put(s, i * PATCH + j, index, c, point) }
            };
            two_of_size::<OutputGradient<F>, HalfOutputGradient<F>, HALF_H, HALF_W, _, _, _, _, _>(
                s,
                |i, j| gradient[i][j],
                put,
            );
        }
    }
}
