//! Functions of floats.

use super::round::{self, narrow, widen};
use crate::instruction::{Function, Mode, Rounding};
use crate::types::Type;

/// The function's value as bits of the type.
#[inline]
pub(super) fn float(f: Function, ty: Type, mode: Mode, args: [u64; 4]) -> u64 {
    match ty {
        Type::F32 => {
            if let Some(value) = fast_f32(f, mode, args) {
                return value;
            }
            scalar(f, ty, mode, args)
        }
        Type::F16x2 => pair(f, Type::F16, mode, args),
        Type::Bf16x2 => pair(f, Type::Bf16, mode, args),
        _ => scalar(f, ty, mode, args),
    }
}

/// The common functions in the host's arithmetic, which rounds to nearest as well.
#[inline]
fn fast_f32(f: Function, mode: Mode, [a, b, c, _]: [u64; 4]) -> Option<u64> {
    if mode != Mode::default() {
        return None;
    }
    let [a, b, c] = [a, b, c].map(|bits| f32::from_bits(bits as u32));
    let value = match f {
        Function::Add => a + b,
        Function::Sub => a - b,
        Function::MulLo => a * b,
        Function::Fma => a.mul_add(b, c),
        Function::Div => a / b,
        _ => return None,
    };
    Some(if value.is_nan() { 0x7FFF_FFFF } else { u64::from(value.to_bits()) })
}

fn pair(f: Function, ty: Type, mode: Mode, args: [u64; 4]) -> u64 {
    let low = scalar(f, ty, mode, args);
    let high = scalar(f, ty, mode, args.map(|bits| bits >> 16));
    (high & 0xFFFF) << 16 | (low & 0xFFFF)
}

fn scalar(f: Function, ty: Type, mode: Mode, args: [u64; 4]) -> u64 {
    use Function as F;
    let sign = 1u64 << (ty.bits() - 1);
    let bits = args.map(|value| ty.truncate(value));
    let [a, b, c, _] = bits
        .map(|value| if mode.ftz { flush(value, ty) } else { value })
        .map(|value| widen(value, ty));
    let exact = match f {
        // These move bits, so that NaN keeps its own.
        F::Neg => return flush_if(mode, bits[0], ty) ^ sign,
        F::Abs => return flush_if(mode, bits[0], ty) & !sign,
        // `copysign d, a, b`: b with a's sign.
        F::Copysign => return bits[1] & !sign | bits[0] & sign,
        F::TestFinite => return u64::from(a.is_finite()),
        F::TestInfinite => return u64::from(a.is_infinite()),
        F::TestNumber => return u64::from(!a.is_nan()),
        F::TestNan => return u64::from(a.is_nan()),
        F::TestNormal => return u64::from(a.is_finite() && a != 0.0 && !subnormal(bits[0], ty)),
        F::TestSubnormal => return u64::from(subnormal(bits[0], ty)),
        F::Add => sum(a, b, ty, mode),
        F::Sub => sum(a, -b, ty, mode),
        // A product of two numbers of at most 24 bits is exact.
        F::MulLo => a * b,
        F::Fma if ty == Type::F64 => a.mul_add(b, c),
        F::Fma => sum(a * b, c, ty, mode),
        F::Div if ty == Type::F64 => a / b,
        F::Div => round::div(a, b),
        F::Rcp if ty == Type::F64 => 1.0 / a,
        F::Rcp => round::div(1.0, a),
        F::Sqrt if ty == Type::F64 => a.sqrt(),
        F::Sqrt => round::sqrt(a),
        F::Rsqrt => 1.0 / a.sqrt(),
        F::Ex2 => a.exp2(),
        F::Lg2 => a.log2(),
        F::Sin => a.sin(),
        F::Cos => a.cos(),
        F::Tanh => a.tanh(),
        F::Min => pick(a, b, mode, |a, b| a < b || (a == b && a.is_sign_negative())),
        F::Max => pick(a, b, mode, |a, b| a > b || (a == b && a.is_sign_positive())),
        // Only integers have the other functions (`decode::arith::check`).
        _ => unreachable!("{f:?} of {ty:?}"),
    };
    finish(exact, ty, mode)
}

/// Rounds a value that is exact, or rounded to odd, with the modifiers of the instruction.
#[inline]
pub(super) fn finish(exact: f64, ty: Type, mode: Mode) -> u64 {
    let mut value = exact;
    if mode.sat {
        // NaN becomes +0.
        value = if value > 0.0 { value.min(1.0) } else { 0.0 };
    }
    if mode.relu && value <= 0.0 {
        value = 0.0;
    }
    let bits = narrow(value, ty, mode.rounding);
    flush_if(mode, bits, ty)
}

/// An exact sum of zero is −0 if one rounds down, else +0.
fn sum(a: f64, b: f64, ty: Type, mode: Mode) -> f64 {
    if ty == Type::F64 {
        return a + b;
    }
    let sum = round::add(a, b);
    let cancelled = sum == 0.0 && a.is_sign_negative() != b.is_sign_negative();
    if cancelled && mode.rounding == Rounding::Down { -0.0 } else { sum }
}

fn pick(a: f64, b: f64, mode: Mode, first: impl Fn(f64, f64) -> bool) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => {
            if first(a, b) {
                a
            } else {
                b
            }
        }
        _ if mode.nan => f64::NAN,
        (true, _) => b,
        (_, true) => a,
    }
}

/// Subnormals become zero of their sign.
#[inline]
pub(super) fn flush(bits: u64, ty: Type) -> u64 {
    if subnormal(bits, ty) { bits & 1 << (ty.bits() - 1) } else { bits }
}

fn flush_if(mode: Mode, bits: u64, ty: Type) -> u64 {
    if mode.ftz { flush(bits, ty) } else { bits }
}

fn subnormal(bits: u64, ty: Type) -> bool {
    let mantissa_bits = match ty {
        Type::F64 => 52,
        Type::F32 => 23,
        Type::F16 => 10,
        _ => 7,
    };
    let magnitude = bits & ((1 << (ty.bits() - 1)) - 1);
    magnitude != 0 && magnitude >> mantissa_bits == 0
}
