//! The tensors that a pickle made, by their names: a state dictionary's, wherever it is.
//!
//! A tensor's name is the path of keys that lead to it, with dots between them, as PyTorch itself
//! names the parameters of modules in modules: `state_dict.features.0.weight` in a checkpoint. Only
//! texts are keys of networks; an optimiser's state is under numbers, and is passed over.

use std::collections::HashSet;

use super::pickle::{Id, Pickled, Result, TensorRef, Value, refused};

/// Modules in modules in dictionaries go no deeper.
const MAX_DEPTH: usize = 32;
/// Longer names than any network has; `Located` has the limit that is told.
const MAX_PATH: usize = 1000;
/// More tensors than any network has.
const MAX_TENSORS: usize = 1 << 16;
/// What a module keeps its parameters, buffers and inner modules in.
const OF_MODULE: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// The tensors and their names, in the order of the file.
pub(super) fn named(pickled: &Pickled) -> Result<Vec<(String, &TensorRef)>> {
    let mut walk = Walk { pickled, seen: HashSet::new(), named: Vec::new(), foreign: None };
    walk.value(pickled.root_id(), &mut String::new(), 0)?;
    if !walk.named.is_empty() {
        return Ok(walk.named);
    }
    Err(match (pickled.foreign(pickled.root()), pickled.root()) {
        (Some(name), _) => refused(name),
        (None, Value::Dict(pairs)) => match walk.foreign {
            Some(name) => refused(name),
            None => {
                let keys: Vec<_> = pairs.iter().filter_map(|(key, _)| pickled.text(*key)).collect();
                let keys: String = keys.join(", ").chars().take(200).collect();
                format!("it has no tensors, only: {keys}")
            }
        },
        (None, other) => format!("it has {} where a state dictionary must be", other.kind()),
    })
}

struct Walk<'a> {
    pickled: &'a Pickled,
    /// A value that is there twice is one network, and one in itself would have no end.
    seen: HashSet<Id>,
    named: Vec<(String, &'a TensorRef)>,
    /// The first object of an unknown kind.
    foreign: Option<&'a str>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, id: Id, path: &mut String, depth: usize) -> Result<()> {
        let pickled = self.pickled;
        match pickled.get(id) {
            Value::Tensor(tensor) if self.named.len() < MAX_TENSORS => {
                self.named.push((path.clone(), tensor));
                Ok(())
            }
            Value::Tensor(_) => Err("it has more tensors than any network".into()),
            _ if depth == MAX_DEPTH || path.len() > MAX_PATH || !self.seen.insert(id) => Ok(()),
            Value::Dict(pairs) => self.pairs(pairs, path, depth),
            Value::Object(object) => {
                self.foreign = self.foreign.or(pickled.foreign(pickled.get(id)));
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
            let Some(key) = self.pickled.text(*key) else { continue };
            let len = path.len();
            if len > 0 {
                path.push('.');
            }
            path.push_str(key);
            self.value(*value, path, depth + 1)?;
            path.truncate(len);
        }
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
