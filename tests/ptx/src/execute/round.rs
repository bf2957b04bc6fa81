//! Rounding an exact value to a float format.
//!
//! An exact sum, product, quotient or root is first rounded to an odd `f64`: the nearest towards
//! zero or away whose last bit is 1, unless it is exact. That bit remembers on which side the rest
//! lies, so that rounding on to at most 51 bits gives what rounding once would, in every direction
//! (Boldo & Melquiond, "Emulation of FMA and correctly rounded sums", 2008).

use crate::instruction::Rounding;
use crate::types::Type;

/// `value` + an exact rest of this sign and less than half a unit, rounded to odd.
pub(super) fn to_odd(value: f64, rest: f64) -> f64 {
    if !value.is_finite() || rest == 0.0 || rest.is_nan() || value.to_bits() & 1 == 1 {
        return value;
    }
    if rest > 0.0 { value.next_up() } else { value.next_down() }
}

/// a + b, rounded to odd (Knuth's TwoSum has the rest).
pub(super) fn add(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let b_part = sum - a;
    let rest = (a - (sum - b_part)) + (b - b_part);
    to_odd(sum, rest)
}

pub(super) fn div(a: f64, b: f64) -> f64 {
    let q = a / b;
    let rest = (-q).mul_add(b, a);
    to_odd(q, if b < 0.0 { -rest } else { rest })
}

pub(super) fn sqrt(a: f64) -> f64 {
    let root = a.sqrt();
    to_odd(root, (-root).mul_add(root, a))
}

/// The integer as an odd `f64`.
pub(super) fn integer(value: i128) -> f64 {
    let near = value as f64;
    to_odd(near, (value - near as i128) as f64)
}

/// `value` in a format, as its bits. NaN becomes the canonical one.
#[inline]
pub(super) fn narrow(value: f64, ty: Type, rounding: Rounding) -> u64 {
    match (ty, rounding) {
        (Type::F64, _) => value.to_bits(),
        (Type::F32, _) if value.is_nan() => 0x7FFF_FFFF,
        (Type::F32, Rounding::Nearest) => u64::from((value as f32).to_bits()),
        (Type::F32, _) => bits(value, 8, 23, rounding),
        (Type::F16, _) => bits(value, 5, 10, rounding),
        // bf16 and, by the caller's shift, nothing else.
        _ => bits(value, 8, 7, rounding),
    }
}

fn bits(value: f64, exponent_bits: u32, mantissa_bits: u32, rounding: Rounding) -> u64 {
    let sign = u64::from(value.is_sign_negative()) << (exponent_bits + mantissa_bits);
    let infinity = ((1u64 << exponent_bits) - 1) << mantissa_bits;
    if value.is_nan() {
        return infinity | ((1 << mantissa_bits) - 1);
    }
    if value.is_infinite() {
        return sign | infinity;
    }
    let bias = (1 << (exponent_bits - 1)) - 1;
    // Exponent of the last bit that the format keeps: that of the value, or of the subnormals.
    let exponent = ((value.to_bits() >> 52 & 0x7FF) as i32 - 1023).max(1 - bias);
    let unit = exponent - mantissa_bits as i32;
    // Exact: a power of two, and the quotient has no more bits than the value.
    let scaled = value.abs() * 2f64.powi(-unit);
    let whole = scaled.floor();
    let rest = scaled - whole;
    let up = match rounding {
        Rounding::Nearest => rest > 0.5 || (rest == 0.5 && whole % 2.0 == 1.0),
        Rounding::Away => rest >= 0.5,
        Rounding::Zero => false,
        Rounding::Up => rest > 0.0 && value > 0.0,
        Rounding::Down => rest > 0.0 && value < 0.0,
    };
    let mantissa = whole as u64 + u64::from(up);
    // The leading bit of a normal number adds 1 to the exponent field, a carry one more.
    let field = ((exponent + bias - 1) as u64) << mantissa_bits;
    let magnitude = field + mantissa;
    if magnitude < infinity {
        return sign | magnitude;
    }
    // An overflow rounds to infinity only where the direction is away from zero.
    let to_infinity = match rounding {
        Rounding::Nearest | Rounding::Away => true,
        Rounding::Zero => false,
        Rounding::Up => value > 0.0,
        Rounding::Down => value < 0.0,
    };
    sign | if to_infinity { infinity } else { infinity - 1 }
}

/// The value of a format's bits.
#[inline]
pub(super) fn widen(bits: u64, ty: Type) -> f64 {
    match ty {
        Type::F64 => f64::from_bits(bits),
        Type::F32 => f64::from(f32::from_bits(bits as u32)),
        Type::F16 => half(bits as u16),
        _ => f64::from(f32::from_bits((bits as u32) << 16)),
    }
}

fn half(bits: u16) -> f64 {
    let mantissa = f64::from(bits & 0x3FF);
    let magnitude = match bits >> 10 & 0x1F {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + mantissa) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
