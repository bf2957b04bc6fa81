//! The input's side of the products: x to the points, and the points' gradients back to dx.

use std::ops::Range;

use bytemuck::Zeroable;

use super::Patch;
use super::algebra::{HalfInput, HalfInputGradient, Input, InputGradient, Interpolation};
use super::block::{Block, Strip};
use super::points::Points;
use super::tiles::{TileWork, each_tile};
use super::transform::{PATCH, TILE, two_of_size};
use crate::shared::Shared;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// `V = Bᵀ x B` for some strips.
pub(super) struct TransformInput<'a, F: Interpolation> {
    pub(super) block: Block<'a>,
    /// The strips of the block to do.
    pub(super) strips: Range<usize>,
    pub(super) x: &'a [F::Number],
    /// Of the whole block; strips that are not done are not touched.
    pub(super) v: Points<'a, F>,
}

impl<F: Interpolation> Kernel for TransformInput<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let v = self.v;
        each_tile(s, self.block, self.strips.clone(), &mut self);
        v.flush(s);
    }
}

impl<F: Interpolation> TileWork for TransformInput<'_, F> {
    /// Channels beyond the last become zero.
    #[inline(always)]
    fn tile<S: Simd, const HALF_H: bool, const HALF_W: bool>(
        &mut self,
        s: S,
        strip: &Strip,
        column: usize,
        tile: usize,
    ) {
        // Copies: a store might change what is behind `self`, for all the compiler knows.
        let (Block { op, x, .. }, v) = (self.block, self.v);
        let c = x.c;
        let features = c * x.h * x.w;
        let image = &self.x[strip.image * features..][..features];
        let patch = Patch::new(x, op.padding(), strip.y, column * TILE);
        assert!(tile < v.rows && c <= v.channels);
        for c0 in (0..c).step_by(S::LANES) {
            let n = (c - c0).min(S::LANES);
            let pixel =
                |i: usize, j: usize| image.as_ptr().wrapping_add(patch.pixel(i, j) * c + c0);
            let put = |i: usize, j: usize, point: S::V| {
                // SAFETY: `v` has the tile, and its channels are whole vectors; no other job has
                // this tile's strip.
                unsafe { v.put(s, i * PATCH + j, tile, c0, point) }
            };
            if patch.inside() && n == S::LANES {
                // SAFETY: all pixels lie in the image, and so do the `n` channels from `c0` on.
                two_of_size::<Input<F>, HalfInput<F>, HALF_H, HALF_W, _, _, _, _, _>(
                    s,
                    |i, j| unsafe { F::load(s, pixel(i, j)) },
                    put,
                );
            } else {
                // A choice of address instead of a branch.
                let zeros = [F::Number::zeroed(); MAX_LANES];
                let get = |i: usize, j: usize| {
                    let pixel = if patch.has(i, j) { pixel(i, j) } else { zeros.as_ptr() };
                    // SAFETY: the pixel has `n` channels from `c0` on, or they are `zeros`.
                    unsafe { F::load_first(s, pixel, n) }
                };
                two_of_size::<Input<F>, HalfInput<F>, HALF_H, HALF_W, _, _, _, _, _>(s, get, put);
            }
        }
    }
}

/// `dx += B dV Bᵀ` for some strips and some channels.
///
/// Tiles come in row-major order, so it is known which contribution to a pixel is the first, and
/// that one overwrites what was there.
pub(super) struct PutInputGradient<'a, F: Interpolation> {
    pub(super) block: Block<'a>,
    /// The strips of the block to do.
    pub(super) strips: Range<usize>,
    /// The channels to do: whole vectors, or up to the last.
    pub(super) channels: Range<usize>,
    pub(super) dv: Points<'a>,
    /// From image `first_image` on.
    pub(super) dx: Shared<'a, F::Number>,
    pub(super) first_image: usize,
}

impl<F: Interpolation> Kernel for PutInputGradient<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        each_tile(s, self.block, self.strips.clone(), &mut self);
    }
}

impl<F: Interpolation> TileWork for PutInputGradient<'_, F> {
    #[inline(always)]
    fn tile<S: Simd, const HALF_H: bool, const HALF_W: bool>(
        &mut self,
        s: S,
        strip: &Strip,
        column: usize,
        tile: usize,
    ) {
        // Copies: see above.
        let (Block { op, x, .. }, dv) = (self.block, self.dv);
        let c = x.c;
        let features = c * x.h * x.w;
        let image = (strip.image - self.first_image) * features;
        assert!(image + features <= self.dx.len());
        let dx = self.dx.at(image);
        let patch = Patch::new(x, op.padding(), strip.y, column * TILE);
        let Range { start, end } = self.channels;
        assert!(end <= c && c <= dv.channels && tile < dv.rows);
        for c0 in (start..end).step_by(S::LANES) {
            let n = (end - c0).min(S::LANES);
            let pixel = |i: usize, j: usize| dx.wrapping_add(patch.pixel(i, j) * c + c0);
            // SAFETY: `dv` has the tile, and its channels are whole vectors.
            let get = |i: usize, j: usize| unsafe { s.load(dv.at(i * PATCH + j, tile, c0)) };
            // In both cases: no other job has these channels of the image.
            if patch.inside() && patch.has_neighbours() && n == S::LANES {
                // What is shared is known at compile time.
                two_of_size::<InputGradient<F>, HalfInputGradient<F>, HALF_H, HALF_W, _, _, _, _, _>(
                    s,
                    get,
                    |i, j, g| {
                        let pixel = pixel(i, j);
                        // SAFETY: all pixels lie in the image, and so do the `n` channels from `c0` on.
                        unsafe {
                            let shared = i < PATCH - TILE || j < PATCH - TILE;
                            F::store(
                                s,
                                pixel,
                                if shared { s.add(F::load(s, pixel), g) } else { g },
                            );
                        }
                    },
                );
            } else {
                // Choices of address instead of branches.
                let zeros = [F::Number::zeroed(); MAX_LANES];
                let mut nowhere = zeros;
                two_of_size::<InputGradient<F>, HalfInputGradient<F>, HALF_H, HALF_W, _, _, _, _, _>(
                    s,
                    get,
                    |i, j, g| {
                        let pixel =
                            if patch.has(i, j) { pixel(i, j) } else { nowhere.as_mut_ptr() };
                        let before = if patch.is_shared(i, j) { pixel } else { zeros.as_ptr() };
                        // SAFETY: the pixel has `n` channels from `c0` on; `zeros` and `nowhere` have
                        // room for a vector.
                        unsafe {
                            F::store_first(s, pixel, n, s.add(F::load_first(s, before, n), g))
                        };
                    },
                );
            }
        }
    }
}
