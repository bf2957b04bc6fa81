//! Which of a file's tensors are a network's parameters.
//!
//! Programs put names of their own around a network's: of modules that it is in
//! (`model.backbone.features.0.weight`), of wrappers, anywhere (`module.`, `features.module.0`), of
//! keys in a checkpoint (`state_dict.`). What stands before the first convolution's name is taken as
//! it is, and is the same for all convolutions; wrappers within a name are left out. Where several
//! prefixes have the network, nothing is guessed.

use std::collections::{HashMap, HashSet};

use vgg_tensor::Result;

use super::convention::{Convention, Names};
use super::head::{self, Head};
use super::source::Located;
use super::{WeightFile, mismatch};
use crate::{Layer, Vgg};

/// Modules that wrap another one and are seen in its parameters' names: of `DataParallel` and
/// `AveragedModel`, `torch.compile`, FSDP, and activation checkpointing.
const WRAPPERS: [&str; 4] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// More networks than a file has.
const MAX_NETWORKS: usize = 64;

/// A network's parameters in a file.
pub(super) struct Found<'a> {
    /// How the names of its convolutions begin.
    pub(super) prefix: &'a str,
    /// The tensors by the parameters' own names.
    pub(super) tensors: HashMap<&'a str, &'a Located>,
    /// How its fully connected layers were found, or why they were not.
    pub(super) head: std::result::Result<Head<'a>, String>,
    /// The first tensor among those of the network that is none of its parameters.
    pub(super) extra: Option<&'a Located>,
}

/// The convolutions of a network, and what is between them.
struct Body<'a> {
    prefix: &'a str,
    /// By the parameters' own names.
    tensors: HashMap<&'a str, &'a Located>,
    /// The first name that is not there.
    missing: Option<String>,
    /// A name that is there twice, by wrappers, and how.
    twice: Option<[&'a str; 2]>,
}

/// Finds the parameters of `vgg` by a convention: its convolutions, and, as [`Found::head`] says, its
/// fully connected layers.
pub(super) fn find<'a>(
    file: &'a WeightFile,
    vgg: &'a Vgg,
    convention: &Convention,
) -> Result<Found<'a>> {
    let all = bodies(file, vgg, convention.names)?;
    let prefixes: Vec<_> = all.iter().map(|body| body.prefix).collect();
    let missing = |name: &str| file.source.error(mismatch::missing(file, vgg, name, convention));
    let (mut whole, parts): (Vec<_>, Vec<_>) =
        chosen(file, all)?.into_iter().partition(|body| body.missing.is_none());
    let body = match (whole.pop(), parts.first()) {
        (Some(body), _) if whole.is_empty() => body,
        (Some(last), _) => {
            let prefixes: Vec<_> = whole.iter().chain([&last]).map(|body| body.prefix).collect();
            return Err(file.source.error(several(&prefixes)));
        }
        (None, Some(part)) => return Err(missing(part.missing.as_deref().unwrap_or_default())),
        (None, None) => return Err(missing(&convention.names.of(vgg)[0][0])),
    };
    if let Some([one, other]) = body.twice {
        let reason = format!("it has {one} and {other}, which are the same parameter's names");
        return Err(file.source.error(reason));
    }
    let Body { prefix, mut tensors, .. } = body;
    let head = head::find(file, vgg, convention, prefix, &tensors);
    if let Ok(head) = &head {
        tensors.extend(head.tensors.iter().copied());
    }
    let known: HashSet<&str> = tensors.values().map(|tensor| tensor.name.as_str()).collect();
    let of_another = |name: &str| {
        let deeper = |other: &&&str| other.len() > prefix.len() && name.starts_with(**other);
        prefixes.iter().find(deeper).is_some()
    };
    let extra = file.tensors.iter().find(|Located { name, dims, .. }| {
        name.starts_with(prefix)
            && !known.contains(name.as_str())
            // A number alone, as how many batches a normalisation has seen, computes nothing.
            && !dims.is_empty()
            && !of_another(name)
    });
    Ok(Found { prefix, tensors, head, extra })
}

/// How the names begin of each whole network in the file.
pub(super) fn prefixes(file: &WeightFile, vgg: &Vgg, names: Names) -> Result<Vec<String>> {
    let bodies = chosen(file, bodies(file, vgg, names)?)?;
    let whole = bodies.iter().filter(|body| body.missing.is_none());
    Ok(whole.map(|body| trimmed(body.prefix).to_owned()).collect())
}

/// A prefix without the separator that ends it.
pub(super) fn trimmed(prefix: &str) -> &str {
    prefix.trim_end_matches(SEPARATORS)
}

/// Why none is taken of several networks.
pub(super) fn several(prefixes: &[&str]) -> String {
    let (count, names) = (prefixes.len(), listed(prefixes.iter().copied()));
    format!("it has {count} such networks, whose names begin differently: {names}")
}

/// Prefixes in a message.
fn listed<'a>(prefixes: impl IntoIterator<Item = &'a str>) -> String {
    let shown = prefixes.into_iter().map(|prefix| match trimmed(prefix) {
        "" => "\"\"",
        prefix => prefix,
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The layers of `vgg` that are fully connected.
pub(super) fn linear_layers(vgg: &Vgg) -> Vec<&str> {
    let linears = vgg.layers().iter().filter(|layer| matches!(layer, Layer::Linear { .. }));
    linears.map(Layer::name).collect()
}

/// The networks under each prefix that the first convolution's name has.
fn bodies<'a>(file: &'a WeightFile, vgg: &'a Vgg, names: Names) -> Result<Vec<Body<'a>>> {
    let linears = linear_layers(vgg);
    let of_body = |name: &str| !linears.iter().any(|layer| layer_of(name) == *layer);
    let aliases: Vec<(&str, Vec<String>)> = vgg
        .tensors()
        .zip(names.of(vgg))
        .filter(|(spec, _)| of_body(&spec.name))
        .map(|(spec, aliases)| (spec.name.as_str(), aliases))
        .collect();
    let Some((_, first)) = aliases.first() else { return Ok(vec![]) };
    let too_many = || file.source.error("it has more networks than any checkpoint");
    let wanted: Vec<String> = aliases.iter().flat_map(|(_, a)| a).map(|a| canonical(a)).collect();
    let is_wanted = |tensor: &&Located| wanted.iter().any(|w| tensor.canonical.ends_with(w));
    let tensors: Vec<&Located> = file.tensors.iter().filter(is_wanted).collect();
    // All that follows looks at each for each network.
    if tensors.len() > MAX_NETWORKS * wanted.len() {
        return Err(too_many());
    }
    let first: Vec<String> = first.iter().map(|alias| canonical(alias)).collect();
    let mut prefixes: Vec<&str> = Vec::new();
    for Located { name, .. } in tensors.iter().copied() {
        // Of a name with repetitions, the longest beginning that leaves the alias.
        let found = starts(name).rev().find(|at| first.contains(&canonical(&name[*at..])));
        if let Some(prefix) = found.map(|at| &name[..at])
            && !prefixes.contains(&prefix)
        {
            prefixes.push(prefix);
        }
        if prefixes.len() > MAX_NETWORKS {
            return Err(too_many());
        }
    }
    Ok(prefixes.into_iter().map(|prefix| Body::new(&tensors, &aliases, prefix)).collect())
}

impl<'a> Body<'a> {
    /// Of the tensors with names that may be a network's.
    fn new(tensors: &[&'a Located], aliases: &[(&'a str, Vec<String>)], prefix: &'a str) -> Self {
        let mut by_name: HashMap<String, &Located> = HashMap::new();
        let mut doubles = HashMap::new();
        for tensor in tensors.iter().copied() {
            if let Some(rest) = tensor.name.strip_prefix(prefix) {
                let name = canonical(rest);
                if let Some(other) = by_name.insert(name.clone(), tensor) {
                    doubles.insert(name, [other.name.as_str(), tensor.name.as_str()]);
                }
            }
        }
        let (mut tensors, mut missing, mut twice) = (HashMap::new(), None, None);
        for (own, aliases) in aliases {
            let names: Vec<String> = aliases.iter().map(|alias| canonical(alias)).collect();
            match names.iter().find_map(|name| by_name.get(name)) {
                Some(tensor) => drop(tensors.insert(*own, *tensor)),
                None => missing = missing.or_else(|| aliases.first().cloned()),
            }
            twice = twice.or(names.iter().find_map(|name| doubles.get(name)).copied());
        }
        Self { prefix, tensors, missing, twice }
    }

    /// Whether it is the same numbers, at the same place.
    fn is(&self, other: &Self) -> bool {
        let same = |(name, tensor): (&&str, &&Located)| {
            other.tensors.get(name).is_some_and(|other| tensor.is_at(other))
        };
        self.tensors.len() == other.tensors.len() && self.tensors.iter().all(same)
    }
}

/// The networks that are different, or that which [`WeightFile::under`] says.
fn chosen<'a>(file: &WeightFile, bodies: Vec<Body<'a>>) -> Result<Vec<Body<'a>>> {
    let Some(wanted) = &file.under else {
        let mut different: Vec<Body<'_>> = Vec::new();
        for body in bodies {
            if !different.iter().any(|other| other.is(&body)) {
                different.push(body);
            }
        }
        return Ok(different);
    };
    let wanted = trimmed(wanted);
    let there = listed(bodies.iter().map(|body| body.prefix));
    let none = match bodies.is_empty() {
        true => format!("it has no network under {wanted:?}"),
        false => format!("it has no network under {wanted:?}, but under {there}"),
    };
    let is_under = |body: &Body<'_>| {
        let rest = body.prefix.strip_prefix(wanted);
        rest.is_some_and(|rest| {
            wanted.is_empty() || rest.is_empty() || rest.starts_with(SEPARATORS)
        })
    };
    let mut under: Vec<_> = bodies.into_iter().filter(is_under).collect();
    if let Some(exact) = under.iter().position(|body| trimmed(body.prefix) == wanted) {
        under = vec![under.swap_remove(exact)];
    }
    if under.is_empty() {
        return Err(file.source.error(none));
    }
    Ok(under)
}

/// What stands between the parts of a name.
pub(super) const SEPARATORS: [char; 2] = ['.', '/'];

/// The layer that a tensor's name begins with.
pub(super) fn layer_of(name: &str) -> &str {
    name.rsplit_once(SEPARATORS).map_or("", |(layer, _)| layer)
}

/// Where the parts of a name start that are no wrappers.
fn starts(name: &str) -> impl DoubleEndedIterator<Item = usize> {
    let all = name.match_indices(SEPARATORS).map(|(at, _)| at + 1);
    let starts: Vec<usize> = [0].into_iter().chain(all).collect();
    let is_wrapper = move |at: &usize| {
        let part = name[*at..].split(SEPARATORS).next().unwrap_or_default();
        WRAPPERS.contains(&part)
    };
    starts.into_iter().filter(move |at| !is_wrapper(at))
}

/// A name without wrappers, as programs write it: the parts with dots between them, a layer that is
/// named twice (`fc1/fc1/kernel`, as in Keras's files) once, and without TensorFlow's `:0`.
pub(super) fn canonical(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.trim_end_matches(":0").split(SEPARATORS) {
        let is_place = part.bytes().all(|byte| byte.is_ascii_digit());
        let again = parts.last() == Some(&part) && !is_place;
        if !WRAPPERS.contains(&part) && !again {
            parts.push(part);
        }
    }
    parts.join(".")
}

#[cfg(test)]
mod tests;
