//! Python's pickles, as far as they hold weights.
//!
//! A pickle is a program for a stack machine, and may ask to import and call any function of
//! Python: this is how a file of weights can run code. This interpreter has no way to run any. It
//! knows by name the few functions that make tensors and dictionaries, and does itself what they
//! would do. Any other one makes an [`Object`](super::value::Object), which is inert: it has what was put into it, and
//! does nothing. So a training script's checkpoint is read past its options, schedulers and paths.
//!
//! Values lie in one arena and refer to each other by index: what a pickle nests or shares takes no
//! recursion and no copies, so it takes memory in proportion to its own length and no more.

use super::machine::Machine;
use super::value::{Global, Id, Result, Value};

/// What a pickle made.
#[derive(Debug)]
pub(super) struct Pickled {
    values: Vec<Value>,
    /// The whole, of which the others are parts.
    root: Id,
}

impl Pickled {
    /// Runs the pickle at the start of `code`, and returns what follows it.
    pub(super) fn read(code: &[u8]) -> Result<(Self, &[u8])> {
        let (values, root, rest) = Machine::new(code).run()?;
        Ok((Self { values, root }, rest))
    }

    pub(super) fn root(&self) -> &Value {
        self.get(self.root)
    }

    pub(super) fn root_id(&self) -> Id {
        self.root
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    /// The values, in the order in which they were made.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// A text, or nothing if it is something else.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The first names that it imports and that are not known here.
    pub(super) fn asks(&self, most: usize) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for value in &self.values {
            if let Value::Global(Global::Other(name)) = value
                && names.len() < most
                && !names.iter().any(|known| **known == **name)
            {
                names.push(name.as_ref().into());
            }
        }
        names
    }

    /// The name of the function or class that an object was to come from, or of one itself.
    pub(super) fn foreign<'a>(&'a self, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::Object(object) => match self.get(object.of) {
                Value::Global(Global::Other(name)) => Some(name),
                _ => None,
            },
            Value::Global(Global::Other(name)) => Some(name),
            _ => None,
        }
    }
}
