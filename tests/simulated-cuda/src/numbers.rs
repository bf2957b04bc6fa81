//! Types of numbers in device memory.

use half::{bf16, f16};

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    F32,
    F16,
    Bf16,
}

impl Type {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Type::F32 => 4,
            Type::F16 | Type::Bf16 => 2,
        }
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.as_chunks().0.iter().map(|bytes| u16::from_ne_bytes(*bytes));
        match self {
            Type::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b)).collect(),
            Type::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
            Type::Bf16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        }
    }

    /// Makes numbers what they are when they are stored.
    pub(crate) fn round(self, numbers: &mut [f64]) {
        for x in numbers {
            *x = match self {
                Type::F32 => f64::from(*x as f32),
                Type::F16 => f16::from_f64(*x).to_f64(),
                Type::Bf16 => bf16::from_f64(*x).to_f64(),
            };
        }
    }

    pub(crate) fn encode(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Type::F32 => numbers.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            Type::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_ne_bytes()).collect(),
            Type::Bf16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_ne_bytes()).collect(),
        }
    }
}

/// As tensor cores take an `f32`: rounded to ten bits behind the point.
pub(crate) fn round_to_tf32(x: f32) -> f32 {
    let bits = x.to_bits();
    let odd = bits >> 13 & 1;
    if x.is_finite() { f32::from_bits((bits + 0xFFF + odd) & !0x1FFF) } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        let numbers = [0.0, -1.5, 3.0, f32::INFINITY];
        for kind in [Type::F32, Type::F16, Type::Bf16] {
            assert_eq!(kind.decode(&kind.encode(&numbers)), numbers);
            assert_eq!(kind.encode(&numbers).len(), kind.bytes() * numbers.len());
        }
    }

    #[test]
    fn tf32_has_ten_bits() {
        assert_eq!(round_to_tf32(1.0 + 1.0 / 1024.0), 1.0 + 1.0 / 1024.0);
        assert_eq!(round_to_tf32(1.0 + 1.0 / 2048.0), 1.0, "a tie goes to the even one");
        assert_eq!(round_to_tf32(1.0 + 3.0 / 2048.0), 1.0 + 2.0 / 1024.0);
    }
}
