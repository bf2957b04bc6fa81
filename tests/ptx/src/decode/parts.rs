//! Taking modifiers and operands one by one.

use std::collections::VecDeque;

use super::Result;
use crate::argument::Argument;
use crate::instruction::{Address, Bool, Compare, Mode, Operand, Reg, Rounding, With};
use crate::types::{Space, Type};

/// The parts of an opcode behind its name.
pub(super) struct Modifiers<'a> {
    pub(super) name: &'a str,
    opcode: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Modifiers<'a> {
    pub(super) fn new(opcode: &'a str) -> Self {
        let mut parts = opcode.split('.');
        let name = parts.next().unwrap_or_default();
        Self { name, opcode, rest: parts.collect() }
    }

    pub(super) fn take(&mut self, modifier: &str) -> bool {
        let found = self.rest.iter().position(|m| *m == modifier);
        found.map(|i| self.rest.remove(i)).is_some()
    }

    /// The first modifier that `parse` knows.
    pub(super) fn find<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (i, value) = self.rest.iter().enumerate().find_map(|(i, m)| Some((i, parse(m)?)))?;
        self.rest.remove(i);
        Some(value)
    }

    pub(super) fn take_all(&mut self) {
        self.rest.clear();
    }

    pub(super) fn is_float(&self) -> bool {
        self.rest.iter().any(|m| Type::parse(m).is_some_and(Type::is_float))
    }

    /// The last type that is left.
    pub(super) fn ty(&mut self) -> Result<Type> {
        let found =
            self.rest.iter().enumerate().rev().find_map(|(i, m)| Some((i, Type::parse(m)?)));
        let (i, ty) = found.ok_or_else(|| format!("`{}` has no known type", self.opcode))?;
        self.rest.remove(i);
        Ok(ty)
    }

    pub(super) fn space(&mut self) -> Result<Space> {
        self.find(Space::parse).ok_or_else(|| format!("`{}` has no known space", self.opcode))
    }

    pub(super) fn mode(&mut self) -> Mode {
        let mut mode = Mode::default();
        let rounding = self.find(|m| {
            Some(match m {
                "rn" => (Rounding::Nearest, false),
                "rna" => (Rounding::Away, false),
                "rz" => (Rounding::Zero, false),
                "rm" => (Rounding::Down, false),
                "rp" => (Rounding::Up, false),
                "rni" => (Rounding::Nearest, true),
                "rzi" => (Rounding::Zero, true),
                "rmi" => (Rounding::Down, true),
                "rpi" => (Rounding::Up, true),
                _ => return None,
            })
        });
        if let Some((rounding, to_integer)) = rounding {
            (mode.rounding, mode.to_integer) = (rounding, to_integer);
        }
        mode.ftz = self.take("ftz");
        mode.sat = self.take("sat");
        mode.nan = self.take("NaN");
        mode.relu = self.take("relu");
        mode
    }

    /// A comparison; those of unsigned integers have names of their own.
    pub(super) fn compare(&mut self, ty: Type) -> Result<Compare> {
        let float = ty.is_float();
        let found = self.find(|m| {
            Some(match m {
                "eq" => Compare::Eq,
                "ne" => Compare::Ne,
                "lt" | "lo" => Compare::Lt,
                "le" | "ls" => Compare::Le,
                "gt" | "hi" => Compare::Gt,
                "ge" | "hs" => Compare::Ge,
                "equ" if float => Compare::Equ,
                "neu" if float => Compare::Neu,
                "ltu" if float => Compare::Ltu,
                "leu" if float => Compare::Leu,
                "gtu" if float => Compare::Gtu,
                "geu" if float => Compare::Geu,
                "num" if float => Compare::Num,
                "nan" if float => Compare::Nan,
                _ => return None,
            })
        });
        found.ok_or_else(|| format!("`{}` has no known comparison", self.opcode))
    }

    pub(super) fn bool(&mut self) -> Option<Bool> {
        self.find(|m| {
            Some(match m {
                "and" => Bool::And,
                "or" => Bool::Or,
                "xor" => Bool::Xor,
                _ => return None,
            })
        })
    }

    pub(super) fn unknown<T>(&self) -> Result<T> {
        Err(format!("unsupported instruction `{}`", self.opcode))
    }

    pub(super) fn end(self) -> Result<()> {
        match self.rest.first() {
            Some(modifier) => {
                Err(format!("unsupported modifier `.{modifier}` in `{}`", self.opcode))
            }
            None => Ok(()),
        }
    }
}

/// The operands that are not yet taken.
pub(super) struct Arguments<'a> {
    opcode: &'a str,
    rest: VecDeque<Argument<'a>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(opcode: &'a str, arguments: Vec<Argument<'a>>) -> Self {
        Self { opcode, rest: arguments.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_vector(&self, index: usize) -> bool {
        matches!(self.rest.get(index), Some(Argument::Vector(_)))
    }

    pub(super) fn take_all(&mut self) {
        self.rest.clear();
    }

    pub(super) fn reg(&mut self) -> Result<Reg> {
        match self.rest.pop_front() {
            Some(Argument::Value(Operand::Reg(reg))) => Ok(reg),
            _ => self.wrong("a register"),
        }
    }

    /// A register, or `_`.
    pub(super) fn reg_or_sink(&mut self) -> Result<Option<Reg>> {
        if let Some(Argument::Sink) = self.rest.front() {
            self.rest.pop_front();
            return Ok(None);
        }
        self.reg().map(Some)
    }

    pub(super) fn value(&mut self) -> Result<Operand> {
        match self.rest.pop_front() {
            Some(Argument::Value(operand)) => Ok(operand),
            _ => self.wrong("a value"),
        }
    }

    /// `p`, `!p`, with the negation apart.
    pub(super) fn predicate(&mut self) -> Result<(Reg, bool)> {
        match self.rest.pop_front() {
            Some(Argument::Value(Operand::Reg(p))) => Ok((p, false)),
            Some(Argument::Negated(Operand::Reg(p))) => Ok((p, true)),
            _ => self.wrong("a predicate"),
        }
    }

    pub(super) fn address(&mut self) -> Result<Address> {
        match self.rest.pop_front() {
            Some(Argument::Address(address)) => Ok(address),
            _ => self.wrong("an address in brackets"),
        }
    }

    /// `d`, `d|p`, `_|p` or `d|_`.
    pub(super) fn pair(&mut self) -> Result<(Option<Reg>, Option<Reg>)> {
        let (d, p) = match self.rest.pop_front() {
            Some(Argument::Value(d)) => (Some(d), None),
            Some(Argument::Pair(d, p)) => (d, p),
            _ => return self.wrong("a register or a pair of them"),
        };
        Ok((self.only_reg(d)?, self.only_reg(p)?))
    }

    /// `{a, b}`, or one register as a vector of one.
    pub(super) fn registers(&mut self) -> Result<Vec<Option<Reg>>> {
        match self.rest.pop_front() {
            Some(Argument::Vector(parts)) => {
                parts.into_iter().map(|part| self.only_reg(part)).collect()
            }
            Some(Argument::Value(Operand::Reg(reg))) => Ok(vec![Some(reg)]),
            _ => self.wrong("registers"),
        }
    }

    pub(super) fn values(&mut self) -> Result<Vec<Operand>> {
        match self.rest.pop_front() {
            Some(Argument::Vector(parts)) if parts.iter().all(Option::is_some) => {
                Ok(parts.into_iter().flatten().collect())
            }
            Some(Argument::Value(value)) => Ok(vec![value]),
            _ => self.wrong("values"),
        }
    }

    /// The predicate of `setp.cmp.and` and its like.
    pub(super) fn with(&mut self, op: Option<Bool>) -> Result<Option<With>> {
        let Some(op) = op else { return Ok(None) };
        let (p, negate) = self.predicate()?;
        Ok(Some(With { op, p, negate }))
    }

    pub(super) fn end(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(format!("too many operands for `{}`", self.opcode))
        }
    }

    fn only_reg(&self, operand: Option<Operand>) -> Result<Option<Reg>> {
        match operand {
            None => Ok(None),
            Some(Operand::Reg(reg)) => Ok(Some(reg)),
            Some(_) => self.wrong("a register"),
        }
    }

    fn wrong<T>(&self, wanted: &str) -> Result<T> {
        Err(format!("`{}` wants {wanted} as its next operand", self.opcode))
    }
}
