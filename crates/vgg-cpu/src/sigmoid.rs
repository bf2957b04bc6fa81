//! The logistic sigmoid.

use rayon::prelude::*;

use crate::Cpu;
use crate::buffer::Buffer;
use crate::format::Format;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work.
const CHUNK: usize = 4096;

/// Numbers that are widened together.
const GROUP: usize = 256;

/// `len` numbers in place; see [`vgg_tensor::Command::Sigmoid`].
pub(crate) fn in_place<F: Format>(cpu: &Cpu, len: usize, x: &mut Buffer) {
    let chunks = x.maps_mut::<F>(len).par_chunks_mut(CHUNK);
    cpu.threads.run(|| chunks.for_each(|x| F::run(cpu.isa, Forward::<F>(x))));
}

/// `len` gradients in place; see [`vgg_tensor::Command::SigmoidBackward`].
pub(crate) fn backward<F: Format>(cpu: &Cpu, len: usize, y: &Buffer, dy: &mut Buffer) {
    let y = y.maps::<F>(len).par_chunks(CHUNK);
    let chunks = dy.maps_mut::<F>(len).par_chunks_mut(CHUNK).zip(y);
    cpu.threads.run(|| chunks.for_each(|(dy, y)| F::run(cpu.isa, Backward::<F> { y, dy })));
}

struct Forward<'a, F: Format>(&'a mut [F::Number]);

impl<F: Format> Kernel for Forward<'_, F> {
    type Output = ();

    // A loop that the compiler turns into vectors.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.0.chunks_mut(GROUP) {
            let mut wide = [0.0; GROUP];
            let wide = &mut wide[..x.len()];
            F::widen_all(x, wide);
            for x in &mut *wide {
                // Of the smaller exponential, which cannot overflow; NaN passes through.
                let e = exp_of_negative(-x.abs());
                let numerator = if *x < 0.0 { e } else { 1.0 };
                *x = numerator / (1.0 + e);
            }
            F::round_all(s, wide, x);
        }
    }
}

/// eˣ of a number that is not above zero, within two roundings. Below −87, where the result would
/// be subnormal, it is that of −87.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    // x = n · ln 2 + r, |r| ≤ ln 2 / 2. The logarithm is two numbers, of which the first has so few
    // bits that its products with n are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Added to a small number, it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    // The Taylor series: the first term left out is below 2⁻²⁷.
    let mut series = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + factor;
    }
    // n goes into the exponent's bits.
    let power = (shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits());
    series * f32::from_bits(power)
}

struct Backward<'a, F: Format> {
    y: &'a [F::Number],
    dy: &'a mut [F::Number],
}

impl<F: Format> Kernel for Backward<'_, F> {
    type Output = ();

    // As above.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (dy, y) in self.dy.chunks_mut(GROUP).zip(self.y.chunks(GROUP)) {
            let mut wide = [0.0; GROUP];
            let wide = &mut wide[..dy.len()];
            for (wide, (dy, y)) in wide.iter_mut().zip(dy.iter().zip(y)) {
                let y = F::widen(*y);
                *wide = F::widen(*dy) * (y * (1.0 - y));
            }
            F::round_all(s, wide, dy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_near() {
        for i in 0..870_001 {
            let x = -1e-4 * i as f32;
            let (exact, ours) = (f64::from(x).exp(), f64::from(exp_of_negative(x)));
            let error = (ours - exact).abs() / exact;
            assert!(
                error < 2.0 * f64::from(f32::EPSILON),
                "exp({x}) is {ours:e}, off by {error:e}"
            );
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), exp_of_negative(-87.0));
        assert!(exp_of_negative(f32::NAN).is_nan());
    }
}
