//! The algebra of Winograd's F(4×4, 3×3): a 4×4 tile of outputs from a 6×6 patch of inputs with 36
//! multiplications instead of 144.
//!
//! With `Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A`, the forward pass applies [`Input`] to x, [`Filter`] to w,
//! multiplies point by point, summing over channels, and applies [`Output`]. The gradients are the
//! same bilinear form, differentiated: [`OutputGradient`] (A) takes dy to the 36 points, where it
//! meets the transformed x or w; [`InputGradient`] (B) and [`FilterGradient`] (Gᵀ) lead back.
//!
//! Interpolation points 0, a, −a, b, −b and ∞, as [`Interpolation`] has them. Source: Lavin and Gray, "Fast
//! algorithms for convolutional neural networks" (arXiv 1509.09308), section 4, for a = 1 and b = 2.
//!
//! Where an edge leaves a tile with one or two outputs, F(2, 3) does, which has the points 0, a, −a
//! and ∞ alone. Its G is that of F(4, 3) but for factors, b², a² − b², a² − b² and 1, which can be Bᵀ's as
//! well: so the same transformed filters serve whole and half tiles.

use std::marker::PhantomData;

use super::transform::{PATCH, Transform};
use crate::format::{Bf16, F32, Format};
use crate::simd::Simd;

/// The points, by what the numbers at them are rounded to.
pub(crate) trait Interpolation: Format {
    const A: f64;
    const B: f64;
}

impl Interpolation for F32 {
    // The cheapest: many factors are 1.
    const A: f64 = 1.0;
    const B: f64 = 2.0;
}

impl Interpolation for Bf16 {
    // Of ±1, ±1/2, ±2/3, ±3/4 and their reciprocals, the four points that leave least of the rounding in the
    // sums: 1.0 % of their size in the root mean square, where 1 and 2 leave 2.3 %.
    const A: f64 = 2.0 / 3.0;
    const B: f64 = 3.0 / 2.0;
}

/// What G multiplies the powers of 0, ±a and ±b by: one over the product of a point's differences from the
/// others.
#[inline(always)]
fn weights<F: Interpolation>() -> [f64; 3] {
    let (a, b) = (F::A * F::A, F::B * F::B);
    [1.0 / (a * b), 1.0 / (2.0 * a * (a - b)), 1.0 / (2.0 * b * (b - a))]
}

/// All lanes a number.
#[inline(always)]
fn all<S: Simd>(s: S, x: f64) -> S::V {
    s.splat(x as f32)
}

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
pub(super) struct Filter<F>(PhantomData<F>);
/// Gᵀ: the points' gradients to a filter's gradient.
pub(super) struct FilterGradient<F>(PhantomData<F>);

/// Bᵀ: a patch of inputs to the points.
pub(super) struct Input<F>(PhantomData<F>);
/// Aᵀ: the points to a tile of outputs.
pub(super) struct Output<F>(PhantomData<F>);
/// B: the points' gradients to a patch of input gradients.
pub(super) struct InputGradient<F>(PhantomData<F>);
/// A: a tile of output gradients to the points.
pub(super) struct OutputGradient<F>(PhantomData<F>);

/// [`Input`] of a half tile.
pub(super) struct HalfInput<F>(PhantomData<F>);
/// [`Output`] of a half tile.
pub(super) struct HalfOutput<F>(PhantomData<F>);
/// [`InputGradient`] of a half tile.
pub(super) struct HalfInputGradient<F>(PhantomData<F>);
/// [`OutputGradient`] of a half tile.
pub(super) struct HalfOutputGradient<F>(PhantomData<F>);

impl<F: Interpolation> Transform<3, 6> for Filter<F> {
    const FROM: [usize; 3] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [w0, w1, w2]: [S::V; 3]) -> [S::V; 6] {
        let (a, b, [zero, at_a, at_b]) = (F::A, F::B, weights::<F>());
        let even = s.mul(all(s, at_a), s.mul_add(all(s, a * a), w2, w0));
        let even2 = s.mul_add(all(s, at_b), w0, s.mul(all(s, at_b * b * b), w2));
        [
            s.mul(all(s, zero), w0),
            s.mul_add(all(s, at_a * a), w1, even),
            s.mul_add(all(s, -at_a * a), w1, even),
            s.mul_add(all(s, at_b * b), w1, even2),
            s.mul_add(all(s, -at_b * b), w1, even2),
            w2,
        ]
    }
}

impl<F: Interpolation> Transform<6, 3> for FilterGradient<F> {
    const FROM: [usize; 6] = first();
    const TO: [usize; 3] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [u0, u1, u2, u3, u4, u5]: [S::V; 6]) -> [S::V; 3] {
        let (a, b, [zero, at_a, at_b]) = (F::A, F::B, weights::<F>());
        let (sum, difference) = (s.add(u1, u2), s.sub(u2, u1));
        let (sum2, difference2) = (s.add(u3, u4), s.sub(u3, u4));
        let first = s.mul_add(all(s, at_a), sum, s.mul(all(s, at_b), sum2));
        [
            s.mul_add(all(s, zero), u0, first),
            s.mul_add(all(s, -at_a * a), difference, s.mul(all(s, at_b * b), difference2)),
            s.mul_add(all(s, at_a * a * a), sum, s.mul_add(all(s, at_b * b * b), sum2, u5)),
        ]
    }
}

impl<F: Interpolation> Transform<6, 6> for Input<F> {
    const FROM: [usize; 6] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [x0, x1, x2, x3, x4, x5]: [S::V; 6]) -> [S::V; 6] {
        let (a, b) = (F::A, F::B);
        let (product, minus_sum) = (all(s, a * a * b * b), all(s, -a * a - b * b));
        let even = s.mul_add(all(s, -b * b), x2, x4);
        let odd = s.mul_add(all(s, -b * b), x1, x3);
        let even2 = s.mul_add(all(s, -a * a), x2, x4);
        let odd2 = s.mul_add(all(s, -a * a), x1, x3);
        [
            s.mul_add(product, x0, s.mul_add(minus_sum, x2, x4)),
            s.mul_add(all(s, a), odd, even),
            s.mul_add(all(s, -a), odd, even),
            s.mul_add(all(s, b), odd2, even2),
            s.mul_add(all(s, -b), odd2, even2),
            s.mul_add(product, x1, s.mul_add(minus_sum, x3, x5)),
        ]
    }
}

impl<F: Interpolation> Transform<6, 4> for Output<F> {
    const FROM: [usize; 6] = first();
    const TO: [usize; 4] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; 6]) -> [S::V; 4] {
        let (a, b) = (F::A, F::B);
        let (sum, difference) = (s.add(m1, m2), s.sub(m1, m2));
        let (sum2, difference2) = (s.add(m3, m4), s.sub(m3, m4));
        [
            s.add(s.add(m0, sum), sum2),
            s.mul_add(all(s, b), difference2, s.mul(all(s, a), difference)),
            s.mul_add(all(s, b * b), sum2, s.mul(all(s, a * a), sum)),
            s.mul_add(all(s, b * b * b), difference2, s.mul_add(all(s, a * a * a), difference, m5)),
        ]
    }
}

impl<F: Interpolation> Transform<6, 6> for InputGradient<F> {
    const FROM: [usize; 6] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [v0, v1, v2, v3, v4, v5]: [S::V; 6]) -> [S::V; 6] {
        let (a, b) = (F::A, F::B);
        let minus_sum = all(s, -a * a - b * b);
        let (sum, difference) = (s.add(v1, v2), s.sub(v1, v2));
        let (sum2, difference2) = (s.add(v3, v4), s.sub(v3, v4));
        let odd = s.sub(s.mul(all(s, a), v5), difference);
        let minus_sum2 = s.sub(s.splat(0.0), s.mul(all(s, a * a), sum2));
        [
            s.mul(all(s, a * a * b * b), v0),
            s.mul_add(all(s, a * b * b), odd, s.mul(all(s, -a * a * b), difference2)),
            s.mul_add(minus_sum, v0, s.mul_add(all(s, -b * b), sum, minus_sum2)),
            s.mul_add(
                all(s, b),
                difference2,
                s.mul_add(minus_sum, v5, s.mul(all(s, a), difference)),
            ),
            s.add(s.add(v0, sum), sum2),
            v5,
        ]
    }
}

impl<F: Interpolation> Transform<4, 6> for OutputGradient<F> {
    const FROM: [usize; 4] = first();
    const TO: [usize; 6] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [y0, y1, y2, y3]: [S::V; 4]) -> [S::V; 6] {
        let (a, b) = (F::A, F::B);
        let even = s.mul_add(all(s, a * a), y2, y0);
        let odd = s.mul(all(s, a), s.mul_add(all(s, a * a), y3, y1));
        let even2 = s.mul_add(all(s, b * b), y2, y0);
        let odd2 = s.mul(all(s, b), s.mul_add(all(s, b * b), y3, y1));
        [y0, s.add(even, odd), s.sub(even, odd), s.add(even2, odd2), s.sub(even2, odd2), y3]
    }
}

impl<F: Interpolation> Transform<4, 4> for HalfInput<F> {
    const FROM: [usize; 4] = first();
    const TO: [usize; 4] = HALF_POINTS;

    #[inline(always)]
    fn one<S: Simd>(s: S, [x0, x1, x2, x3]: [S::V; 4]) -> [S::V; 4] {
        let (a, b) = (F::A, F::B);
        let difference = a * a - b * b;
        [
            s.mul(all(s, b * b), s.sub(s.mul(all(s, a * a), x0), x2)),
            s.mul(all(s, difference), s.mul_add(all(s, a), x1, x2)),
            s.mul(all(s, -difference), s.sub(s.mul(all(s, a), x1), x2)),
            s.sub(x3, s.mul(all(s, a * a), x1)),
        ]
    }
}

impl<F: Interpolation> Transform<4, 2> for HalfOutput<F> {
    const FROM: [usize; 4] = HALF_POINTS;
    const TO: [usize; 2] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [m0, m1, m2, m5]: [S::V; 4]) -> [S::V; 2] {
        [s.add(m0, s.add(m1, m2)), s.mul_add(all(s, F::A), s.sub(m1, m2), m5)]
    }
}

impl<F: Interpolation> Transform<4, 4> for HalfInputGradient<F> {
    const FROM: [usize; 4] = HALF_POINTS;
    const TO: [usize; 4] = first();

    #[inline(always)]
    fn one<S: Simd>(s: S, [v0, v1, v2, v5]: [S::V; 4]) -> [S::V; 4] {
        let (a, b) = (F::A, F::B);
        let difference = a * a - b * b;
        [
            s.mul(all(s, a * a * b * b), v0),
            s.sub(s.mul(all(s, a * difference), s.sub(v1, v2)), s.mul(all(s, a * a), v5)),
            s.mul_add(all(s, -b * b), v0, s.mul(all(s, difference), s.add(v1, v2))),
            v5,
        ]
    }
}

impl<F: Interpolation> Transform<2, 4> for HalfOutputGradient<F> {
    const FROM: [usize; 2] = first();
    const TO: [usize; 4] = HALF_POINTS;

    #[inline(always)]
    fn one<S: Simd>(s: S, [y0, y1]: [S::V; 2]) -> [S::V; 4] {
        [y0, s.mul_add(all(s, F::A), y1, y0), s.mul_add(all(s, -F::A), y1, y0), y1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::winograd::transform::TILE;
    use crate::simd::Scalar;

    /// The points of each algorithm but ∞: `[0, a, −a, b, −b]`.
    fn points<F: Interpolation>() -> [f64; 5] {
        [0.0, F::A, -F::A, F::B, -F::B]
    }

    /// The coefficients of the polynomial with these roots, the constant one first.
    fn polynomial<const N: usize>(roots: impl Iterator<Item = f64>) -> [f64; N] {
        let mut product = [0.0; N];
        product[0] = 1.0;
        for root in roots {
            for i in (0..N).rev() {
                product[i] = if i > 0 { product[i - 1] } else { 0.0 } - root * product[i];
            }
        }
        product
    }

    /// The product of the differences of a point from others.
    fn differences(point: usize, points: &[f64]) -> f64 {
        let others = points.iter().enumerate().filter(|(i, _)| *i != point);
        others.map(|(_, other)| points[point] - other).product()
    }

    fn b_t<F: Interpolation>() -> [[f64; PATCH]; PATCH] {
        let points = points::<F>();
        let but = |p: usize| points.into_iter().enumerate().filter(move |(i, _)| *i != p);
        std::array::from_fn(|p| polynomial(but(p).map(|(_, root)| root)))
    }

    fn g<F: Interpolation>() -> [[f64; 3]; PATCH] {
        let points = points::<F>();
        std::array::from_fn(|p| match points.get(p) {
            Some(point) => [0, 1, 2].map(|k| point.powi(k) / differences(p, &points)),
            None => [0.0, 0.0, 1.0],
        })
    }

    fn a_t<F: Interpolation, const O: usize>() -> [[f64; PATCH]; O] {
        let points = points::<F>();
        std::array::from_fn(|o| {
            std::array::from_fn(|p| match points.get(p) {
                // Half tiles have no others.
                Some(_) if O == 2 && p > 2 => 0.0,
                Some(point) => point.powi(o as i32),
                None => f64::from(o == O - 1),
            })
        })
    }

    /// Of F(2, 3), with the factors by which its G differs.
    fn half_b_t<F: Interpolation>() -> [[f64; 4]; PATCH] {
        let (all, half) = (points::<F>(), &points::<F>()[..3]);
        let but = |p: usize| half.iter().copied().enumerate().filter(move |(i, _)| *i != p);
        std::array::from_fn(|p| match p {
            0..3 => {
                let factor = differences(p, &all) / differences(p, half);
                polynomial(but(p).map(|(_, root)| root)).map(|x: f64| x * factor)
            }
            5 => polynomial(half.iter().copied()),
            _ => [0.0; 4],
        })
    }

    /// The matrices do what they promise: `Y = Aᵀ [(G w) ⊙ (Bᵀ x)]` is the convolution, exactly.
    fn check_algorithm<F: Interpolation, const I: usize, const O: usize>(b_t: [[f64; I]; PATCH]) {
        let (a_t, g) = (a_t::<F, O>(), g::<F>());
        for k in 0..3 {
            for i in 0..I {
                for y in 0..O {
                    let sum: f64 = (0..PATCH).map(|p| a_t[y][p] * g[p][k] * b_t[p][i]).sum();
                    let expected = if i == y + k { 1.0 } else { 0.0 };
                    assert!((sum - expected).abs() < 1e-12, "output {y}, input {i}, tap {k}");
                }
            }
        }
    }

    #[test]
    fn the_algorithms_convolve() {
        check_algorithm::<F32, 6, TILE>(b_t::<F32>());
        check_algorithm::<F32, 4, 2>(half_b_t::<F32>());
        check_algorithm::<Bf16, 6, TILE>(b_t::<Bf16>());
        check_algorithm::<Bf16, 4, 2>(half_b_t::<Bf16>());
    }

    /// A hand-written map is its matrix, column by column, and that is zero elsewhere.
    fn check<T: Transform<I, O>, const I: usize, const O: usize>(
        rows: usize,
        columns: usize,
        matrix: impl Fn(usize, usize) -> f64,
    ) {
        let mut expected = [[0f64; PATCH]; PATCH];
        for (o, i) in (0..rows).flat_map(|o| (0..columns).map(move |i| (o, i))) {
            expected[o][i] = matrix(o, i);
        }
        let mut found = [[0.0; PATCH]; PATCH];
        for i in 0..I {
            let mut unit = [Scalar.splat(0.0); I];
            unit[i] = Scalar.splat(1.0);
            for (o, column) in T::one(Scalar, unit).iter().enumerate() {
                found[T::TO[o]][T::FROM[i]] = column[0];
            }
        }
        for (found, expected) in found.as_flattened().iter().zip(expected.as_flattened()) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 1e-7 * expected.abs(), "{found} for {expected}");
        }
    }

    fn check_maps<F: Interpolation>() {
        let (b_t, half_b_t, g) = (b_t::<F>(), half_b_t::<F>(), g::<F>());
        let (a_t, half_a_t) = (a_t::<F, TILE>(), a_t::<F, 2>());
        check::<Filter<F>, _, _>(6, 3, |o, i| g[o][i]);
        check::<FilterGradient<F>, _, _>(3, 6, |o, i| g[i][o]);
        check::<Input<F>, _, _>(6, 6, |o, i| b_t[o][i]);
        check::<Output<F>, _, _>(4, 6, |o, i| a_t[o][i]);
        check::<InputGradient<F>, _, _>(6, 6, |o, i| b_t[i][o]);
        check::<OutputGradient<F>, _, _>(6, 4, |o, i| a_t[i][o]);
        check::<HalfInput<F>, _, _>(6, 4, |o, i| half_b_t[o][i]);
        check::<HalfOutput<F>, _, _>(2, 6, |o, i| half_a_t[o][i]);
        check::<HalfInputGradient<F>, _, _>(4, 6, |o, i| half_b_t[i][o]);
        check::<HalfOutputGradient<F>, _, _>(6, 2, |o, i| half_a_t[i][o]);
    }

    #[test]
    fn maps_are_their_matrices() {
        check_maps::<F32>();
        check_maps::<Bf16>();
    }
}
