//! Barriers and warp-wide instructions.

use super::Result;
use super::parts::{Arguments, Modifiers};
use crate::instruction::{Barrier, BarrierKind, Function, Op, Operand, WarpOp};
use crate::types::Type;

const NONE: Operand = Operand::Imm(0);

/// `bar` is the aligned `barrier`.
pub(super) fn barrier(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    m.take("cta");
    if m.take("warp") {
        if !m.take("sync") {
            return m.unknown();
        }
        return Ok(Op::Warp {
            op: WarpOp::Sync,
            d: None,
            p: None,
            a: NONE,
            b: NONE,
            c: NONE,
            mask: a.value()?,
        });
    }
    let aligned = m.name == "bar" || m.take("aligned");
    if m.take("red") {
        let (popc, all) = (m.take("popc"), m.take("and"));
        if !popc && !all && !m.take("or") {
            return m.unknown();
        }
        m.ty()?;
        let (d, id) = (a.reg()?, a.value()?);
        let count = if a.len() == 2 { Some(a.value()?) } else { None };
        let (p, negate) = a.predicate()?;
        let kind = match (popc, all) {
            (true, _) => BarrierKind::Popc { d, p, negate },
            (_, true) => BarrierKind::All { d, p, negate },
            _ => BarrierKind::Any { d, p, negate },
        };
        return Ok(Op::Barrier(Barrier { id, count, kind, aligned }));
    }
    let kind = if m.take("sync") {
        BarrierKind::Sync
    } else if m.take("arrive") {
        BarrierKind::Arrive
    } else {
        return m.unknown();
    };
    let id = a.value()?;
    let count = if a.len() > 0 { Some(a.value()?) } else { None };
    Ok(Op::Barrier(Barrier { id, count, kind, aligned }))
}

pub(super) fn collective(m: &mut Modifiers<'_>, args: &mut Arguments<'_>) -> Result<Op> {
    if m.name == "activemask" {
        m.ty()?;
        return Ok(Op::ActiveMask { d: args.reg()? });
    }
    if !m.take("sync") {
        return m.unknown();
    }
    let ty = m.ty()?;
    let name = m.name;
    match name {
        "shfl" => {
            let modes = [
                ("up", WarpOp::ShuffleUp),
                ("down", WarpOp::ShuffleDown),
                ("bfly", WarpOp::ShuffleButterfly),
                ("idx", WarpOp::ShuffleIndex),
            ];
            let Some(op) =
                m.find(|name| modes.iter().find(|mode| mode.0 == name).map(|mode| mode.1))
            else {
                return m.unknown();
            };
            let (d, p) = args.pair()?;
            let (a, b, c) = (args.value()?, args.value()?, args.value()?);
            Ok(Op::Warp { op, d, p, a, b, c, mask: args.value()? })
        }
        "vote" => {
            let d = args.reg()?;
            let (a, negate) = args.predicate()?;
            let op = if m.take("all") {
                WarpOp::VoteAll(negate)
            } else if m.take("any") {
                WarpOp::VoteAny(negate)
            } else if m.take("uni") {
                WarpOp::VoteUni(negate)
            } else if m.take("ballot") {
                WarpOp::VoteBallot(negate)
            } else {
                return m.unknown();
            };
            Ok(Op::Warp {
                op,
                d: Some(d),
                p: None,
                a: Operand::Reg(a),
                b: NONE,
                c: NONE,
                mask: args.value()?,
            })
        }
        "redux" => {
            use Function::{Add, And, Max, Min, Or, Xor};
            let functions =
                [("add", Add), ("min", Min), ("max", Max), ("and", And), ("or", Or), ("xor", Xor)];
            let found = m.find(|name| functions.iter().find(|f| f.0 == name).map(|f| f.1));
            let Some(f) = found.filter(|_| ty.bytes() == 4 && ty != Type::F32) else {
                return m.unknown();
            };
            let (d, a) = (args.reg()?, args.value()?);
            Ok(Op::Warp {
                op: WarpOp::Reduce(f, ty),
                d: Some(d),
                p: None,
                a,
                b: NONE,
                c: NONE,
                mask: args.value()?,
            })
        }
        "match" if m.take("any") => {
            let (d, a) = (args.reg()?, args.value()?);
            Ok(Op::Warp {
                op: WarpOp::MatchAny(ty),
                d: Some(d),
                p: None,
                a,
                b: NONE,
                c: NONE,
                mask: args.value()?,
            })
        }
        _ => m.unknown(),
    }
}
