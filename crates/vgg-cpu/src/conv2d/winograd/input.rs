//! The input's side of the products: x to the points, and the points' gradients back to dx.

use std::ops::Range;

use super::block::Block;
use super::points::{Points, Shared};
use super::transform::{Input, InputGradient, PATCH, TILE, Transform};
use super::{Patch, load, store};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// `V = Bᵀ x B` for some rows of tiles.
pub(super) struct TransformInput<'a> {
    pub(super) block: Block<'a>,
    /// The rows of the block to do.
    pub(super) rows: Range<usize>,
    pub(super) x: &'a [f32],
    /// Of the whole block; rows that are not done are not touched.
    pub(super) v: Points<'a>,
}

impl Kernel for TransformInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let features = self.block.op.x().features();
        for row in self.rows.clone() {
            let (image, y) = self.block.strips.locate(row);
            let image = &self.x[image * features..][..features];
            for column in 0..self.block.tiles_w {
                let patch = Patch::new(self.block.op, y, column * TILE);
                self.tile(s, image, patch, self.block.tile(row) + column);
            }
        }
        self.v.flush(s);
    }
}

impl TransformInput<'_> {
    /// Channels beyond the last become zero.
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, image: &[f32], patch: Patch, tile: usize) {
        let c = self.block.op.x().c;
        assert!(tile < self.v.rows && c <= self.v.channels);
        for c0 in (0..c).step_by(S::LANES) {
            let n = (c - c0).min(S::LANES);
            let pixel =
                |i: usize, j: usize| image.as_ptr().wrapping_add(patch.pixel(i, j) * c + c0);
            let put = |i: usize, j: usize, point: S::V| {
                // SAFETY: `v` has the tile, and its channels are whole vectors; no other job has
                // this tile's row of the block.
                unsafe { self.v.put(s, i * PATCH + j, tile, c0, point) }
            };
            if patch.inside() && n == S::LANES {
                // SAFETY: all pixels lie in the image, and so do the `n` channels from `c0` on.
                Input::two(s, |i, j| unsafe { s.load(pixel(i, j)) }, put);
            } else {
                // A choice of address instead of a branch.
                let zeros = [0.0; MAX_LANES];
                let get = |i: usize, j: usize| {
                    let pixel = if patch.has(i, j) { pixel(i, j) } else { zeros.as_ptr() };
                    // SAFETY: the pixel has `n` channels from `c0` on, or they are `zeros`.
                    unsafe { load(s, pixel, n) }
                };
                Input::two(s, get, put);
            }
        }
    }
}

/// `dx += B dV Bᵀ` for some rows of tiles and some channels.
///
/// Tiles come in row-major order, so it is known which contribution to a pixel is the first, and
/// that one overwrites what was there.
pub(super) struct PutInputGradient<'a> {
    pub(super) block: Block<'a>,
    /// The rows of the block to do.
    pub(super) rows: Range<usize>,
    /// The channels to do: whole vectors, or up to the last.
    pub(super) channels: Range<usize>,
    pub(super) dv: Points<'a>,
    /// From image `first_image` on.
    pub(super) dx: Shared<'a>,
    pub(super) first_image: usize,
}

impl Kernel for PutInputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block { op, strips, tiles_w, .. } = self.block;
        let features = op.x().features();
        for row in self.rows.clone() {
            let (image, y) = strips.locate(row);
            let start = (image - self.first_image) * features;
            assert!(start + features <= self.dx.len());
            for column in 0..tiles_w {
                let patch = Patch::new(op, y, column * TILE);
                self.tile(s, self.block.tile(row) + column, patch, self.dx.at(start));
            }
        }
    }
}

impl PutInputGradient<'_> {
    /// One tile's patch of the image at `dx`.
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: usize, patch: Patch, dx: *mut f32) {
        let c = self.block.op.x().c;
        let Range { start, end } = self.channels;
        assert!(end <= c && c <= self.dv.channels && tile < self.dv.rows);
        for c0 in (start..end).step_by(S::LANES) {
            let n = (end - c0).min(S::LANES);
            let pixel = |i: usize, j: usize| dx.wrapping_add(patch.pixel(i, j) * c + c0);
            // SAFETY: `dv` has the tile, and its channels are whole vectors.
            let get = |i: usize, j: usize| unsafe { s.load(self.dv.at(i * PATCH + j, tile, c0)) };
            // In both cases: no other job has these channels of the image.
            if patch.inside() && patch.has_neighbours() && n == S::LANES {
                // What is shared is known at compile time.
                InputGradient::two(s, get, |i, j, g| {
                    let pixel = pixel(i, j);
                    // SAFETY: all pixels lie in the image, and so do the `n` channels from `c0` on.
                    unsafe {
                        let shared = i < PATCH - TILE || j < PATCH - TILE;
                        s.store(pixel, if shared { s.add(s.load(pixel), g) } else { g });
                    }
                });
            } else {
                // Choices of address instead of branches.
                let zeros = [0.0; MAX_LANES];
                let mut nowhere = [0.0; MAX_LANES];
                InputGradient::two(s, get, |i, j, g| {
                    let pixel = if patch.has(i, j) { pixel(i, j) } else { nowhere.as_mut_ptr() };
                    let before = if patch.is_shared(i, j) { pixel } else { zeros.as_ptr() };
                    // SAFETY: the pixel has `n` channels from `c0` on; `zeros` and `nowhere` have
                    // room for a vector.
                    unsafe { store(s, pixel, n, s.add(load(s, before, n), g)) };
                });
            }
        }
    }
}
