//! Declarations: registers, parameters and variables.

use super::symbols::Symbol;
use super::{Parser, Result};
use crate::instruction::{Operand, Special};
use crate::lexer::Token;
use crate::module::{Function, SharedVariable, Slot};
use crate::types::{Space, Type};

/// What precedes the semicolon of a variable's declaration.
struct Variable<'a> {
    name: &'a str,
    ty: Type,
    align: u32,
    /// `None`: `extern` without a size.
    elements: Option<u64>,
}

impl Variable<'_> {
    fn bytes(&self) -> u64 {
        self.elements.unwrap_or(0).saturating_mul(self.ty.bytes() as u64)
    }
}

impl<'a> Parser<'a> {
    /// `.reg .b32 %r<5>, %x;`
    pub(super) fn registers(&mut self, function: usize) -> Result<()> {
        self.next()?;
        self.ty()?;
        loop {
            let name = self.word()?;
            let first = self.functions[function].registers;
            if self.eat('<') {
                let count = self.number()?;
                let count = u32::try_from(count).ok().filter(|&n| n < 1 << 20);
                let count = count.ok_or_else(|| self.error("too many registers"))?;
                self.expect('>')?;
                self.scopes.define(name, Symbol::Registers { first, count });
                self.functions[function].registers += count;
            } else {
                self.scopes.define(name, Symbol::Register(first));
                self.functions[function].registers += 1;
            }
            if !self.eat(',') {
                return self.expect(';');
            }
        }
    }

    /// `(.param .u64 a, .param .align 4 .b8 b[16])`
    pub(super) fn formals(&mut self, function: &mut Function) -> Result<Vec<Slot>> {
        self.expect('(')?;
        let mut slots = Vec::new();
        while !self.eat(')') {
            match self.word()? {
                ".param" => {}
                other => {
                    return Err(self.error(format!(
                        "parameters in `{other}` are not supported, only `.param`"
                    )));
                }
            }
            let variable = self.declarator()?;
            let bytes = self.small(variable.bytes())?;
            let slot = function.param.add(bytes, variable.align);
            self.scopes.define(variable.name, Symbol::Param(slot));
            slots.push(slot);
            self.eat(',');
        }
        Ok(slots)
    }

    /// A variable of the module, or of a function.
    pub(super) fn variable(&mut self, function: Option<usize>) -> Result<()> {
        if self.peek() == Some(Token::Word(".extern")) {
            self.at += 1;
        }
        let word = self.word()?;
        let space = Space::parse(&word[1..])
            .ok_or_else(|| self.error(format!("unknown space `{word}`")))?;
        let variable = self.declarator()?;
        let mut init = vec![0; self.small(variable.bytes())? as usize];
        if self.eat('=') {
            self.initialiser(variable.ty, &mut init)?;
        }
        self.expect(';')?;
        let align = variable.align;
        let symbol = match (space, function) {
            (Space::Shared, _) if variable.elements.is_none() => {
                Symbol::Variable(Operand::Special(Special::DynamicShared))
            }
            (_, _) if variable.elements.is_none() => {
                return Err(self.error(format!("`{}` has no size", variable.name)));
            }
            (Space::Shared, _) => {
                let offset = SharedVariable::end(&self.shared).next_multiple_of(u64::from(align));
                let owner = function.filter(|&index| self.functions[index].entry);
                self.shared.push(SharedVariable { offset, bytes: variable.bytes(), owner });
                Symbol::Variable(Operand::Imm(offset))
            }
            (Space::Const, _) => {
                Symbol::Variable(Operand::Imm(self.constants.add(&init, u64::from(align))))
            }
            (Space::Global, _) => {
                Symbol::Variable(Operand::Imm(self.globals.add(&init, u64::from(align))))
            }
            (Space::Local, Some(index)) => {
                let slot = self.functions[index].local.add(init.len() as u32, align);
                Symbol::Variable(Operand::Local(slot.offset))
            }
            (Space::Param, Some(index)) => {
                Symbol::Param(self.functions[index].param.add(init.len() as u32, align))
            }
            _ => return Err(self.error(format!("a `{word}` variable outside of a function"))),
        };
        self.scopes.define(variable.name, symbol);
        Ok(())
    }

    /// `.align 4 .b8 name[16]`, with the attributes of pointers skipped.
    fn declarator(&mut self) -> Result<Variable<'a>> {
        let (mut align, mut pointee, mut lanes, mut ty) = (None, false, 1, None);
        while let Some(Token::Word(word)) =
            self.peek().filter(|t| matches!(t, Token::Word(w) if w.starts_with('.')))
        {
            self.at += 1;
            match word {
                ".align" => {
                    let bytes = self.number()?;
                    if !bytes.is_power_of_two() || bytes > 1 << 12 {
                        return Err(self
                            .error(format!("alignment {bytes} is not a power of two up to 4096")));
                    }
                    // Behind `.ptr` it is the alignment of what the parameter points to.
                    if !pointee {
                        align = Some(bytes as u32);
                    }
                }
                ".ptr" => pointee = true,
                ".global" | ".shared" | ".const" | ".local" if pointee => {}
                ".v2" => lanes = 2,
                ".v4" => lanes = 4,
                _ => {
                    let found = Type::parse(&word[1..]);
                    ty = Some(found.ok_or_else(|| self.error(format!("unknown type `{word}`")))?);
                }
            }
        }
        let name = self.word()?;
        let ty = ty.ok_or_else(|| self.error(format!("`{name}` has no type")))?;
        let mut elements = Some(lanes);
        while self.eat('[') {
            if self.eat(']') {
                elements = None;
                continue;
            }
            let count = self.number()?;
            elements = elements.map(|n: u64| n.saturating_mul(count));
            self.expect(']')?;
        }
        let align = align.unwrap_or(ty.bytes() as u32 * lanes as u32);
        Ok(Variable { name, ty, align, elements })
    }

    /// Numbers, or nested lists of them, in row-major order; what is not named is zero.
    fn initialiser(&mut self, ty: Type, bytes: &mut [u8]) -> Result<()> {
        let (mut depth, mut at) = (0, 0);
        loop {
            match self.peek() {
                Some(Token::Punct('{')) => {
                    self.at += 1;
                    depth += 1;
                }
                Some(Token::Punct('}')) if depth > 0 => {
                    self.at += 1;
                    depth -= 1;
                }
                Some(Token::Punct(',')) => self.at += 1,
                Some(Token::Word(name)) => {
                    return Err(self.error(format!(
                        "an initialiser with an address (`{name}`) is not supported"
                    )));
                }
                _ => {
                    let value = self.number()?.to_le_bytes();
                    let element = bytes.get_mut(at..at + ty.bytes());
                    element
                        .ok_or_else(|| self.error("more values than elements"))?
                        .copy_from_slice(&value[..ty.bytes()]);
                    at += ty.bytes();
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn ty(&mut self) -> Result<Type> {
        let word = self.word()?;
        let ty = word.strip_prefix('.').and_then(Type::parse);
        ty.ok_or_else(|| self.error(format!("unknown type `{word}`")))
    }

    fn small(&self, bytes: u64) -> Result<u32> {
        let small = u32::try_from(bytes).ok().filter(|&n| n <= 1 << 28);
        small.ok_or_else(|| self.error(format!("a variable of {bytes} bytes is too large")))
    }
}
