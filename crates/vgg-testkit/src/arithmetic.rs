//! What a backend stores activations as and multiplies.

use half::{bf16, f16};

use crate::compare::Tolerance;

/// How exact a backend is. Sums are `f32` in all of these, and so are weights, biases, the gradients
/// of both, and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Everything is `f32`.
    #[default]
    F32,
    /// Stored as `f32`, but products take factors of 11 bits.
    Tf32,
    /// Activations and their gradients are stored as `bf16`, and products take factors of that type.
    Bf16,
    /// Activations and their gradients are stored as `f16`, and products take factors of that type.
    F16,
    /// As `Bf16`, but the products of 3×3 convolutions take factors at the points of Winograd's transforms, and
    /// what is subnormal becomes zero, as x86's instructions have it.
    WinogradBf16,
}

impl Arithmetic {
    /// An activation as it is stored.
    pub fn store(self, x: f32) -> f32 {
        match self {
            Arithmetic::F32 | Arithmetic::Tf32 => x,
            Arithmetic::Bf16 => bf16::from_f32(x).to_f32(),
            Arithmetic::WinogradBf16 if x.is_subnormal() => 0f32.copysign(x),
            Arithmetic::WinogradBf16 => bf16::from_f32(x).to_f32(),
            Arithmetic::F16 => f16::from_f32(x).to_f32(),
        }
    }

    /// A factor as products take it.
    pub fn factor(self, x: f32) -> f32 {
        match self {
            Arithmetic::Tf32 => {
                // Ties go to even; ten of the bits behind the point stay.
                let bits = x.to_bits();
                f32::from_bits((bits + 0xFFF + (bits >> 13 & 1)) & !0x1FFF)
            }
            _ => self.store(x),
        }
    }

    /// All of `numbers` as they are stored.
    pub fn stored(self, numbers: Vec<f32>) -> Vec<f32> {
        numbers.into_iter().map(|x| self.store(x)).collect()
    }

    /// All of `numbers` as products take them: they are also stored like that.
    pub fn factors(self, numbers: Vec<f32>) -> Vec<f32> {
        numbers.into_iter().map(|x| self.factor(x)).collect()
    }

    /// The error of storing a number once.
    pub fn rounding(self) -> Tolerance {
        match self {
            // A sum's own error allows for that.
            Arithmetic::F32 | Arithmetic::Tf32 => Tolerance::default(),
            Arithmetic::Bf16 | Arithmetic::WinogradBf16 => {
                Tolerance { absolute: 0.0, relative: 2f64.powi(-8) }
            }
            // Below 2⁻¹⁴ its numbers are 2⁻²⁴ apart.
            Arithmetic::F16 => Tolerance { absolute: 2f64.powi(-25), relative: 2f64.powi(-11) },
        }
    }

    /// The error of storing a number of up to `largest` once.
    pub fn rounding_of(self, largest: f64) -> f64 {
        let Tolerance { absolute, relative } = self.rounding();
        absolute + relative * largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_as_many_bits_as_they_should() {
        let kept = |a: Arithmetic| {
            (0..30).take_while(|bit| a.factor(1.0 + 2f32.powi(-bit)) != 1.0).count() - 1
        };
        assert_eq!(kept(Arithmetic::F32), 23);
        assert_eq!([Arithmetic::Tf32, Arithmetic::F16].map(kept), [10, 10]);
        assert_eq!(kept(Arithmetic::Bf16), 7);
        assert_eq!(Arithmetic::Tf32.store(0.1), 0.1);
    }

    #[test]
    fn roundings_are_bounded() {
        for arithmetic in [Arithmetic::Bf16, Arithmetic::F16] {
            for x in crate::inputs::uniform(1, 1000, 100.0).into_iter().chain([1e-5, 1e-9]) {
                let error = f64::from((arithmetic.store(x) - x).abs());
                assert!(error <= arithmetic.rounding_of(f64::from(x.abs())), "{arithmetic:?} {x}");
            }
        }
    }
}
