//! One thread: its registers, its frames, and the instructions that concern it alone.

use super::convert::{compare, convert, convert_pair};
use super::{Result, World, arith, float, position};
use crate::instruction::{
    Address, Bool, Instruction, LaneMask, Op, Operand, Reg, Special, Test, With,
};
use crate::types::{Space, Type};
use crate::{Fault, Memory};

/// More than any recursion of a sensible kernel.
const MAX_FRAMES: usize = 1024;

/// A register before its first write: a value that shows.
const POISON: u64 = 0xA5A5_A5A5_A5A5_A5A5;

/// Why a thread stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its turn is over.
    Turn,
    /// It is at an instruction that concerns others.
    Together,
    Exit,
}

/// Where a function's variables begin in the thread's memory, and where it goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frame {
    pub(super) function: usize,
    pub(super) pc: u32,
    registers: usize,
    local: usize,
    param: usize,
}

#[derive(Debug, Default)]
pub(super) struct Thread {
    pub(super) index: u32,
    tid: [u32; 3],
    /// The callers' frames.
    callers: Vec<Frame>,
    pub(super) frame: Frame,
    registers: Vec<u64>,
    pub(super) local: Vec<u8>,
    pub(super) local_written: Vec<bool>,
    pub(super) param: Vec<u8>,
}

impl Thread {
    /// The thread at the kernel's first instruction.
    pub(super) fn reset<M>(
        &mut self,
        index: u32,
        kernel: usize,
        params: &[u8],
        world: &World<'_, M>,
    ) {
        let function = &world.module.functions[kernel];
        self.index = index;
        self.tid = position(index, world.block);
        self.callers.clear();
        self.frame = Frame { function: kernel, ..Frame::default() };
        self.registers.clear();
        self.registers.resize(function.registers as usize, POISON);
        self.local.clear();
        self.local.resize(function.local.bytes as usize, 0xA5);
        self.local_written.clear();
        self.local_written.resize(function.local.bytes as usize, false);
        self.param.clear();
        self.param.extend_from_slice(params);
        self.param.resize(function.param.bytes as usize, 0xA5);
    }

    pub(super) fn instruction<'m, M>(&self, world: &World<'m, M>) -> &'m Instruction {
        let module = world.module;
        &module.functions[self.frame.function].code[self.frame.pc as usize]
    }

    #[inline]
    pub(super) fn set(&mut self, reg: Reg, value: u64) {
        self.registers[self.frame.registers + reg as usize] = value;
    }

    #[inline]
    pub(super) fn get(&self, reg: Reg) -> u64 {
        self.registers[self.frame.registers + reg as usize]
    }

    #[inline]
    pub(super) fn predicate(&self, reg: Reg) -> bool {
        self.get(reg) & 1 == 1
    }

    #[inline]
    pub(super) fn value<M>(&self, operand: Operand, world: &World<'_, M>) -> u64 {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(value) => value,
            Operand::Local(offset) => self.frame.local as u64 + u64::from(offset),
            Operand::Param(offset) => self.frame.param as u64 + u64::from(offset),
            Operand::Special(special) => self.special(special, world),
        }
    }

    #[inline]
    pub(super) fn address<M>(&self, address: Address, world: &World<'_, M>) -> u64 {
        self.value(address.base, world).wrapping_add(address.offset as u64)
    }

    fn special<M>(&self, special: Special, world: &World<'_, M>) -> u64 {
        let lane = self.index % 32;
        match special {
            Special::Tid(axis) => u64::from(self.tid[axis as usize]),
            Special::Ntid(axis) => u64::from(world.block[axis as usize]),
            Special::Ctaid(axis) => u64::from(world.ctaid[axis as usize]),
            Special::Nctaid(axis) => u64::from(world.grid[axis as usize]),
            Special::LaneId => u64::from(lane),
            Special::WarpId => u64::from(self.index / 32),
            Special::NwarpId => u64::from(world.block.iter().product::<u32>().div_ceil(32)),
            Special::LaneMask(mask) => {
                let below = (1u64 << lane) - 1;
                let this = 1u64 << lane;
                u64::from(match mask {
                    LaneMask::Eq => this as u32,
                    LaneMask::Lt => below as u32,
                    LaneMask::Le => (below | this) as u32,
                    LaneMask::Ge => !below as u32,
                    LaneMask::Gt => !(below | this) as u32,
                })
            }
            Special::Clock => world.steps,
            Special::DynamicShared => world.dynamic_shared,
            Special::DynamicSharedBytes => world.dynamic_shared_bytes,
        }
    }

    /// Runs for at most `turn` instructions; where it fails, the frame is at the guilty one.
    pub(super) fn run<M: Memory>(&mut self, world: &mut World<'_, M>, turn: u32) -> Result<Stop> {
        for _ in 0..turn {
            let Instruction { guard, op, line } = self.instruction(world);
            world.steps += 1;
            if let Some((p, negate)) = *guard
                && self.predicate(p) == negate
            {
                self.frame.pc += 1;
                continue;
            }
            match op {
                Op::Nop => {}
                Op::Mov { ty, d, a } => self.set(*d, ty.truncate(self.value(*a, world))),
                Op::Compute { f, ty, mode, d, args } => {
                    let args = args.map(|arg| self.value(arg, world));
                    let value = if ty.is_float() {
                        float::float(*f, *ty, *mode, args)
                    } else {
                        arith::integer(*f, *ty, *mode, args)
                    };
                    self.set(*d, value);
                }
                Op::Convert { to, from, mode, d, a } => {
                    let a = self.value(*a, world);
                    self.set(*d, convert(*to, *from, *mode, a));
                }
                Op::ConvertPair { to, mode, d, a, b } => {
                    let (a, b) = (self.value(*a, world), self.value(*b, world));
                    self.set(*d, convert_pair(*to, *mode, a, b));
                }
                Op::Pack { part_bits, d, parts } => {
                    let mask = (1u64 << part_bits) - 1;
                    let join =
                        |sum, part: &Operand| sum << part_bits | (self.value(*part, world) & mask);
                    let value = parts.iter().rev().fold(0, join);
                    self.set(*d, value);
                }
                Op::Unpack { part_bits, d, a } => {
                    let mut value = self.value(*a, world);
                    for part in d {
                        if let Some(part) = part {
                            self.set(*part, value & ((1 << part_bits) - 1));
                        }
                        value >>= part_bits;
                    }
                }
                Op::SetPredicate { test, p, q, a, b, with } => {
                    let result = self.test(*test, *a, *b, world);
                    for (target, result) in [(p, result), (q, !result)] {
                        if let Some(target) = target {
                            let combined = self.combine(result, *with);
                            self.set(*target, u64::from(combined));
                        }
                    }
                }
                Op::SetValue { test, to, d, a, b, with } => {
                    let result = self.combine(self.test(*test, *a, *b, world), *with);
                    let one =
                        if *to == Type::F32 { u64::from(1f32.to_bits()) } else { 0xFFFF_FFFF };
                    self.set(*d, if result { one } else { 0 });
                }
                Op::Select { ty, d, a, b, p } => {
                    let chosen = if self.value(*p, world) & 1 == 1 { a } else { b };
                    self.set(*d, ty.truncate(self.value(*chosen, world)));
                }
                Op::SelectBySign { ty, sign, ftz, d, a, b, c } => {
                    let zero =
                        Test { compare: crate::instruction::Compare::Ge, ty: *sign, ftz: *ftz };
                    let chosen = if compare(zero, self.value(*c, world), 0) { a } else { b };
                    self.set(*d, ty.truncate(self.value(*chosen, world)));
                }
                Op::Load { space, ty, d, address } => {
                    let address = self.address(*address, world);
                    let mut bytes = [0; 32];
                    let bytes = &mut bytes[..ty.bytes() * d.len()];
                    self.load(world, *space, address, bytes, *line)?;
                    for (part, bytes) in d.iter().zip(bytes.chunks_exact(ty.bytes())) {
                        if let Some(part) = part {
                            self.set(*part, ty.extend(number(bytes)));
                        }
                    }
                }
                Op::Store { space, ty, values, address } => {
                    let address = self.address(*address, world);
                    let mut bytes = [0; 32];
                    for (value, bytes) in values.iter().zip(bytes.chunks_exact_mut(ty.bytes())) {
                        bytes.copy_from_slice(
                            &self.value(*value, world).to_le_bytes()[..ty.bytes()],
                        );
                    }
                    self.store(world, *space, address, &bytes[..ty.bytes() * values.len()], *line)?;
                }
                Op::Atomic { space, op, ty, d, address, b, c } => {
                    let address = self.address(*address, world);
                    let (b, c) = (self.value(*b, world), self.value(*c, world));
                    let old = self.atomic(world, *space, *op, *ty, address, b, c, *line)?;
                    if let Some(d) = d {
                        self.set(*d, ty.extend(old));
                    }
                }
                Op::ToGeneric { space, d, a } => {
                    self.set(*d, self.value(*a, world).wrapping_add(space.window()))
                }
                Op::FromGeneric { space, d, a } => {
                    self.set(*d, self.value(*a, world).wrapping_sub(space.window()))
                }
                Op::IsSpace { space, p, a } => {
                    let found = Space::of_generic(self.value(*a, world)).0;
                    self.set(*p, u64::from(found == *space));
                }
                Op::Branch { target } => {
                    self.frame.pc = *target;
                    continue;
                }
                Op::BranchIndexed { index, targets } => {
                    let index = Type::U32.truncate(self.value(*index, world)) as usize;
                    let outside = Fault::BranchIndex { index, targets: targets.len() };
                    self.frame.pc = *targets.get(index).ok_or(outside)?;
                    continue;
                }
                Op::Call { function, arguments, .. } => {
                    self.call(*function, arguments, world)?;
                    continue;
                }
                Op::Return if !self.callers.is_empty() => self.leave(world),
                Op::Return | Op::Exit => return Ok(Stop::Exit),
                Op::Trap => return Err(Fault::Trap),
                Op::ActiveMask { d } => self.set(*d, 1 << (self.index % 32)),
                Op::Barrier(_) | Op::Warp { .. } | Op::MatrixMultiply(_) => {
                    return Ok(Stop::Together);
                }
            }
            self.frame.pc += 1;
        }
        Ok(Stop::Turn)
    }

    #[inline]
    fn test<M>(&self, test: Test, a: Operand, b: Operand, world: &World<'_, M>) -> bool {
        compare(test, self.value(a, world), self.value(b, world))
    }

    #[inline]
    fn combine(&self, result: bool, with: Option<With>) -> bool {
        let Some(with) = with else { return result };
        let p = self.predicate(with.p) != with.negate;
        match with.op {
            Bool::And => result & p,
            Bool::Or => result | p,
            Bool::Xor => result ^ p,
        }
    }

    /// A new frame behind the caller's.
    fn call<M>(
        &mut self,
        index: usize,
        arguments: &[crate::instruction::Copy],
        world: &World<'_, M>,
    ) -> Result<()> {
        if self.callers.len() == MAX_FRAMES {
            return Err(Fault::CallDepth(MAX_FRAMES));
        }
        let callee = &world.module.functions[index];
        self.callers.push(self.frame);
        let caller = self.frame;
        self.frame = Frame {
            function: index,
            pc: 0,
            registers: self.registers.len(),
            // Frames keep the strictest alignment of a variable.
            local: self.local.len().next_multiple_of(16),
            param: self.param.len().next_multiple_of(16),
        };
        self.registers.resize(self.frame.registers + callee.registers as usize, POISON);
        self.local.resize(self.frame.local + callee.local.bytes as usize, 0xA5);
        self.local_written.resize(self.local.len(), false);
        self.param.resize(self.frame.param + callee.param.bytes as usize, 0xA5);
        for copy in arguments {
            let from = caller.param + copy.from as usize;
            self.param
                .copy_within(from..from + copy.bytes as usize, self.frame.param + copy.to as usize);
        }
        Ok(())
    }

    /// Back to the caller, at its call.
    fn leave<M>(&mut self, world: &World<'_, M>) {
        let callee = self.frame;
        let Some(caller) = self.callers.pop() else { return };
        self.frame = caller;
        if let Op::Call { returns, .. } = &self.instruction(world).op {
            for copy in returns {
                let from = callee.param + copy.from as usize;
                self.param
                    .copy_within(from..from + copy.bytes as usize, caller.param + copy.to as usize);
            }
        }
        self.registers.truncate(callee.registers);
        self.local.truncate(callee.local);
        self.local_written.truncate(callee.local);
        self.param.truncate(callee.param);
    }
}

/// Little-endian bytes as a number.
#[inline]
pub(super) fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}
