//! One opcode with its operands → one [`Op`].
//!
//! Every modifier must be taken by somebody: what is left over is an error, never ignored.

mod arith;
mod matrix;
mod memory;
mod parts;
mod warp;

use crate::argument::Argument;
use crate::instruction::{Op, Rounding};
use crate::types::{Space, Type};
use parts::{Arguments, Modifiers};

type Result<T> = std::result::Result<T, String>;

pub(crate) fn decode(opcode: &str, arguments: Vec<Argument<'_>>) -> Result<Op> {
    let mut modifiers = Modifiers::new(opcode);
    let mut arguments = Arguments::new(opcode, arguments);
    let (m, a) = (&mut modifiers, &mut arguments);
    let op = match m.name {
        "mov" => mov(m, a)?,
        "cvt" => convert(m, a)?,
        "cvta" => {
            let from = m.take("to");
            let space = m.space()?;
            m.ty()?;
            let (d, a) = (a.reg()?, a.value()?);
            if from { Op::FromGeneric { space, d, a } } else { Op::ToGeneric { space, d, a } }
        }
        "isspacep" => Op::IsSpace { space: m.space()?, p: a.reg()?, a: a.value()? },
        "setp" | "set" => compare(m, a)?,
        "selp" => {
            Op::Select { ty: m.ty()?, d: a.reg()?, a: a.value()?, b: a.value()?, p: a.value()? }
        }
        "slct" => {
            let (sign, ty) = (m.ty()?, m.ty()?);
            let ftz = m.take("ftz");
            Op::SelectBySign {
                ty,
                sign,
                ftz,
                d: a.reg()?,
                a: a.value()?,
                b: a.value()?,
                c: a.value()?,
            }
        }
        "ld" | "ldu" => memory::load(m, a)?,
        "st" => memory::store(m, a)?,
        "atom" | "red" => memory::atomic(m, a)?,
        "membar" | "fence" | "prefetch" | "prefetchu" | "nanosleep" => {
            m.take_all();
            a.take_all();
            Op::Nop
        }
        "ret" | "exit" | "trap" => {
            m.take("uni");
            match m.name {
                "ret" => Op::Return,
                "exit" => Op::Exit,
                _ => Op::Trap,
            }
        }
        "bar" | "barrier" => warp::barrier(m, a)?,
        "shfl" | "vote" | "activemask" | "redux" | "match" => warp::collective(m, a)?,
        "mma" => matrix::multiply(m, a)?,
        _ => arith::compute(m, a)?,
    };
    modifiers.end()?;
    arguments.end()?;
    Ok(op)
}

fn mov(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    let ty = m.ty()?;
    let part_bits = |parts: usize| match parts {
        2 | 4 if ty.bytes() > parts / 2 => Ok(ty.bits() / parts as u32),
        _ => Err(format!("{ty:?} has no {parts} parts")),
    };
    if a.is_vector(0) {
        let d = a.registers()?;
        return Ok(Op::Unpack { part_bits: part_bits(d.len())?, d, a: a.value()? });
    }
    let d = a.reg()?;
    if a.is_vector(0) {
        let parts = a.values()?;
        return Ok(Op::Pack { part_bits: part_bits(parts.len())?, d, parts });
    }
    Ok(Op::Mov { ty, d, a: a.value()? })
}

fn convert(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    let mode = m.mode();
    let (from, to) = (m.ty()?, m.ty()?);
    let d = a.reg()?;
    if to.is_packed() {
        if from != Type::F32 {
            return Err(format!("only f32 converts to a pair, not {from:?}"));
        }
        return Ok(Op::ConvertPair { to, mode, d, a: a.value()?, b: a.value()? });
    }
    if to == Type::F64 && from.is_float() && !mode.to_integer && mode.rounding != Rounding::Nearest
    {
        return Err("directed rounding to f64 is not supported".into());
    }
    Ok(Op::Convert { to, from, mode, d, a: a.value()? })
}

fn compare(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    let ty = m.ty()?;
    let to = if m.name == "set" { Some(m.ty()?) } else { None };
    let test = crate::instruction::Test { compare: m.compare(ty)?, ty, ftz: m.take("ftz") };
    let combine = m.bool();
    if let Some(to) = to {
        if !matches!(to, Type::U32 | Type::S32 | Type::F32) {
            return Err(format!("set gives u32, s32 or f32, not {to:?}"));
        }
        let (d, left, right) = (a.reg()?, a.value()?, a.value()?);
        return Ok(Op::SetValue { test, to, d, a: left, b: right, with: a.with(combine)? });
    }
    let (p, q) = a.pair()?;
    let (left, right) = (a.value()?, a.value()?);
    Ok(Op::SetPredicate { test, p, q, a: left, b: right, with: a.with(combine)? })
}

/// A space, or generic where none is named.
fn space_or_generic(m: &mut Modifiers<'_>) -> Space {
    m.space().unwrap_or(Space::Generic)
}
