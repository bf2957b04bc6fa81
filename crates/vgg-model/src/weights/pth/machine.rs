//! The stack machine whose programs pickles are: the instructions that files of weights have.

use std::collections::HashMap;

use super::value::{Global, Id, Object, Result, StorageRef, TensorRef, Value};

/// A storage's key is a number, or an address; longer ones would be copied for each of its tensors.
const MAX_KEY: usize = 200;

/// More dimensions than this are taken for an attack.
const MAX_RANK: usize = 8;

/// The state of a pickle that runs.
#[derive(Default)]
pub(super) struct Machine<'a> {
    code: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(code: &'a [u8]) -> Self {
        Self { code, ..Self::default() }
    }

    /// All values, which of them is the result, and what follows the pickle.
    pub(super) fn run(mut self) -> Result<(Vec<Value>, Id, &'a [u8])> {
        while self.step()? {}
        let root = self.pop()?;
        Ok((self.values, root, self.code))
    }

    /// Does one instruction; false after the last.
    fn step(&mut self) -> Result<bool> {
        let [opcode] = self.array()?;
        match opcode {
            b'.' => return Ok(false),
            0x80 => self.take(1).map(drop)?, // PROTO
            0x95 => self.take(8).map(drop)?, // FRAME
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => self.array().map(|x| self.push(Value::Int(i32::from_le_bytes(x).into())))?,
            b'K' => self.array().map(|x| self.push(Value::Int(u8::from_le_bytes(x).into())))?,
            b'M' => self.array().map(|x| self.push(Value::Int(u16::from_le_bytes(x).into())))?,
            0x8a => self.array().and_then(|[len]| self.long(len.into()))?,
            0x8b => self.array().and_then(|len| self.long(u32::from_le_bytes(len)))?,
            b'G' => self.take(8).map(|_| self.push(Value::Float))?,
            // Python 2 wrote names as bytes.
            b'X' | b'T' => {
                self.array().and_then(|len| self.push_text(u32::from_le_bytes(len).into()))?;
            }
            0x8c | b'U' => self.array().and_then(|[len]| self.push_text(len.into()))?,
            0x8d => self.array().and_then(|len| self.push_text(u64::from_le_bytes(len)))?,
            b'C' => self.array().and_then(|[len]| self.push_bytes(len.into()))?,
            b'B' => self.array().and_then(|len| self.push_bytes(u32::from_le_bytes(len).into()))?,
            0x8e | 0x96 => self.array().and_then(|len| self.push_bytes(u64::from_le_bytes(len)))?,
            b'}' => self.push(Value::Dict(vec![])),
            b']' | 0x8f => self.push(Value::List(vec![])), // 0x8f: EMPTY_SET
            b')' => self.push(Value::Tuple(vec![])),
            b'(' => self.marks.push(self.stack.len()),
            b't' | 0x91 => self.marked().map(|items| self.push(Value::Tuple(items)))?, // FROZENSET
            0x85 => self.top(1).map(|items| self.push(Value::Tuple(items)))?,
            0x86 => self.top(2).map(|items| self.push(Value::Tuple(items)))?,
            0x87 => self.top(3).map(|items| self.push(Value::Tuple(items)))?,
            b'a' => self.top(1).and_then(|items| self.append(items))?,
            b'e' | 0x90 => self.marked().and_then(|items| self.append(items))?, // ADDITEMS
            b's' => self.top(2).and_then(|items| self.set(&items))?,
            b'u' => self.marked().and_then(|items| self.set(&items))?,
            b'q' => self.array().and_then(|[slot]| self.remember(slot.into()))?,
            b'r' => self.array().and_then(|slot| self.remember(u32::from_le_bytes(slot)))?,
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => self.array().and_then(|[slot]| self.recall(slot.into()))?,
            b'j' => self.array().and_then(|slot| self.recall(u32::from_le_bytes(slot)))?,
            b'0' => self.pop().map(drop)?,
            b'1' => self.marked().map(drop)?,
            b'2' => self.peek().map(|id| self.stack.push(id))?,
            b'c' => self.global()?,
            0x93 => self.stack_global()?,
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            // Instances: NEWOBJ and NEWOBJ_EX, and of classes of Python 2, INST and OBJ.
            0x81 => self.top(2).map(|call| self.push_object(call[0]))?,
            0x92 => self.top(3).map(|call| self.push_object(call[0]))?,
            b'i' => {
                self.marked()?;
                self.global()?;
                self.pop().map(|class| self.push_object(class))?;
            }
            b'o' => {
                let class = *self.marked()?.first().ok_or(UNBALANCED)?;
                self.push_object(class);
            }
            b'b' => self.build()?,
            other => {
                let name = opcode_name(other);
                return Err(format!("its pickle has the instruction {name}, which weights lack"));
            }
        }
        Ok(true)
    }

    // --- the code ---

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) =
            self.code.split_at_checked(len).ok_or("its pickle is cut short, or too long")?;
        self.code = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    fn line(&mut self) -> Result<String> {
        let end = self.code.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.unwrap_or(usize::MAX))?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    fn long(&mut self, len: u32) -> Result<()> {
        let bytes = self.take(len as usize)?;
        let mut wide = [if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }; 16];
        match wide.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                self.push(Value::Int(i128::from_le_bytes(wide)));
            }
            // As in the states of generators of random numbers.
            None => self.push(Value::Float),
        }
        Ok(())
    }

    // --- the stack ---

    fn push(&mut self, value: Value) {
        // An instruction makes one value at most, and a pickle has fewer than 2³² of them.
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
    }

    fn push_text(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.push(Value::Text(String::from_utf8_lossy(bytes).into_owned()));
        Ok(())
    }

    fn push_bytes(&mut self, len: u64) -> Result<()> {
        self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.push(Value::Bytes);
        Ok(())
    }

    /// What `of`, of which nothing is known, was to make.
    fn push_object(&mut self, of: Id) {
        self.push(Value::Object(Box::new(Object { of, items: vec![], state: None })));
    }

    fn pop(&mut self) -> Result<Id> {
        Ok(self.top(1)?[0])
    }

    fn peek(&self) -> Result<Id> {
        Ok(*self.stack.last().ok_or(UNBALANCED)?)
    }

    /// Takes the last `n` values.
    fn top(&mut self, n: usize) -> Result<Vec<Id>> {
        let start = self.stack.len().checked_sub(n).ok_or(UNBALANCED)?;
        Ok(self.stack.split_off(start))
    }

    /// Takes the values since the last mark.
    fn marked(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or(UNBALANCED)?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
        self.memo.insert(slot, self.peek()?);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        self.stack.push(*self.memo.get(&slot).ok_or("its pickle recalls what it never made")?);
        Ok(())
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    fn tuple(&self, id: Id) -> Result<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) => Ok(items),
            other => Err(unexpected("a tuple", other)),
        }
    }

    fn text(&self, id: Id) -> Result<&str> {
        match self.value(id) {
            Value::Text(text) => Ok(text),
            other => Err(unexpected("a text", other)),
        }
    }

    /// A number of things: not negative, and within memory's range.
    fn count(&self, what: &str, id: Id) -> Result<usize> {
        match self.value(id) {
            Value::Int(n) => usize::try_from(*n)
                .ok()
                .filter(|n| *n <= isize::MAX as usize)
                .ok_or_else(|| format!("its pickle has a tensor with the {what} {n}")),
            other => Err(unexpected(what, other)),
        }
    }

    fn counts(&self, what: &str, id: Id) -> Result<Vec<usize>> {
        let items = self.tuple(id)?;
        if items.len() > MAX_RANK {
            return Err(format!("its pickle has a tensor of {} dimensions", items.len()));
        }
        items.iter().map(|id| self.count(what, *id)).collect()
    }

    // --- what instructions make ---

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.peek()?;
        match &mut self.values[list as usize] {
            Value::List(list) => list.extend(items),
            // A queue, or a list of another kind.
            Value::Object(_) => {}
            other => return Err(unexpected("a list", other)),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<()> {
        let dict = self.peek()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("its pickle has a key without a value".into());
        };
        let dict = match &mut self.values[dict as usize] {
            Value::Dict(dict) => dict,
            Value::Object(object) => &mut object.items,
            other => return Err(unexpected("a dictionary", other)),
        };
        dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn global(&mut self) -> Result<()> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Global(Global::find(&module, &name)));
        Ok(())
    }

    fn stack_global(&mut self) -> Result<()> {
        let names = self.top(2)?;
        let global = Global::find(self.text(names[0])?, self.text(names[1])?);
        self.push(Value::Global(global));
        Ok(())
    }

    /// `('storage', type, key, device, numbers)`, in old files with a view or `None` after it.
    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let (storage, view) = match *self.tuple(id)? {
            // A class, with its source beside it.
            [tag, class, ..] if self.text(tag)? == "module" => {
                self.stack.push(class);
                return Ok(());
            }
            [tag, ty, key, _, len] if self.text(tag)? == "storage" => ([ty, key, len], None),
            [tag, ty, key, _, len, view] if self.text(tag)? == "storage" => {
                ([ty, key, len], (*self.value(view) != Value::None).then_some(view))
            }
            _ => return Err("its pickle refers to something that is no storage".into()),
        };
        let [ty, key, len] = storage;
        let Value::Global(Global::Storage(dtype)) = *self.value(ty) else {
            // Of a type that weights do not have.
            self.push_object(ty);
            return Ok(());
        };
        let key_len = self.text(key)?.len();
        if key_len > MAX_KEY {
            return Err(format!("its pickle has a storage with a key of {key_len} bytes"));
        }
        let len = self.count("storage length", len)?;
        let view = match view {
            Some(view) => match *self.tuple(view)? {
                [_, start, len] => {
                    Some((self.count("view", start)?, self.count("view length", len)?))
                }
                _ => return Err("its pickle has a view of a storage that is none".into()),
            },
            None => None,
        };
        self.push(Value::Storage(Box::new(StorageRef { dtype, key, len, view })));
        Ok(())
    }

    /// Does what the function would do to the arguments, if it is a known one.
    fn reduce(&mut self) -> Result<()> {
        let call = self.top(2)?;
        self.call(call[0], call[1])
    }

    fn call(&mut self, function: Id, args: Id) -> Result<()> {
        let Value::Global(global) = self.value(function) else {
            self.push_object(function);
            return Ok(());
        };
        if let Global::Other(_) = global {
            self.push_object(function);
            return Ok(());
        }
        match (global, self.tuple(args)?) {
            (Global::OrderedDict, []) => self.push(Value::Dict(vec![])),
            (Global::OrderedDict, [items]) => {
                let items = *items;
                self.ordered_dict(items)?;
            }
            (Global::RebuildTensor, [storage, offset, dims, strides, ..]) => {
                match self.value(*storage) {
                    // Of a type that weights do not have.
                    Value::Object(_) => self.push_object(function),
                    _ => {
                        let tensor = self.tensor(*storage, *offset, *dims, *strides)?;
                        self.push(Value::Tensor(Box::new(tensor)));
                    }
                }
            }
            (Global::RebuildFromType, [inner, _, args, ..]) => match self.value(*inner) {
                Value::Global(Global::RebuildTensor | Global::Parameter) => {
                    let (inner, args) = (*inner, *args);
                    self.call(inner, args)?;
                }
                _ => self.push_object(function),
            },
            (Global::Parameter, [tensor, ..]) => {
                let tensor = *tensor;
                match self.value(tensor) {
                    Value::Tensor(_) | Value::Object(_) => self.stack.push(tensor),
                    other => return Err(unexpected("a tensor", other)),
                }
            }
            (global, args) => {
                let count = args.len();
                return Err(format!("its pickle calls {global:?} with {count} arguments"));
            }
        }
        Ok(())
    }

    /// From a list of pairs, as Python 2 wrote it.
    fn ordered_dict(&mut self, items: Id) -> Result<()> {
        // The list was made for this alone; taken and not copied, it cannot be multiplied.
        let items = match &mut self.values[items as usize] {
            Value::List(items) => std::mem::take(items),
            other => return Err(unexpected("a list", other)),
        };
        let pair = |id: &Id| match self.value(*id) {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            other => Err(unexpected("a pair", other)),
        };
        let pairs = items.iter().map(pair).collect::<Result<_>>()?;
        self.push(Value::Dict(pairs));
        Ok(())
    }

    fn tensor(&self, storage: Id, offset: Id, dims: Id, strides: Id) -> Result<TensorRef> {
        let Value::Storage(storage) = self.value(storage) else {
            return Err(unexpected("a storage", self.value(storage)));
        };
        let (view_start, view_len) = storage.view.unwrap_or((0, storage.len));
        let within = view_start.checked_add(view_len).is_some_and(|end| end <= storage.len);
        let offset = self.count("offset", offset)?.checked_add(view_start);
        let offset = offset.filter(|_| within).ok_or("its pickle has a view beyond its storage")?;
        let (dims, strides) = (self.counts("size", dims)?, self.counts("stride", strides)?);
        Ok(TensorRef { storage: (**storage).clone(), offset, dims, strides })
    }

    /// Attributes: those of an object are kept; of a dictionary (versions of modules), of a
    /// parameter and of others, nothing in them matters.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let built = self.peek()?;
        if let Value::Object(object) = &mut self.values[built as usize] {
            object.state = Some(state);
        }
        Ok(())
    }
}

const UNBALANCED: &str = "its pickle takes more from its stack than is there";

fn unexpected(expected: &str, found: &Value) -> String {
    format!("its pickle has {} where {expected} must be", found.kind())
}

/// Instructions by their names in Python's `pickletools`, where they do what weights never do.
fn opcode_name(opcode: u8) -> String {
    let name = match opcode {
        0x82..=0x84 => "EXT",
        b'P' => "PERSID",
        0x97 | 0x98 => "NEXT_BUFFER or READONLY_BUFFER",
        _ => return format!("{opcode:#04x}"),
    };
    format!("{name} ({opcode:#04x})")
}
