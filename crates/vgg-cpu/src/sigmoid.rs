//! The logistic sigmoid.

use rayon::prelude::*;

use crate::Cpu;
use crate::buffer::Buffer;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work.
const CHUNK: usize = 4096;

/// `len` numbers in place; see [`vgg_tensor::Command::Sigmoid`].
pub(crate) fn in_place(cpu: &Cpu, len: usize, x: &mut Buffer) {
    let chunks = x.f32_mut(len).par_chunks_mut(CHUNK);
    cpu.threads.run(|| chunks.for_each(|x| cpu.isa.run(Forward(x))));
}

/// `len` gradients in place; see [`vgg_tensor::Command::SigmoidBackward`].
pub(crate) fn backward(cpu: &Cpu, len: usize, y: &Buffer, dy: &mut Buffer) {
    let y = y.f32(len).par_chunks(CHUNK);
    let chunks = dy.f32_mut(len).par_chunks_mut(CHUNK).zip(y);
    cpu.threads.run(|| chunks.for_each(|(dy, y)| cpu.isa.run(Backward { y, dy })));
}

struct Forward<'a>(&'a mut [f32]);

impl Kernel for Forward<'_> {
    type Output = ();

    // A loop that the compiler turns into vectors.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for x in self.0 {
            // Of the smaller exponential, which cannot overflow; NaN passes through.
            let e = exp_of_negative(-x.abs());
            let numerator = if *x < 0.0 { e } else { 1.0 };
            *x = numerator / (1.0 + e);
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

struct Backward<'a> {
    y: &'a [f32],
    dy: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    // As above.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (dy, y) in self.dy.iter_mut().zip(self.y) {
            *dy *= y * (1.0 - y);
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
