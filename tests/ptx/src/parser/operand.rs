//! The operands of an instruction.

use super::{Parser, Result};
use crate::argument::Argument;
use crate::instruction::{Address, Operand};
use crate::lexer::Token;

impl<'a> Parser<'a> {
    /// All operands up to the semicolon.
    pub(super) fn arguments(&mut self) -> Result<Vec<Argument<'a>>> {
        let mut arguments = Vec::new();
        if self.eat(';') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.argument()?);
            if self.eat(';') {
                return Ok(arguments);
            }
            self.expect(',')?;
        }
    }

    fn argument(&mut self) -> Result<Argument<'a>> {
        match self.peek() {
            Some(Token::Punct('{')) => {
                self.at += 1;
                let mut parts = vec![self.part()?];
                while self.eat(',') {
                    parts.push(self.part()?);
                }
                self.expect('}')?;
                Ok(Argument::Vector(parts))
            }
            Some(Token::Punct('[')) => {
                self.at += 1;
                let base = self.value()?;
                let offset = if self.eat('+') || self.peek() == Some(Token::Punct('-')) {
                    self.number()? as i64
                } else {
                    0
                };
                self.expect(']')?;
                Ok(Argument::Address(Address { base, offset }))
            }
            Some(Token::Punct('(')) => {
                self.at += 1;
                let mut names = Vec::new();
                while !self.eat(')') {
                    names.push(self.word()?);
                    self.eat(',');
                }
                Ok(Argument::List(names))
            }
            Some(Token::Punct('!')) => {
                self.at += 1;
                Ok(Argument::Negated(self.value()?))
            }
            Some(Token::Word("_")) => {
                self.at += 1;
                if self.eat('|') {
                    Ok(Argument::Pair(None, self.part()?))
                } else {
                    Ok(Argument::Sink)
                }
            }
            Some(Token::Word(name)) if self.scopes.operand(name).is_none() => {
                self.at += 1;
                if name.starts_with('%') {
                    return Err(self.error(format!("unknown register `{name}`")));
                }
                Ok(Argument::Name(name))
            }
            _ => {
                let value = self.value()?;
                if self.eat('|') {
                    Ok(Argument::Pair(Some(value), self.part()?))
                } else {
                    Ok(Argument::Value(value))
                }
            }
        }
    }

    /// A value, or `_`.
    fn part(&mut self) -> Result<Option<Operand>> {
        if self.peek() == Some(Token::Word("_")) {
            self.at += 1;
            return Ok(None);
        }
        self.value().map(Some)
    }

    fn value(&mut self) -> Result<Operand> {
        let Some(Token::Word(name)) = self.peek() else {
            return self.number().map(Operand::Imm);
        };
        self.at += 1;
        let operand = self
            .scopes
            .operand(name)
            .ok_or_else(|| self.error(format!("unknown name `{name}`")))?;
        // `mov.u64 %rd1, table+8`
        let after =
            (self.tokens.get(self.at).map(|t| t.0), self.tokens.get(self.at + 1).map(|t| t.0));
        if let (Operand::Imm(address), (Some(Token::Punct('+')), Some(Token::Number(offset)))) =
            (operand, after)
        {
            self.at += 2;
            return Ok(Operand::Imm(address.wrapping_add(offset)));
        }
        Ok(operand)
    }
}
