//! Atomics: read, compute, write in one turn of a thread.

use super::access::Access;
use super::thread::{Thread, number};
use super::{Result, World, arith, float};
use crate::instruction::{Atomic, Function, Mode};
use crate::race::Kind;
use crate::types::{Space, Type};
use crate::{Fault, Memory};

impl Thread {
    /// Returns the old value.
    pub(super) fn atomic<M: Memory>(
        &self,
        world: &mut World<'_, M>,
        space: Space,
        op: Atomic,
        ty: Type,
        address: u64,
        b: u64,
        c: u64,
        line: u32,
    ) -> Result<u64> {
        let access = Access::new("atomic", space, address, ty.bytes())?;
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..ty.bytes()];
        match access.space {
            Space::Shared => {
                world.shared_access(access, self.index, line, Kind::Atomic)?;
                let begin = access.address as usize;
                bytes.copy_from_slice(&world.shared.bytes[begin..begin + ty.bytes()]);
            }
            Space::Global => world.global_read(access, bytes)?,
            other => return Err(Fault::ReadOnly { space: other.name() }),
        }
        let old = number(bytes);
        bytes.copy_from_slice(&apply(op, ty, old, b, c).to_le_bytes()[..ty.bytes()]);
        if access.space == Space::Shared {
            world.shared_write(access, bytes);
        } else {
            world.global_write(access, bytes)?;
        }
        Ok(old)
    }
}

fn apply(op: Atomic, ty: Type, old: u64, b: u64, c: u64) -> u64 {
    let compute = |f: Function| {
        let args = [old, b, 0, 0];
        if ty.is_float() {
            float::float(f, ty, Mode::default(), args)
        } else {
            arith::integer(f, ty, Mode::default(), args)
        }
    };
    match op {
        Atomic::Add => compute(Function::Add),
        Atomic::Min => compute(Function::Min),
        Atomic::Max => compute(Function::Max),
        Atomic::And => old & b,
        Atomic::Or => old | b,
        Atomic::Xor => old ^ b,
        Atomic::Exch => b,
        Atomic::Cas => {
            if ty.truncate(old) == ty.truncate(b) {
                c
            } else {
                old
            }
        }
        Atomic::Inc => {
            if old >= ty.truncate(b) {
                0
            } else {
                old + 1
            }
        }
        Atomic::Dec => {
            if old == 0 || old > ty.truncate(b) {
                b
            } else {
                old - 1
            }
        }
    }
}
