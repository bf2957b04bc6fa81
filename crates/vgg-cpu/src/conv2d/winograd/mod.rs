//! 3×3 convolutions by Winograd's F(4×4, 3×3), with channels innermost.
//!
//! The output is tiled by 4×4. For a block of tiles that stays in the cache, each point of the
//! transformed tiles is a small matrix product over the channels:
//! - forward: `V = Bᵀ x B`, `M[p] = V[p] · U[p]` with the filters' transform U, `y = Aᵀ M A` and the
//!   epilogue ([`forward`]);
//! - backward, in one pass: V again, `dM = A dy Aᵀ` straight from the pooled gradient and `aux`,
//!   `dU[p] += V[p]ᵀ · dM[p]`, `dV[p] = dM[p] · U[p]ᵀ`, `dx += B dV Bᵀ` ([`backward`]).

mod backward;
mod filters;
mod forward;
mod transform;

use vgg_tensor::spec::Conv2d;

use crate::buffer::LINE;
use crate::simd::Simd;
use transform::{PATCH, POINTS, TILE};

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

/// The input patch under a tile, transformed to the points: `V = Bᵀ x B` for all channels.
///
/// `image` is one image, `(y, x)` the patch's first pixel, which padding may put outside of it.
/// Point `p` of channel `c` goes to `v[p · v_point + c]`; channels beyond the last become zero.
#[inline(always)]
fn transform_input<S: Simd>(
    s: S,
    op: &Conv2d,
    geometry: &Geometry,
    image: &[f32],
    (y, x): (isize, isize),
    v: &mut [f32],
) {
    use transform::{Input, Transform};

    let (h, w, c) = (op.x().h as isize, op.x().w as isize, op.x().c);
    assert!(image.len() == op.x().features());
    assert!(v.len() >= (POINTS - 1) * geometry.v_point + geometry.c_in);
    let side = PATCH as isize;
    let inside = y >= 0 && x >= 0 && y + side <= h && x + side <= w;
    for c0 in (0..c).step_by(S::LANES) {
        let n = (c - c0).min(S::LANES);
        let put = |i: usize, j: usize, point: S::V| {
            // SAFETY: `v` has room for `c_in` channels at every point, and `c_in` is `c` rounded
            // up to whole vectors.
            unsafe { s.store(v.as_mut_ptr().add((i * PATCH + j) * geometry.v_point + c0), point) }
        };
        if inside && n == S::LANES {
            let corner = (y * w + x) as usize * c + c0;
            // SAFETY: the patch lies in the image, and so do the `n` channels from `c0` on.
            let get = |i: usize, j: usize| unsafe {
                s.load(image.as_ptr().add(corner + (i * w as usize + j) * c))
            };
            Input::two(s, get, put);
        } else {
            let mut patch = [[s.splat(0.0); PATCH]; PATCH];
            for i in 0..PATCH {
                for j in 0..PATCH {
                    let (y, x) = (y + i as isize, x + j as isize);
                    if (0..h).contains(&y) && (0..w).contains(&x) {
                        // SAFETY: the pixel lies in the image, and so do the `n` channels.
                        patch[i][j] = unsafe {
                            s.load_first(image.as_ptr().add((y * w + x) as usize * c + c0), n)
                        };
                    }
                }
            }
            Input::two(s, |i, j| patch[i][j], put);
        }
    }
}
