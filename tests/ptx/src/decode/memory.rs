//! Loads, stores and atomics.

use super::parts::{Arguments, Modifiers};
use super::{Result, space_or_generic};
use crate::instruction::{Atomic, Op, Operand};
use crate::types::Type;

/// Cache hints, which change no value, and orderings, which a sequential interpreter always keeps.
const HINTS: [&str; 22] = [
    "nc",
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "volatile",
    "relaxed",
    "acquire",
    "release",
    "acq_rel",
    "weak",
    "sys",
    "gpu",
    "cta",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::64B",
    "L2::128B",
    "L2::256B",
];

fn hints(m: &mut Modifiers<'_>) {
    for hint in HINTS {
        m.take(hint);
    }
}

fn lanes(m: &mut Modifiers<'_>) -> usize {
    if m.take("v2") {
        2
    } else if m.take("v4") {
        4
    } else {
        1
    }
}

pub(super) fn load(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    hints(m);
    let (space, lanes, ty) = (space_or_generic(m), lanes(m), m.ty()?);
    let d = a.registers()?;
    if d.len() != lanes {
        return Err(format!("{lanes} registers wanted, found {}", d.len()));
    }
    Ok(Op::Load { space, ty, d, address: a.address()? })
}

pub(super) fn store(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    hints(m);
    let (space, lanes, ty) = (space_or_generic(m), lanes(m), m.ty()?);
    let address = a.address()?;
    let values = a.values()?;
    if values.len() != lanes {
        return Err(format!("{lanes} values wanted, found {}", values.len()));
    }
    Ok(Op::Store { space, ty, values, address })
}

/// `atom` returns the old value, `red` does not.
pub(super) fn atomic(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    hints(m);
    m.take("noftz");
    let (space, ty) = (space_or_generic(m), m.ty()?);
    let op = m.find(|name| {
        Some(match name {
            "add" => Atomic::Add,
            "min" => Atomic::Min,
            "max" => Atomic::Max,
            "and" => Atomic::And,
            "or" => Atomic::Or,
            "xor" => Atomic::Xor,
            "exch" => Atomic::Exch,
            "cas" => Atomic::Cas,
            "inc" => Atomic::Inc,
            "dec" => Atomic::Dec,
            _ => return None,
        })
    });
    let Some(op) = op else { return m.unknown() };
    let fits = match op {
        Atomic::Add => ty.bytes() >= 2,
        Atomic::Min | Atomic::Max => !matches!(ty, Type::F32 | Type::F64) && ty.bytes() >= 4,
        Atomic::Cas => !ty.is_float() && ty.bytes() >= 2,
        Atomic::Inc | Atomic::Dec => ty == Type::U32,
        _ => !ty.is_float() && ty.bytes() >= 4,
    };
    if !fits {
        return Err(format!("atomic {op:?} does not exist for {ty:?}"));
    }
    m.take("rn");
    let d = if m.name == "atom" { a.reg_or_sink()? } else { None };
    let (address, b) = (a.address()?, a.value()?);
    let c = if op == Atomic::Cas { a.value()? } else { Operand::Imm(0) };
    Ok(Op::Atomic { space, op, ty, d, address, b, c })
}
