//! The tensors that a pickle made, by their names: a state dictionary's, wherever it is.
//!
//! A tensor's name is the path of keys that lead to it, with dots between them, as PyTorch itself
//! names the parameters of modules in modules: `state_dict.features.0.weight` in a checkpoint, where
//! the places of a list are keys, too. A dictionary's keys are texts where it has a network's; an
//! optimiser's state is under numbers, and is passed over.

use std::collections::HashSet;

use super::pickle::Pickled;
use super::value::{Id, MAKES_TENSORS, Result, TensorRef, Value, refused};
use crate::weights::contents::Faulty;

/// Modules in modules in dictionaries go no deeper.
const MAX_DEPTH: usize = 32;
/// Longer names than any network has are cut here, as a text that the file has once can be the key
/// of every tensor; `Located` has the limit that is told, which is shorter.
const MAX_PATH: usize = 1000;
/// More tensors than any network has.
const MAX_TENSORS: usize = 1 << 16;
/// What a module keeps its parameters, buffers and inner modules in.
const OF_MODULE: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Tensors by name.
pub(super) struct Named<'a> {
    /// In the order of the file.
    pub(super) tensors: Vec<(String, &'a TensorRef)>,
    /// Those of kinds that are not read, each with the reason.
    pub(super) foreign: Vec<Faulty>,
}

/// The tensors that a pickle made.
pub(super) fn named(pickled: &Pickled) -> Result<Named<'_>> {
    let named = Named { tensors: Vec::new(), foreign: Vec::new() };
    let mut walk = Walk { pickled, seen: HashSet::new(), named, foreign: None };
    walk.value(pickled.root_id(), &mut String::new(), 0)?;
    if !walk.named.tensors.is_empty() {
        return Ok(walk.named);
    }
    Err(match (pickled.foreign(pickled.root()), pickled.root()) {
        (Some(name), _) => refused(name),
        (None, Value::Dict(pairs)) => match walk.foreign {
            Some(name) => refused(name),
            None => {
                let keys = pairs.iter().filter_map(|(key, _)| pickled.text(*key));
                let listed = keys.flat_map(|key| [", ", key]).skip(1);
                let keys: String = listed.flat_map(str::chars).take(200).collect();
                if keys.is_empty() {
                    "it has no tensors".into()
                } else {
                    format!("it has no tensors, only: {keys}")
                }
            }
        },
        (None, other) => format!("it has {} where a state dictionary must be", other.kind()),
    })
}

struct Walk<'a> {
    pickled: &'a Pickled,
    /// A value that is there twice is one network, and one in itself would have no end.
    seen: HashSet<Id>,
    named: Named<'a>,
    /// The first object of an unknown kind.
    foreign: Option<&'a str>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, id: Id, path: &mut String, depth: usize) -> Result<()> {
        let pickled = self.pickled;
        match pickled.get(id) {
            Value::Tensor(tensor) => {
                self.named.tensors.push((path.clone(), tensor));
                match self.named.tensors.len() {
                    ..=MAX_TENSORS => Ok(()),
                    _ => Err("it has more tensors than any network".into()),
                }
            }
            _ if depth == MAX_DEPTH || !self.seen.insert(id) => Ok(()),
            Value::Dict(pairs) => self.pairs(pairs, path, depth),
            Value::List(items) | Value::Tuple(items) => {
                let mut items = items.iter().enumerate();
                items.try_for_each(|(i, item)| self.under(&i.to_string(), *item, path, depth))
            }
            Value::Object(object) => {
                let name = pickled.foreign(pickled.get(id));
                self.foreign = self.foreign.or(name);
                if let Some(name) = name.filter(|name| name.starts_with(MAKES_TENSORS))
                    && self.named.foreign.len() < MAX_TENSORS
                {
                    self.named.foreign.push((path.clone(), refused(name)));
                }
                self.pairs(&object.items, path, depth)?;
                match object.state.map(|state| pickled.get(state)) {
                    Some(Value::Dict(attributes)) => self.module(attributes, path, depth),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn pairs(&mut self, pairs: &'a [(Id, Id)], path: &mut String, depth: usize) -> Result<()> {
        for (key, value) in pairs {
            if let Some(key) = self.pickled.text(*key) {
                self.under(key, *value, path, depth)?;
            }
        }
        Ok(())
    }

    fn under(&mut self, key: &str, value: Id, path: &mut String, depth: usize) -> Result<()> {
        let len = path.len();
        if len > 0 {
            path.push('.');
        }
        let room = MAX_PATH.saturating_sub(path.len());
        let end = (0..=room.min(key.len())).rev().find(|end| key.is_char_boundary(*end));
        path.push_str(&key[..end.unwrap_or_default()]);
        self.value(value, path, depth + 1)?;
        path.truncate(len);
        Ok(())
    }

    /// A module that was saved whole, by its attributes: its parameters have the names that its state
    /// dictionary would give them.
    fn module(
        &mut self,
        attributes: &'a [(Id, Id)],
        path: &mut String,
        depth: usize,
    ) -> Result<()> {
        for (key, value) in attributes {
            if self.pickled.text(*key).is_some_and(|key| OF_MODULE.contains(&key)) {
                self.value(*value, path, depth + 1)?;
            }
        }
        Ok(())
    }
}
