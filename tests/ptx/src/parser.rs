//! Tokens → a module, in one pass: PTX declares names before their use, except for labels.

mod declaration;
mod operand;
mod symbols;

use crate::ParseError;
use crate::argument::Argument;
use crate::decode;
use crate::instruction::{Copy, Instruction, Op};
use crate::lexer::{Token, tokens};
use crate::module::{Function, Image, Module, SharedVariable, Slot};
use crate::types::Space;

use symbols::{Labels, Scopes};

type Result<T> = std::result::Result<T, ParseError>;

impl Module {
    /// Parses a module.
    ///
    /// # Errors
    /// Text that is not PTX, or PTX that the interpreter does not know, with its line.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<Module> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        scopes: Scopes::new(),
        target: None,
        functions: Vec::new(),
        constants: Image::new(Space::CONSTANTS),
        globals: Image::new(Space::GLOBALS),
        shared: Vec::new(),
        calls: Vec::new(),
    };
    parser.module()?;
    for &(function, line) in &parser.calls {
        let callee = &parser.functions[function];
        if callee.code.is_empty() {
            return Err(ParseError::new(
                line,
                format!("call of `{}`, which has no body here", callee.name),
            ));
        }
    }
    let Parser { target, functions, constants, globals, shared, .. } = parser;
    Ok(Module::new(target, functions, constants, globals, shared))
}

struct Parser<'a> {
    tokens: Vec<(Token<'a>, u32)>,
    at: usize,
    scopes: Scopes<'a>,
    target: Option<i32>,
    functions: Vec<Function>,
    constants: Image,
    globals: Image,
    shared: Vec<SharedVariable>,
    /// Functions called, with the line of the call.
    calls: Vec<(usize, u32)>,
}

impl<'a> Parser<'a> {
    fn module(&mut self) -> Result<()> {
        while let Some(token) = self.peek() {
            match token {
                Token::Word(".version") => self.skip_line(),
                Token::Word(".target") => {
                    if let Some((Token::Word(name), _)) = self.tokens.get(self.at + 1) {
                        self.target = name.strip_prefix("sm_").and_then(|n| n.parse().ok());
                    }
                    self.skip_line();
                }
                Token::Word(".address_size") => {
                    self.next()?;
                    if self.number()? != 64 {
                        return Err(self.error("only 64-bit addresses are supported"));
                    }
                }
                Token::Word(".file") => self.skip_line(),
                Token::Word(".section") => self.skip_braces()?,
                Token::Word(".visible" | ".weak" | ".extern" | ".common") => self.at += 1,
                Token::Word(".entry" | ".func") => self.function()?,
                Token::Word(".global" | ".const" | ".shared") => self.variable(None)?,
                _ => return Err(self.unexpected("a declaration")),
            }
        }
        Ok(())
    }

    fn function(&mut self) -> Result<()> {
        let entry = self.next()? == Token::Word(".entry");
        let mut function = Function { entry, line: self.line(), ..Function::default() };
        self.scopes.push();
        let mut returns = Vec::new();
        if self.peek() == Some(Token::Punct('(')) {
            returns = self.formals(&mut function)?;
        }
        function.name = self.word()?.to_owned();
        if self.peek() == Some(Token::Punct('(')) {
            function.formals = self.formals(&mut function)?;
        }
        function.returns = returns;
        self.attributes(&mut function)?;

        // A declaration and its definition are one function.
        let declared = self.functions.iter().position(|f| f.name == function.name);
        let index = declared.unwrap_or(self.functions.len());
        let body = self.next()? == Token::Punct('{');
        match declared {
            Some(index) if body && !self.functions[index].code.is_empty() => {
                return Err(self.error(format!("`{}` is defined twice", function.name)));
            }
            Some(index) if body => self.functions[index] = function,
            Some(_) => {}
            None => self.functions.push(function),
        }
        if body {
            self.body(index)?;
        }
        self.scopes.pop();
        Ok(())
    }

    /// `.maxntid` and friends, up to the body or the semicolon.
    fn attributes(&mut self, function: &mut Function) -> Result<()> {
        while let Some(token) = self.peek() {
            match token {
                Token::Punct('{' | ';') => return Ok(()),
                Token::Word(".maxntid" | ".reqntid") => {
                    self.at += 1;
                    let mut threads = self.number()?;
                    while self.eat(',') {
                        threads = threads.saturating_mul(self.number()?);
                    }
                    function.max_threads = Some(threads);
                }
                Token::Word(".minnctapersm" | ".maxnreg") => {
                    self.at += 1;
                    self.number()?;
                }
                Token::Word(".noreturn") => self.at += 1,
                _ => return Err(self.unexpected("a function's body")),
            }
        }
        Err(self.unexpected("a function's body"))
    }

    /// Statements up to the closing brace of the function.
    fn body(&mut self, index: usize) -> Result<()> {
        let mut labels = Labels::default();
        let mut depth = 1;
        loop {
            match self.peek().ok_or_else(|| self.unexpected("`}`"))? {
                Token::Punct('{') => {
                    self.at += 1;
                    depth += 1;
                    self.scopes.push();
                }
                Token::Punct('}') => {
                    self.at += 1;
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    self.scopes.pop();
                }
                Token::Punct(';') => self.at += 1,
                Token::Word(".reg") => self.registers(index)?,
                Token::Word(".shared" | ".local" | ".param" | ".const" | ".global" | ".extern") => {
                    self.variable(Some(index))?;
                }
                Token::Word(".pragma" | ".callprototype") => self.skip_statement()?,
                Token::Word(".loc" | ".file") => self.skip_line(),
                Token::Word(name)
                    if self.tokens.get(self.at + 1).map(|t| t.0) == Some(Token::Punct(':')) =>
                {
                    self.at += 2;
                    let position = self.functions[index].code.len() as u32;
                    if self.peek() == Some(Token::Word(".branchtargets")) {
                        self.at += 1;
                        let mut targets = vec![labels.id(self.word()?, self.line())];
                        while self.eat(',') {
                            targets.push(labels.id(self.word()?, self.line()));
                        }
                        self.expect(';')?;
                        labels.tables.insert(name, targets);
                    } else if !labels.define(name, position) {
                        return Err(self.error(format!("label `{name}` is defined twice")));
                    }
                }
                _ => {
                    let instruction = self.instruction(&mut labels)?;
                    self.functions[index].code.push(instruction);
                }
            }
        }
        // Falling off the end returns.
        let function = &mut self.functions[index];
        let line = self.tokens[self.at - 1].1;
        function.code.push(Instruction { line, guard: None, op: Op::Return });
        labels.resolve(&mut function.code)
    }

    fn instruction(&mut self, labels: &mut Labels<'a>) -> Result<Instruction> {
        let mut guard = None;
        if self.eat('@') {
            let negate = self.eat('!');
            let name = self.word()?;
            let p = self
                .scopes
                .register(name)
                .ok_or_else(|| self.error(format!("unknown predicate `{name}`")))?;
            guard = Some((p, negate));
        }
        let opcode = self.word()?;
        let line = self.line();
        let arguments = self.arguments()?;
        let op = match opcode {
            "bra" | "bra.uni" => match arguments[..] {
                [Argument::Name(target)] => Op::Branch { target: labels.id(target, line) },
                _ => return Err(ParseError::new(line, format!("{opcode} takes a label"))),
            },
            "brx.idx" | "brx.idx.uni" => match arguments[..] {
                [Argument::Value(index), Argument::Name(table)] => {
                    let targets = labels.tables.get(table).cloned();
                    let unknown =
                        || ParseError::new(line, format!("no `.branchtargets` named `{table}`"));
                    Op::BranchIndexed { index, targets: targets.ok_or_else(unknown)? }
                }
                _ => {
                    return Err(ParseError::new(
                        line,
                        format!("{opcode} takes an index and a table"),
                    ));
                }
            },
            "call" | "call.uni" => self.call(line, &arguments)?,
            _ => decode::decode(opcode, arguments)
                .map_err(|message| ParseError::new(line, message))?,
        };
        Ok(Instruction { line, guard, op })
    }

    /// `call (returns), name, (arguments)`, the parentheses optional.
    fn call(&mut self, line: u32, arguments: &[Argument<'a>]) -> Result<Op> {
        let error = |message: String| ParseError::new(line, message);
        let (returns, rest) = match arguments {
            [Argument::List(returns), rest @ ..] => (&returns[..], rest),
            rest => (&[][..], rest),
        };
        let (name, passed) = match rest {
            [Argument::Name(name)] => (*name, &[][..]),
            [Argument::Name(name), Argument::List(passed)] => (*name, &passed[..]),
            _ => return Err(error("only direct calls of named functions are supported".into())),
        };
        // What a failed `assert` calls.
        if name == "__assertfail" {
            return Ok(Op::Trap);
        }
        let function = self.functions.iter().position(|f| f.name == name && !f.entry);
        let function = function.ok_or_else(|| error(format!("unknown function `{name}`")))?;
        self.calls.push((function, line));
        let callee = &self.functions[function];
        let copies = |ours: &[Slot], theirs: &[Slot]| -> Result<Vec<Copy>> {
            if ours.len() != theirs.len()
                || ours.iter().zip(theirs).any(|(a, b)| a.bytes != b.bytes)
            {
                return Err(error(format!("arguments do not match the declaration of `{name}`")));
            }
            let pairs = ours.iter().zip(theirs);
            Ok(pairs.map(|(a, b)| Copy { from: a.offset, to: b.offset, bytes: a.bytes }).collect())
        };
        let arguments = copies(&self.param_slots(line, passed)?, &callee.formals)?;
        let returns = copies(&self.param_slots(line, returns)?, &callee.returns)?;
        let returns =
            returns.into_iter().map(|c| Copy { from: c.to, to: c.from, bytes: c.bytes }).collect();
        Ok(Op::Call { function, arguments, returns })
    }

    fn param_slots(&self, line: u32, names: &[&str]) -> Result<Vec<Slot>> {
        let slot = |name: &&str| {
            let unknown = || ParseError::new(line, format!("`{name}` is not a `.param` variable"));
            self.scopes.param(name).ok_or_else(unknown)
        };
        names.iter().map(slot).collect()
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|t| t.0)
    }

    fn next(&mut self) -> Result<Token<'a>> {
        let token = self.peek().ok_or_else(|| self.unexpected("more text"))?;
        self.at += 1;
        Ok(token)
    }

    /// Line of the token that was read last.
    fn line(&self) -> u32 {
        self.tokens.get(self.at.saturating_sub(1)).map_or(1, |t| t.1)
    }

    fn eat(&mut self, punct: char) -> bool {
        let found = self.peek() == Some(Token::Punct(punct));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, punct: char) -> Result<()> {
        if self.eat(punct) { Ok(()) } else { Err(self.unexpected(&format!("`{punct}`"))) }
    }

    fn word(&mut self) -> Result<&'a str> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn number(&mut self) -> Result<u64> {
        let negative = self.eat('-');
        match self.peek() {
            Some(Token::Number(value)) => {
                self.at += 1;
                Ok(if negative { value.wrapping_neg() } else { value })
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    fn skip_line(&mut self) {
        let line = self.tokens[self.at].1;
        while self.tokens.get(self.at).is_some_and(|t| t.1 == line) {
            self.at += 1;
        }
    }

    fn skip_statement(&mut self) -> Result<()> {
        while self.next()? != Token::Punct(';') {}
        Ok(())
    }

    fn skip_braces(&mut self) -> Result<()> {
        while self.next()? != Token::Punct('}') {}
        Ok(())
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.line(), message)
    }

    fn unexpected(&self, wanted: &str) -> ParseError {
        let line = self.tokens.get(self.at).map_or_else(|| self.line(), |t| t.1);
        let found = match self.peek() {
            Some(Token::Word(word)) => format!("`{word}`"),
            Some(Token::Number(number)) => format!("`{number}`"),
            Some(Token::Text(text)) => format!("{text:?}"),
            Some(Token::Punct(punct)) => format!("`{punct}`"),
            None => "the end".into(),
        };
        ParseError::new(line, format!("expected {wanted}, found {found}"))
    }
}
