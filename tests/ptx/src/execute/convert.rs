//! `cvt`, and comparisons.

use super::float::{finish, flush};
use super::round::{self, narrow, widen};
use crate::instruction::{Compare, Mode, Rounding, Test};
use crate::types::Type;

/// `a` of type `from` as a `to`; integers narrower than the register are extended by their sign.
#[inline]
pub(super) fn convert(to: Type, from: Type, mode: Mode, a: u64) -> u64 {
    match (from.is_float(), to.is_float()) {
        (false, false) => {
            let value = from.integer(a);
            if mode.sat { clamp(to, value) } else { to.extend(value as u64) }
        }
        (false, true) => from_integer(to, mode, from.integer(a)),
        (true, false) => {
            let value = source(from, mode, a);
            // NaN becomes 0, and what is out of range the nearest integer in it.
            let whole = whole(value, mode.rounding);
            clamp(to, if whole.is_nan() { 0 } else { whole as i128 })
        }
        (true, true) => {
            let value = source(from, mode, a);
            let value = if mode.to_integer { whole(value, mode.rounding) } else { value };
            finish(value, to, mode)
        }
    }
}

/// Two `f32` as a pair of 16-bit floats: `a` above, `b` below.
pub(super) fn convert_pair(to: Type, mode: Mode, a: u64, b: u64) -> u64 {
    let ty = if to == Type::F16x2 { Type::F16 } else { Type::Bf16 };
    let [a, b] = [a, b].map(|value| convert(ty, Type::F32, mode, value));
    a << 16 | b
}

/// `.ftz` concerns `f32` alone.
fn source(from: Type, mode: Mode, a: u64) -> f64 {
    let a = from.truncate(a);
    widen(if mode.ftz && from == Type::F32 { flush(a, from) } else { a }, from)
}

fn from_integer(to: Type, mode: Mode, value: i128) -> u64 {
    if to != Type::F64 {
        return finish(round::integer(value), to, mode);
    }
    let near = value as f64;
    let rest = value - near as i128;
    let directed = match mode.rounding {
        Rounding::Up if rest > 0 => near.next_up(),
        Rounding::Down if rest < 0 => near.next_down(),
        Rounding::Zero if rest != 0 && (rest > 0) != (value > 0) => {
            if value > 0 {
                near.next_down()
            } else {
                near.next_up()
            }
        }
        _ => near,
    };
    narrow(directed, to, mode.rounding)
}

fn whole(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Away => value.round(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

fn clamp(to: Type, value: i128) -> u64 {
    let bits = to.bits();
    let (low, high) = if to.is_signed() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    };
    value.clamp(low, high) as u64
}

#[inline]
pub(super) fn compare(test: Test, a: u64, b: u64) -> bool {
    use Compare as C;
    if !test.ty.is_float() {
        let (a, b) = (test.ty.extend(a), test.ty.extend(b));
        let order = if test.ty.is_signed() { (a as i64).cmp(&(b as i64)) } else { a.cmp(&b) };
        return match test.compare {
            C::Eq => order.is_eq(),
            C::Ne => order.is_ne(),
            C::Lt => order.is_lt(),
            C::Le => order.is_le(),
            C::Gt => order.is_gt(),
            _ => order.is_ge(),
        };
    }
    let mode = Mode { ftz: test.ftz, ..Mode::default() };
    let (a, b) = (source(test.ty, mode, a), source(test.ty, mode, b));
    let nan = a.is_nan() || b.is_nan();
    match test.compare {
        C::Eq => a == b,
        C::Ne => !nan && a != b,
        C::Lt => a < b,
        C::Le => a <= b,
        C::Gt => a > b,
        C::Ge => a >= b,
        C::Equ => nan || a == b,
        C::Neu => nan || a != b,
        C::Ltu => nan || a < b,
        C::Leu => nan || a <= b,
        C::Gtu => nan || a > b,
        C::Geu => nan || a >= b,
        C::Num => !nan,
        C::Nan => nan,
    }
}
