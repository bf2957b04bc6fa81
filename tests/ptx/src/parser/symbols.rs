//! Names: scopes of registers and variables, and a function's labels.

use std::collections::HashMap;

use crate::ParseError;
use crate::instruction::{Instruction, LaneMask, Op, Operand, Reg, Special};
use crate::module::Slot;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Symbol {
    Register(Reg),
    /// `%r<5>`: the registers `%r0` to `%r4`.
    Registers {
        first: Reg,
        count: u32,
    },
    Param(Slot),
    Variable(Operand),
}

/// Nested scopes; the innermost comes last.
pub(crate) struct Scopes<'a>(Vec<HashMap<&'a str, Symbol>>);

impl<'a> Scopes<'a> {
    pub(crate) fn new() -> Self {
        Self(vec![HashMap::new()])
    }

    pub(crate) fn push(&mut self) {
        self.0.push(HashMap::new());
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    pub(crate) fn define(&mut self, name: &'a str, symbol: Symbol) {
        if let Some(scope) = self.0.last_mut() {
            scope.insert(name, symbol);
        }
    }

    /// What a name stands for as an operand.
    pub(crate) fn operand(&self, name: &str) -> Option<Operand> {
        match self.find(name) {
            Some(Symbol::Param(slot)) => Some(Operand::Param(slot.offset)),
            Some(Symbol::Variable(operand)) => Some(operand),
            Some(Symbol::Register(reg)) => Some(Operand::Reg(reg)),
            _ => self.register(name).map(Operand::Reg).or_else(|| special(name)),
        }
    }

    pub(crate) fn register(&self, name: &str) -> Option<Reg> {
        if let Some(Symbol::Register(reg)) = self.find(name) {
            return Some(reg);
        }
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: u32 = name[prefix.len()..].parse().ok()?;
        match self.find(prefix) {
            Some(Symbol::Registers { first, count }) if number < count => Some(first + number),
            _ => None,
        }
    }

    pub(crate) fn param(&self, name: &str) -> Option<Slot> {
        match self.find(name) {
            Some(Symbol::Param(slot)) => Some(slot),
            _ => None,
        }
    }

    fn find(&self, name: &str) -> Option<Symbol> {
        self.0.iter().rev().find_map(|scope| scope.get(name)).copied()
    }
}

fn special(name: &str) -> Option<Operand> {
    let special = match name {
        "%laneid" => Special::LaneId,
        "%warpid" => Special::WarpId,
        "%nwarpid" => Special::NwarpId,
        "%lanemask_eq" => Special::LaneMask(LaneMask::Eq),
        "%lanemask_le" => Special::LaneMask(LaneMask::Le),
        "%lanemask_lt" => Special::LaneMask(LaneMask::Lt),
        "%lanemask_ge" => Special::LaneMask(LaneMask::Ge),
        "%lanemask_gt" => Special::LaneMask(LaneMask::Gt),
        "%clock" | "%clock64" | "%globaltimer" => Special::Clock,
        "%dynamic_smem_size" => Special::DynamicSharedBytes,
        "WARP_SZ" => return Some(Operand::Imm(32)),
        _ => {
            let (name, axis) = name.split_once('.')?;
            let axis = match axis {
                "x" => 0,
                "y" => 1,
                "z" => 2,
                _ => return None,
            };
            match name {
                "%tid" => Special::Tid(axis),
                "%ntid" => Special::Ntid(axis),
                "%ctaid" => Special::Ctaid(axis),
                "%nctaid" => Special::Nctaid(axis),
                _ => return None,
            }
        }
    };
    Some(Operand::Special(special))
}

/// The labels of one function; until all are known, branches hold a label's number.
#[derive(Default)]
pub(crate) struct Labels<'a> {
    ids: HashMap<&'a str, u32>,
    /// Position of each label, and the line of its first use.
    positions: Vec<(Option<u32>, &'a str, u32)>,
    pub(crate) tables: HashMap<&'a str, Vec<u32>>,
}

impl<'a> Labels<'a> {
    pub(crate) fn id(&mut self, name: &'a str, line: u32) -> u32 {
        let next = self.positions.len() as u32;
        let id = *self.ids.entry(name).or_insert(next);
        if id == next {
            self.positions.push((None, name, line));
        }
        id
    }

    /// False if the label has a position already.
    pub(crate) fn define(&mut self, name: &'a str, position: u32) -> bool {
        let id = self.id(name, 0) as usize;
        self.positions[id].0.replace(position).is_none()
    }

    /// Puts positions in the place of numbers.
    pub(crate) fn resolve(&self, code: &mut [Instruction]) -> Result<(), ParseError> {
        let position = |id: u32| {
            let (position, name, line) = self.positions[id as usize];
            position.ok_or_else(|| ParseError::new(line, format!("unknown label `{name}`")))
        };
        for instruction in code {
            match &mut instruction.op {
                Op::Branch { target } => *target = position(*target)?,
                Op::BranchIndexed { targets, .. } => {
                    for target in targets {
                        *target = position(*target)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
