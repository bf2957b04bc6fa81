//! Products of small matrices, by a warp.

use super::Result;
use super::parts::{Arguments, Modifiers};
use crate::instruction::{Factors, MatrixMultiply, Op};

/// `mma.sync.aligned.m16n8k….row.col.f32.type.type.f32 d, a, b, c`
pub(super) fn multiply(m: &mut Modifiers<'_>, args: &mut Arguments<'_>) -> Result<Op> {
    let types = [("f16", Factors::F16), ("bf16", Factors::Bf16), ("tf32", Factors::Tf32)];
    let found = types.into_iter().find(|(name, _)| m.take(name) && m.take(name));
    let depth = m.find(|part| part.strip_prefix("m16n8k")?.parse::<usize>().ok());
    let (Some((_, factors)), Some(depth)) = (found, depth) else { return m.unknown() };
    let fixed = ["sync", "aligned", "row", "col", "f32", "f32"];
    // In a register of `b` a column of eight lanes has four times what a register holds.
    let registers = depth / (4 * factors.of_register());
    if !fixed.into_iter().all(|part| m.take(part))
        || !matches!(registers, 1 | 2)
        || depth != 4 * factors.of_register() * registers
    {
        return m.unknown();
    }
    let count = |wanted: usize, found: usize| match found {
        found if found == wanted => Ok(()),
        found => Err(format!("{wanted} registers wanted, found {found}")),
    };
    let d: Vec<_> = args.registers()?.into_iter().flatten().collect();
    let (a, b, c) = (args.values()?, args.values()?, args.values()?);
    count(2 * registers, a.len())?;
    count(registers, b.len())?;
    let four = |found: usize| format!("4 registers wanted, found {found}");
    let d = d.try_into().map_err(|d: Vec<_>| four(d.len()))?;
    let c = c.try_into().map_err(|c: Vec<_>| four(c.len()))?;
    Ok(Op::MatrixMultiply(Box::new(MatrixMultiply { factors, d, a, b, c })))
}
