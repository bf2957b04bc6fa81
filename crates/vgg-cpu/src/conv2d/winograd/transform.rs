//! How a linear map of a few numbers is applied to tiles, on vectors of channels.

use crate::simd::Simd;

/// Side of an output tile.
pub(super) const TILE: usize = 4;
/// Side of the input patch under an output tile, and of the tile's transform.
pub(super) const PATCH: usize = 6;
/// Points of a transformed tile: the number of matrix products.
pub(super) const POINTS: usize = PATCH * PATCH;

/// A linear map from `I` to `O` numbers, applied to vectors of channels.
pub(super) trait Transform<const I: usize, const O: usize> {
    /// The places of its inputs: of the six points, a half tile has four.
    const FROM: [usize; I];
    /// The places of its outputs.
    const TO: [usize; O];

    /// Applies the map's matrix M: `M x`.
    fn one<S: Simd>(s: S, x: [S::V; I]) -> [S::V; O];
}

/// Applies a map M to columns, then a map N to rows: `M x Nᵀ`. Numbers come from `get(i, j)` and go
/// to `put(i, j, y)`.
///
/// This takes some rows of the result at a time, as many as leave what lies between the two steps
/// in registers: reading numbers twice costs less than spilling them.
#[inline(always)]
pub(super) fn two<M, N, S, const I: usize, const O: usize, const J: usize, const P: usize>(
    s: S,
    get: impl Fn(usize, usize) -> S::V,
    mut put: impl FnMut(usize, usize, S::V),
) where
    M: Transform<I, O>,
    N: Transform<J, P>,
    S: Simd,
{
    // Constants: after inlining one arm is left.
    match (S::LANES, O) {
        (16, 6) => {
            rows::<M, N, S, I, O, J, P, 0, 3>(s, &get, &mut put);
            rows::<M, N, S, I, O, J, P, 3, 3>(s, &get, &mut put);
        }
        (_, 6) => {
            rows::<M, N, S, I, O, J, P, 0, 2>(s, &get, &mut put);
            rows::<M, N, S, I, O, J, P, 2, 2>(s, &get, &mut put);
            rows::<M, N, S, I, O, J, P, 4, 2>(s, &get, &mut put);
        }
        (_, 4) => {
            rows::<M, N, S, I, O, J, P, 0, 2>(s, &get, &mut put);
            rows::<M, N, S, I, O, J, P, 2, 2>(s, &get, &mut put);
        }
        _ => rows::<M, N, S, I, O, J, P, 0, O>(s, &get, &mut put),
    }
}

/// [`two`] with a map M, or with its twin H in the directions in which a tile is half.
#[inline(always)]
pub(super) fn two_of_size<
    M: Transform<I, O>,
    H: Transform<J, P>,
    const HALF_H: bool,
    const HALF_W: bool,
    S: Simd,
    const I: usize,
    const O: usize,
    const J: usize,
    const P: usize,
>(
    s: S,
    get: impl Fn(usize, usize) -> S::V,
    put: impl FnMut(usize, usize, S::V),
) {
    match (HALF_H, HALF_W) {
        (false, false) => two::<M, M, _, _, _, _, _>(s, get, put),
        (false, true) => two::<M, H, _, _, _, _, _>(s, get, put),
        (true, false) => two::<H, M, _, _, _, _, _>(s, get, put),
        (true, true) => two::<H, H, _, _, _, _, _>(s, get, put),
    }
}

/// Rows `FIRST .. FIRST + ROWS` of `M x Nᵀ`.
#[inline(always)]
fn rows<
    M: Transform<I, O>,
    N: Transform<J, P>,
    S: Simd,
    const I: usize,
    const O: usize,
    const J: usize,
    const P: usize,
    const FIRST: usize,
    const ROWS: usize,
>(
    s: S,
    get: &impl Fn(usize, usize) -> S::V,
    put: &mut impl FnMut(usize, usize, S::V),
) {
    let zero = s.splat(0.0);
    let mut between = [[zero; J]; ROWS];
    for j in 0..J {
        let mut column = [zero; I];
        for i in 0..I {
            column[i] = get(M::FROM[i], N::FROM[j]);
        }
        // Of the column only these rows are used; the rest is never computed.
        let column = M::one(s, column);
        for r in 0..ROWS {
            between[r][j] = column[FIRST + r];
        }
    }
    for r in 0..ROWS {
        let row = N::one(s, between[r]);
        for j in 0..P {
            put(M::TO[FIRST + r], N::TO[j], row[j]);
        }
    }
}
