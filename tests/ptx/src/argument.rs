//! The operands of an instruction, between the parser and the decoder.

use crate::instruction::{Address, Operand};

/// An operand as written, names resolved.
#[derive(Debug, Clone)]
pub(crate) enum Argument<'a> {
    Value(Operand),
    /// `!p`
    Negated(Operand),
    /// `_`: the result is not wanted.
    Sink,
    /// `[a+8]`
    Address(Address),
    /// `{a, b}`; `None` is `_`.
    Vector(Vec<Option<Operand>>),
    /// `d|p`
    Pair(Option<Operand>, Option<Operand>),
    /// A label or a function.
    Name(&'a str),
    /// `(a, b)` of a call.
    List(Vec<&'a str>),
}
