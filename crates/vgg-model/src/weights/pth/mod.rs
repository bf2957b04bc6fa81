//! The files of `torch.save`: a pickle that refers to storages, and the storages' bytes.
//!
//! Since PyTorch 1.6 they are zip archives with `data.pkl` and `data/KEY`; before, a sequence of
//! pickles with the bytes after it, which is how torchvision's VGG weights are still given out.
//! Either may hold the parameters directly or anywhere in a training checkpoint.

mod machine;
mod pickle;
mod value;
mod walk;

use std::collections::HashMap;

use safetensors::Dtype;
use vgg_tensor::Result;

use self::pickle::Pickled;
use self::value::{TensorRef, Value};
use self::walk::Named;
use super::contents::Contents;
use super::kind;
use super::source::{Entry, ITSELF, Located, Source, Storage, bytes_each};

/// A pickle of weights has some ten thousand bytes. What one makes can take a hundred times its own
/// length in memory: a value for every byte.
const MAX_PICKLE: u64 = 4 << 20;

/// Names that are told.
const MAX_ASKS: usize = 8;

/// The tensors of a zip archive with these entries.
pub(super) fn zip(source: &Source, entries: &HashMap<String, Entry>) -> Result<Contents> {
    let mut pickles: Vec<_> = entries
        .iter()
        .filter(|(name, _)| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .collect();
    pickles.sort_unstable_by_key(|(name, _)| *name);
    let (name, entry) = match pickles[..] {
        [] => return Err(source.error(kind::of_archive(entries.keys().map(String::as_str)))),
        [pickle] => pickle,
        [(one, _), (other, _), ..] => {
            let reason = format!("it has {one:?} and {other:?}, where torch.save writes one");
            return Err(source.error(reason));
        }
    };
    let prefix = name.trim_end_matches("data.pkl");
    if let Some(entry) = entries.get(&format!("{prefix}byteorder")) {
        let order = source.bytes(entry.start, entry.len.min(16))?;
        if order != b"little" {
            let order = String::from_utf8_lossy(&order).into_owned();
            return Err(source.error(format!("its byte order is {order:?}: only little is read")));
        }
    }
    if entry.len > MAX_PICKLE {
        return Err(source.error(format!("its pickle of {} bytes is too long", entry.len)));
    }
    if entry.crc.is_some_and(|crc| source.crc(entry).is_ok_and(|found| found != crc)) {
        return Err(source.error("its pickle is damaged: its checksum does not match"));
    }
    let code = source.bytes(entry.start, entry.len)?;
    let (pickled, _) = Pickled::read(&code).map_err(|reason| source.error(reason))?;
    let place = |key: &str, dtype, len: usize| {
        let entry = entries.get(&format!("{prefix}data/{key}"));
        let entry = entry.ok_or_else(|| format!("its entry data/{key} is missing"))?;
        let bytes = len.checked_mul(bytes_each(dtype)).map(|bytes| bytes as u64);
        match bytes {
            Some(bytes) if bytes <= entry.len => Ok((entry.start, Some(*entry))),
            _ => Err(format!(
                "its entry data/{key} has {} bytes, too few for {len} numbers as {dtype}",
                entry.len
            )),
        }
    };
    let located = walk::named(&pickled).and_then(|named| locate(&pickled, named, place));
    located.map_err(|reason| source.error(reason))
}

/// `0x1950a86a20f9469cfc6c`, with which PyTorch's older files begin.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// The tensors of a file from before PyTorch 1.6, or saved as one is now with
/// `_use_new_zipfile_serialization=False`.
pub(super) fn legacy(source: &Source) -> Result<Contents> {
    let head = source.head(MAX_PICKLE)?;
    legacy_of(source, &head).map_err(|reason| source.error(reason))
}

fn legacy_of(source: &Source, head: &[u8]) -> value::Result<Contents> {
    let (magic, rest) = Pickled::read(head)?;
    let (protocol, rest) = match magic.root() {
        Value::Int(MAGIC) => Pickled::read(rest)?,
        other => {
            let none = "a pickle, but none of torch.save";
            // What is in it instead.
            return Err(match (magic.foreign(other), other) {
                (Some(name), _) => value::refused(name),
                (None, Value::Dict(_)) => match walk::named(&magic) {
                    Err(reason) => format!("{none}: {reason}"),
                    Ok(_) => none.into(),
                },
                (None, _) => none.into(),
            });
        }
    };
    if *protocol.root() != Value::Int(PROTOCOL) {
        return Err(format!("its protocol is not {PROTOCOL}, the only one known"));
    }
    let (system, rest) = Pickled::read(rest)?;
    if find(&system, system.root(), "little_endian") != Some(&Value::Bool(true)) {
        return Err("its byte order is not little-endian, which alone is read".into());
    }
    let (pickled, rest) = Pickled::read(rest)?;
    let named = walk::named(&pickled)?;
    let (keys, rest) = Pickled::read(rest)?;
    let starts = legacy_storages(source, &pickled, &keys, (head.len() - rest.len()) as u64)?;
    locate(&pickled, named, |key, _, _| {
        let start = starts.get(key).ok_or_else(|| format!("its storage {key:?} is missing"))?;
        Ok((*start, None))
    })
}

/// Where the storages begin: each is a count of 8 bytes and the numbers, in the order of `keys`.
fn legacy_storages<'a>(
    source: &Source,
    pickled: &'a Pickled,
    keys: &Pickled,
    mut at: u64,
) -> value::Result<HashMap<&'a str, u64>> {
    let Value::List(keys_in_order) = keys.root() else {
        return Err("its list of storages is missing".into());
    };
    let mut known: HashMap<&str, (Dtype, usize)> = HashMap::new();
    for value in pickled.values() {
        if let Value::Storage(storage) = value {
            let key = pickled.text(storage.key).unwrap_or_default();
            let told = (storage.dtype, storage.len);
            if *known.entry(key).or_insert(told) != told {
                return Err(format!("its storage {key:?} has two types or lengths"));
            }
        }
    }
    let mut starts = HashMap::new();
    for key in keys_in_order {
        let key = keys.text(*key).unwrap_or_default();
        let Some((key, (dtype, len))) = known.get_key_value(key) else {
            return Err(format!("its storage {key:?} belongs to no tensor"));
        };
        let count = source.bytes(at, 8).map_err(|_| cut_short(key))?;
        at += 8;
        if count != (*len as u64).to_le_bytes() {
            return Err(format!("its storage {key:?} has another length than its tensors say"));
        }
        let bytes = len.checked_mul(bytes_each(*dtype)).map(|bytes| bytes as u64);
        let end = bytes.and_then(|bytes| at.checked_add(bytes));
        starts.insert(*key, at);
        at = end.filter(|end| *end <= source.len()).ok_or_else(|| cut_short(key))?;
    }
    Ok(starts)
}

fn cut_short(key: &str) -> String {
    format!("the file ends within its storage {key:?}: it is cut short")
}

/// Finds tensors in the file, where `place` is where a storage (key, type, length) begins, and the
/// archive's entry that it is.
fn locate(
    pickled: &Pickled,
    named: Named<'_>,
    place: impl Fn(&str, Dtype, usize) -> value::Result<(u64, Option<Entry>)>,
) -> value::Result<Contents> {
    let (mut located, mut faulty) = (Vec::new(), named.foreign);
    for (name, TensorRef { storage, offset, dims, strides }) in named.tensors {
        let key = pickled.text(storage.key).unwrap_or_default();
        let tensor = place(key, storage.dtype, storage.len).and_then(|(start, entry)| {
            let (dtype, len) = (storage.dtype, storage.len);
            let storage = Storage { dtype, part: ITSELF, start, len, entry };
            Located::new(&name, storage, *offset, dims, strides)
        });
        match tensor {
            Ok(tensor) => located.push(tensor),
            Err(reason) => faulty.push((name, reason)),
        }
    }
    match faulty.first() {
        Some((_, reason)) if located.is_empty() => Err(reason.clone()),
        _ => {
            let asks = pickled.asks(MAX_ASKS);
            Ok(Contents { tensors: located, faulty, asks, ..Contents::default() })
        }
    }
}

/// The last value under a key, as in Python.
fn find<'a>(pickled: &'a Pickled, dict: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Dict(pairs) = dict else { return None };
    let (_, value) = pairs.iter().rev().find(|(k, _)| pickled.text(*k) == Some(key))?;
    Some(pickled.get(*value))
}

#[cfg(test)]
mod tests;
