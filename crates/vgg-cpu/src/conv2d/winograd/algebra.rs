//! The algebra of Winograd's F(4×4, 3×3): a 4×4 tile of outputs from a 6×6 patch of inputs with 36
//! multiplications instead of 144.
//!
//! With `Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A`, the forward pass applies [`Input`] to x, [`Filter`] to w,
//! multiplies point by point, summing over channels, and applies [`Output`]. The gradients are the
//! same bilinear form, differentiated: [`OutputGradient`] (A) takes dy to the 36 points, where it
//! meets the transformed x or w; [`InputGradient`] (B) and [`FilterGradient`] (Gᵀ) lead back.
//!
//! Interpolation points 0, 1, −1, 2, −2 and ∞. Source: Lavin and Gray, "Fast algorithms for
//! convolutional neural networks" (arXiv 1509.09308), section 4.
//!
//! Where an edge leaves a tile with one or two outputs, F(2, 3) does, which has the points 0, 1, −1
//! and ∞ alone. Its G is that of F(4, 3) but for factors, 4, −3, −3 and 1, which can be Bᵀ's as
//! well: so the same transformed filters serve whole and half tiles.

use super::transform::{PATCH, Transform};
use crate::simd::Simd;

/// The points that a half tile has.
pub(super) const HALF_POINTS: [usize; 4] = [0, 1, 2, 5];

/// Where neighbours lie.
const IN_ORDER: [usize; PATCH] = [0, 1, 2, 3, 4, 5];

/// The first `N` of the places in order.
const fn first<const N: usize>() -> [usize; N] {
    let mut places = [0; N];
    places.copy_from_slice(IN_ORDER.split_at(N).0);
    places
}

/// G: a filter to the points.
pub(super) struct Filter;
/// Gᵀ: the points' gradients to a filter's gradient.
pub(super) struct FilterGradient;

/// Bᵀ: a patch of inputs to the points.
pub(super) struct Input;
/// Aᵀ: the points to a tile of outputs.
pub(super) struct Output;
/// B: the points' gradients to a patch of input gradients.
pub(super) struct InputGradient;
/// A: a tile of output gradients to the points.
pub(super) struct OutputGradient;

/// [`Input`] of a half tile.
pub(super) struct HalfInput;
/// [`Output`] of a half tile.
pub(super) struct HalfOutput;
/// [`InputGradient`] of a half tile.
pub(super) struct HalfInputGradient;
/// [`OutputGradient`] of a half tile.
pub(super) struct HalfOutputGradient;

impl Transform<3, 6> for Filter {
    const FROM: [usize; 3] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [w0, w1, w2]: [S::V; 3]) -> [S::V; 6] {
        let [quarter, sixth, minus_sixth, twelfth, minus_twelfth, twenty_fourth] =
            [1.0 / 4.0, 1.0 / 6.0, -1.0 / 6.0, 1.0 / 12.0, -1.0 / 12.0, 1.0 / 24.0]
                .map(|c| s.splat(c));
        let even = s.mul(minus_sixth, s.add(w0, w2));
        let even2 = s.mul_add(twenty_fourth, w0, s.mul(sixth, w2));
        [
            s.mul(quarter, w0),
            s.mul_add(minus_sixth, w1, even),
            s.mul_add(sixth, w1, even),
            s.mul_add(twelfth, w1, even2),
            s.mul_add(minus_twelfth, w1, even2),
            w2,
        ]
    }
}

impl Transform<6, 3> for FilterGradient {
    const FROM: [usize; 6] = first();
    const TO: [usize; 3] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [u0, u1, u2, u3, u4, u5]: [S::V; 6]) -> [S::V; 3] {
        let [quarter, sixth, minus_sixth, twelfth, twenty_fourth] =
            [1.0 / 4.0, 1.0 / 6.0, -1.0 / 6.0, 1.0 / 12.0, 1.0 / 24.0].map(|c| s.splat(c));
        let (sum, difference) = (s.add(u1, u2), s.sub(u2, u1));
        let (sum2, difference2) = (s.add(u3, u4), s.sub(u3, u4));
        [
            s.mul_add(quarter, u0, s.mul_add(minus_sixth, sum, s.mul(twenty_fourth, sum2))),
            s.mul_add(sixth, difference, s.mul(twelfth, difference2)),
            s.mul_add(minus_sixth, sum, s.mul_add(sixth, sum2, u5)),
        ]
    }
}

impl Transform<6, 6> for Input {
    const FROM: [usize; 6] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [x0, x1, x2, x3, x4, x5]: [S::V; 6]) -> [S::V; 6] {
        let [two, minus_two, four, minus_four, minus_five] =
            [2.0, -2.0, 4.0, -4.0, -5.0].map(|c| s.splat(c));
        let even = s.mul_add(minus_four, x2, x4);
        let odd = s.mul_add(minus_four, x1, x3);
        let even2 = s.sub(x4, x2);
        let odd2 = s.sub(x3, x1);
        [
            s.mul_add(four, x0, s.mul_add(minus_five, x2, x4)),
            s.add(even, odd),
            s.sub(even, odd),
            s.mul_add(two, odd2, even2),
            s.mul_add(minus_two, odd2, even2),
            s.mul_add(four, x1, s.mul_add(minus_five, x3, x5)),
        ]
    }
}

impl Transform<6, 4> for Output {
    const FROM: [usize; 6] = first();
    const TO: [usize; 4] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; 6]) -> [S::V; 4] {
        let [two, four, eight] = [2.0, 4.0, 8.0].map(|c| s.splat(c));
        let (sum, difference) = (s.add(m1, m2), s.sub(m1, m2));
        let (sum2, difference2) = (s.add(m3, m4), s.sub(m3, m4));
        [
            s.add(s.add(m0, sum), sum2),
            s.mul_add(two, difference2, difference),
            s.mul_add(four, sum2, sum),
            s.mul_add(eight, difference2, s.add(difference, m5)),
        ]
    }
}

impl Transform<6, 6> for InputGradient {
    const FROM: [usize; 6] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [v0, v1, v2, v3, v4, v5]: [S::V; 6]) -> [S::V; 6] {
        let [two, minus_two, four, minus_four, minus_five] =
            [2.0, -2.0, 4.0, -4.0, -5.0].map(|c| s.splat(c));
        let (sum, difference) = (s.add(v1, v2), s.sub(v1, v2));
        let (sum2, difference2) = (s.add(v3, v4), s.sub(v3, v4));
        [
            s.mul(four, v0),
            s.mul_add(four, s.sub(v5, difference), s.mul(minus_two, difference2)),
            s.mul_add(minus_five, v0, s.mul_add(minus_four, sum, s.sub(s.splat(0.0), sum2))),
            s.mul_add(two, difference2, s.mul_add(minus_five, v5, difference)),
            s.add(s.add(v0, sum), sum2),
            v5,
        ]
    }
}

impl Transform<4, 6> for OutputGradient {
    const FROM: [usize; 4] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [y0, y1, y2, y3]: [S::V; 4]) -> [S::V; 6] {
        let [two, four] = [2.0, 4.0].map(|c| s.splat(c));
        let (even, odd) = (s.add(y0, y2), s.add(y1, y3));
        let even2 = s.mul_add(four, y2, y0);
        let odd2 = s.mul(two, s.mul_add(four, y3, y1));
        [y0, s.add(even, odd), s.sub(even, odd), s.add(even2, odd2), s.sub(even2, odd2), y3]
    }
}

impl Transform<4, 4> for HalfInput {
    const FROM: [usize; 4] = first();
    const TO: [usize; 4] = HALF_POINTS;

    #[inline(always)]
    fn one<S: Simd>(s: S, [x0, x1, x2, x3]: [S::V; 4]) -> [S::V; 4] {
        let [three, minus_three, four] = [3.0, -3.0, 4.0].map(|c| s.splat(c));
        [
            s.mul(four, s.sub(x0, x2)),
            s.mul(minus_three, s.add(x1, x2)),
            s.mul(three, s.sub(x1, x2)),
            s.sub(x3, x1),
        ]
    }
}

impl Transform<4, 2> for HalfOutput {
    const FROM: [usize; 4] = HALF_POINTS;
    const TO: [usize; 2] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [m0, m1, m2, m5]: [S::V; 4]) -> [S::V; 2] {
        [s.add(m0, s.add(m1, m2)), s.add(s.sub(m1, m2), m5)]
    }
}

impl Transform<4, 4> for HalfInputGradient {
    const FROM: [usize; 4] = HALF_POINTS;
    const TO: [usize; 4] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [v0, v1, v2, v5]: [S::V; 4]) -> [S::V; 4] {
        let [minus_three, four, minus_four] = [-3.0, 4.0, -4.0].map(|c| s.splat(c));
        [
            s.mul(four, v0),
            s.sub(s.mul(minus_three, s.sub(v1, v2)), v5),
            s.mul_add(minus_four, v0, s.mul(minus_three, s.add(v1, v2))),
            v5,
        ]
    }
}

impl Transform<2, 4> for HalfOutputGradient {
    const FROM: [usize; 2] = first();
    const TO: [usize; 4] = HALF_POINTS;

    #[inline(always)]
    fn one<S: Simd>(s: S, [y0, y1]: [S::V; 2]) -> [S::V; 4] {
        [y0, s.add(y0, y1), s.sub(y0, y1), y1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::winograd::transform::TILE;
    use crate::simd::Scalar;

    const B_T: [[f64; PATCH]; PATCH] = [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ];
    const G: [[f64; 3]; PATCH] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    const A_T: [[f64; PATCH]; TILE] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ];
    const HALF_B_T: [[f64; 4]; PATCH] = [
        [4.0, 0.0, -4.0, 0.0],
        [0.0, -3.0, -3.0, 0.0],
        [0.0, 3.0, -3.0, 0.0],
        [0.0; 4],
        [0.0; 4],
        [0.0, -1.0, 0.0, 1.0],
    ];
    const HALF_A_T: [[f64; PATCH]; 2] =
        [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0, 0.0, 1.0]];

    /// The matrices do what they promise: `Y = Aᵀ [(G w) ⊙ (Bᵀ x)]` is the convolution, exactly.
    fn check_algorithm<const I: usize, const O: usize>(
        a_t: [[f64; PATCH]; O],
        b_t: [[f64; I]; PATCH],
    ) {
        for k in 0..3 {
            for i in 0..I {
                for y in 0..O {
                    let sum: f64 = (0..PATCH).map(|p| a_t[y][p] * G[p][k] * b_t[p][i]).sum();
                    let expected = if i == y + k { 1.0 } else { 0.0 };
                    assert!((sum - expected).abs() < 1e-12, "output {y}, input {i}, tap {k}");
                }
            }
        }
    }

    #[test]
    fn the_algorithms_convolve() {
        check_algorithm(A_T, B_T);
        check_algorithm(HALF_A_T, HALF_B_T);
    }

    /// A hand-written map is its matrix, column by column, and that is zero elsewhere.
    fn check<T: Transform<I, O>, const I: usize, const O: usize>(
        _: T,
        rows: usize,
        columns: usize,
        matrix: impl Fn(usize, usize) -> f64,
    ) {
        let mut expected = [[0.0; PATCH]; PATCH];
        for (o, i) in (0..rows).flat_map(|o| (0..columns).map(move |i| (o, i))) {
            expected[o][i] = matrix(o, i) as f32;
        }
        let mut found = [[0.0; PATCH]; PATCH];
        for i in 0..I {
            let mut unit = [Scalar.splat(0.0); I];
            unit[i] = Scalar.splat(1.0);
            for (o, column) in T::one(Scalar, unit).iter().enumerate() {
                found[T::TO[o]][T::FROM[i]] = column[0];
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn maps_are_their_matrices() {
        check(Filter, 6, 3, |o, i| G[o][i]);
        check(FilterGradient, 3, 6, |o, i| G[i][o]);
        check(Input, 6, 6, |o, i| B_T[o][i]);
        check(Output, 4, 6, |o, i| A_T[o][i]);
        check(InputGradient, 6, 6, |o, i| B_T[i][o]);
        check(OutputGradient, 6, 4, |o, i| A_T[i][o]);
        check(HalfInput, 6, 4, |o, i| HALF_B_T[o][i]);
        check(HalfOutput, 2, 6, |o, i| HALF_A_T[o][i]);
        check(HalfInputGradient, 4, 6, |o, i| HALF_B_T[i][o]);
        check(HalfOutputGradient, 6, 2, |o, i| HALF_A_T[i][o]);
    }
}
