//! Integer and logic functions.

use crate::instruction::{Function, Mode, Permute};
use crate::types::Type;

/// The function's value; bits above the type's are not significant.
#[inline]
pub(super) fn integer(f: Function, ty: Type, mode: Mode, [a, b, c, d]: [u64; 4]) -> u64 {
    use Function as F;
    let bits = ty.bits();
    let signed = ty.is_signed();
    match f {
        F::Add if mode.sat => saturate(ty.integer(a) + ty.integer(b)),
        F::Sub if mode.sat => saturate(ty.integer(a) - ty.integer(b)),
        F::Add => a.wrapping_add(b),
        F::Sub => a.wrapping_sub(b),
        F::MulLo => a.wrapping_mul(b),
        F::MulHi => mul_hi(ty, a, b),
        F::MulWide => ty.extend(a).wrapping_mul(ty.extend(b)),
        F::MadLo => a.wrapping_mul(b).wrapping_add(c),
        F::MadHi if mode.sat => saturate(ty.integer(mul_hi(ty, a, b)) + ty.integer(c)),
        F::MadHi => mul_hi(ty, a, b).wrapping_add(c),
        F::MadWide => ty.extend(a).wrapping_mul(ty.extend(b)).wrapping_add(c),
        F::Mul24 => low24(ty, a).wrapping_mul(low24(ty, b)),
        F::Mad24 => low24(ty, a).wrapping_mul(low24(ty, b)).wrapping_add(c),
        // Division by zero is unspecified; the hardware gives all ones, and the dividend as remainder.
        F::Div if ty.truncate(b) == 0 => u64::MAX,
        F::Rem if ty.truncate(b) == 0 => a,
        F::Div if signed => (ty.extend(a) as i64).wrapping_div(ty.extend(b) as i64) as u64,
        F::Rem if signed => (ty.extend(a) as i64).wrapping_rem(ty.extend(b) as i64) as u64,
        F::Div => ty.truncate(a) / ty.truncate(b),
        F::Rem => ty.truncate(a) % ty.truncate(b),
        F::Neg => a.wrapping_neg(),
        F::Abs => (ty.extend(a) as i64).wrapping_abs() as u64,
        F::Min => {
            if ty.integer(a) <= ty.integer(b) {
                a
            } else {
                b
            }
        }
        F::Max => {
            if ty.integer(a) >= ty.integer(b) {
                a
            } else {
                b
            }
        }
        F::Sad => (ty.integer(a) - ty.integer(b)).unsigned_abs().wrapping_add(u128::from(c)) as u64,
        F::And => a & b,
        F::Or => a | b,
        F::Xor => a ^ b,
        F::Not => !a,
        F::Cnot => u64::from(ty.truncate(a) == 0),
        // The amount is an unsigned 32-bit number, clamped to the width.
        F::Shl => {
            if b as u32 >= bits {
                0
            } else {
                a << (b as u32)
            }
        }
        F::Shr if signed => ((ty.extend(a) as i64) >> (b as u32).min(bits - 1)) as u64,
        F::Shr => {
            if b as u32 >= bits {
                0
            } else {
                ty.truncate(a) >> (b as u32)
            }
        }
        F::Bfe => bit_field_extract(ty, a, b as u8, c as u8),
        F::Bfi => {
            let (position, len) = (u32::from(c as u8), u32::from(d as u8));
            let mask = if position >= bits { 0 } else { low_mask(len) << position };
            (b & !mask) | if position >= bits { 0 } else { (a << position) & mask }
        }
        F::ShfLeft(clamp) => {
            let pair = b << 32 | ty.truncate(a);
            let n = shift_amount(c, clamp);
            if n == 32 { ty.truncate(a) } else { (pair << n) >> 32 }
        }
        F::ShfRight(clamp) => (b << 32 | ty.truncate(a)) >> shift_amount(c, clamp),
        F::Prmt(how) => u64::from(prmt(how, a as u32, b as u32, c as u32)),
        F::Lop3 => (0..8).filter(|i| d >> i & 1 == 1).fold(0, |sum, i| {
            let term = |value: u64, bit: u32| if i >> bit & 1 == 1 { value } else { !value };
            sum | (term(a, 2) & term(b, 1) & term(c, 0))
        }),
        F::Popc => u64::from(ty.truncate(a).count_ones()),
        F::Clz => u64::from(ty.truncate(a).leading_zeros() - (64 - bits)),
        F::Brev => ty.truncate(a).reverse_bits() >> (64 - bits),
        F::Bfind(shift) => {
            let value =
                if signed && (ty.extend(a) as i64) < 0 { ty.truncate(!a) } else { ty.truncate(a) };
            let found = value.checked_ilog2();
            let found = found.map(|bit| if shift { bits - 1 - bit } else { bit });
            u64::from(found.unwrap_or(u32::MAX))
        }
        // Only floats have the other functions (`decode::arith::check`).
        _ => unreachable!("{f:?} of {ty:?}"),
    }
}

/// Only `s32` saturates.
fn saturate(value: i128) -> u64 {
    value.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as u64
}

fn mul_hi(ty: Type, a: u64, b: u64) -> u64 {
    ((ty.integer(a).wrapping_mul(ty.integer(b))) >> ty.bits()) as u64
}

fn low24(ty: Type, value: u64) -> u64 {
    if ty.is_signed() { ((value as i32) << 8 >> 8) as u64 } else { value & 0xFF_FFFF }
}

fn low_mask(len: u32) -> u64 {
    if len >= 64 { u64::MAX } else { (1 << len) - 1 }
}

fn shift_amount(c: u64, clamp: bool) -> u32 {
    if clamp { (c as u32).min(32) } else { c as u32 & 31 }
}

/// The field is padded with the sign of its highest bit, or of `a` where it goes past the end.
fn bit_field_extract(ty: Type, a: u64, position: u8, len: u8) -> u64 {
    let bits = ty.bits();
    let (position, len) = (u32::from(position), u32::from(len));
    let value = ty.truncate(a);
    let field = if position >= bits { 0 } else { value >> position & low_mask(len) };
    if !ty.is_signed() || len == 0 {
        return field;
    }
    let top = (position + len - 1).min(bits - 1);
    let negative = value >> top & 1 == 1;
    // Bits of the field that come from `a` itself.
    let known = len.min(bits.saturating_sub(position));
    if negative { field | !low_mask(known) } else { field }
}

fn prmt(how: Permute, a: u32, b: u32, c: u32) -> u32 {
    let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
    let n = (c & 3) as usize;
    let pick = match how {
        Permute::Index => {
            return u32::from_le_bytes(std::array::from_fn(|i| {
                let selector = c >> (4 * i);
                let byte = bytes[selector as usize & 7];
                // The fourth bit asks for the byte's sign in all its bits.
                if selector & 8 != 0 { ((byte as i8) >> 7) as u8 } else { byte }
            }));
        }
        Permute::F4e => [n, n + 1, n + 2, n + 3],
        Permute::B4e => [n, (n + 7) & 7, (n + 6) & 7, (n + 5) & 7],
        Permute::Rc8 => [n; 4],
        Permute::Ecl => [0, 1, 2, 3].map(|i| i.max(n)),
        Permute::Ecr => [0, 1, 2, 3].map(|i| i.min(n)),
        Permute::Rc16 => {
            if n & 1 == 0 {
                [0, 1, 0, 1]
            } else {
                [2, 3, 2, 3]
            }
        }
    };
    u32::from_le_bytes(pick.map(|i| bytes[i]))
}
