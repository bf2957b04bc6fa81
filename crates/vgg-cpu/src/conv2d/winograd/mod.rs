//! 3×3 convolutions by Winograd's F(4×4, 3×3), with channels innermost.
//!
//! The output is tiled by 4×4. For a block of tiles that stays in the cache, each point of the
//! transformed tiles is a small matrix product over the channels:
//! - forward: `V = Bᵀ x B`, `M[p] = V[p] · U[p]` with the filters' transform U, `y = Aᵀ M A` and the
//!   epilogue ([`forward`]);
//! - backward, in one pass: V again, `dM = A dy Aᵀ` straight from the pooled gradient and `aux`,
//!   `dU[p] += V[p]ᵀ · dM[p]`, `dV[p] = dM[p] · U[p]ᵀ`, `dx += B dV Bᵀ` ([`backward`]).

mod ahead;
mod backward;
mod filters;
mod forward;
mod patch;
mod transform;

use std::ops::Range;

use vgg_tensor::spec::Conv2d;

use super::strips::Strips;
use crate::buffer::LINE;
use crate::simd::{MAX_LANES, Simd};
use ahead::Ahead;
use patch::Patch;
use transform::{Input, PATCH, POINTS, TILE, Transform};

pub(super) use backward::backward;
pub(super) use forward::forward;

/// Sizes that follow from the spec, the vector length and how many tiles are in a block.
#[derive(Clone, Copy)]
struct Geometry {
    /// Tiles of a row of tiles.
    tiles_w: usize,
    /// Channels of the input and output, rounded up to whole vectors.
    c_in: usize,
    c_out: usize,
    /// Tiles of a block.
    tiles: usize,
    /// Numbers from one point's tiles to the next's, for the input's and the output's channels. An
    /// odd number of cache lines, so that the points do not compete for the same cache sets.
    v_point: usize,
    m_point: usize,
}

impl Geometry {
    fn new(op: &Conv2d, lanes: usize, tile_rows: usize) -> Self {
        let (c_in, c_out) = (op.x().c.next_multiple_of(lanes), op.c_out().next_multiple_of(lanes));
        let tiles_w = op.conv_y().w.div_ceil(TILE);
        let tiles = tile_rows * tiles_w;
        let point = |c: usize| (tiles * c).next_multiple_of(2 * LINE) + LINE;
        Self { tiles_w, c_in, c_out, tiles, v_point: point(c_in), m_point: point(c_out) }
    }

    /// Rows of tiles that make a block of a good size: its transforms stay in the second-level
    /// cache, but there are enough tiles to pay for reading the filters.
    fn tile_rows_per_block(op: &Conv2d) -> usize {
        const CACHE: usize = 128 << 10; // numbers
        const ENOUGH: usize = 48;
        let tiles_w = op.conv_y().w.div_ceil(TILE);
        let tiles = (CACHE / (POINTS * (op.x().c + op.c_out()))).max(ENOUGH);
        (tiles / tiles_w).max(1)
    }
}

/// The part of x that a block of strips reads and the one before it did not.
#[inline(always)]
fn new_input<'a>(op: &Conv2d, strips: Strips, block: Range<usize>, x: &'a [f32]) -> &'a [f32] {
    let row = op.x().w * op.x().c;
    let start = |strip: usize| {
        let (image, y) = strips.locate(strip);
        let y = y + PATCH - TILE - op.padding();
        (image * op.x().features() + y * row).min(x.len())
    };
    &x[start(block.start)..start(block.end)]
}

/// The input patch under a tile, transformed to the points: `V = Bᵀ x B` for all channels.
///
/// `image` is one image. Point `p` of channel `c` goes to `v[p · v_point + c]`; channels beyond the
/// last become zero.
#[inline(always)]
fn transform_input<S: Simd>(
    s: S,
    op: &Conv2d,
    geometry: &Geometry,
    image: &[f32],
    patch: Patch,
    v: &mut [f32],
) {
    let c = op.x().c;
    assert!(image.len() == op.x().features());
    assert!(v.len() >= (POINTS - 1) * geometry.v_point + geometry.c_in);
    for c0 in (0..c).step_by(S::LANES) {
        let n = (c - c0).min(S::LANES);
        let pixel = |i: usize, j: usize| image.as_ptr().wrapping_add(patch.pixel(i, j) * c + c0);
        let put = |i: usize, j: usize, point: S::V| {
            // SAFETY: `v` has room for `c_in` channels at every point, and `c_in` is `c` rounded
            // up to whole vectors.
            unsafe { s.store(v.as_mut_ptr().add((i * PATCH + j) * geometry.v_point + c0), point) }
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

/// The first `n` numbers at `p`.
///
/// # Safety
/// As [`Simd::load_first`].
#[inline(always)]
unsafe fn load<S: Simd>(s: S, p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller's promise. Whole vectors are faster without a mask.
    unsafe { if n == S::LANES { s.load(p) } else { s.load_first(p, n) } }
}

/// Stores the first `n` lanes at `p`.
///
/// # Safety
/// As [`Simd::store_first`].
#[inline(always)]
unsafe fn store<S: Simd>(s: S, p: *mut f32, n: usize, v: S::V) {
    // SAFETY: the caller's promise. Whole vectors are faster without a mask.
    unsafe { if n == S::LANES { s.store(p, v) } else { s.store_first(p, n, v) } }
}
