//! The convolutions of each network in a file.
//!
//! Programs put names of their own around a network's: of modules that it is in
//! (`model.backbone.features.0.weight`), of wrappers, anywhere (`module.`, `features.module.0`), of
//! keys in a checkpoint (`state_dict.`). What stands before the first convolution's name is taken as
//! it is, and is the same for all convolutions; wrappers within a name are left out. Where several
//! prefixes have the network, nothing is guessed.

use std::collections::HashMap;

use vgg_tensor::Result;

use super::WeightFile;
use super::convention::Names;
use super::source::Located;
use super::tensor_name::{SEPARATORS, canonical, layer_of, starts, trimmed};
use crate::{Layer, Vgg};

/// More networks than a file has.
const MAX_NETWORKS: usize = 64;

/// The convolutions of a network, and what is between them.
pub(super) struct Body<'a> {
    /// How their names begin.
    pub(super) prefix: &'a str,
    /// By the parameters' own names.
    pub(super) tensors: HashMap<&'a str, &'a Located>,
    /// The first name that is not there.
    pub(super) missing: Option<String>,
    /// A name that is there twice, by wrappers, and how.
    pub(super) twice: Option<[&'a str; 2]>,
}

/// How the names begin of each whole network in the file.
pub(super) fn prefixes(file: &WeightFile, vgg: &Vgg, names: Names) -> Result<Vec<String>> {
    let bodies = chosen(file, all(file, vgg, names)?)?;
    let whole = bodies.iter().filter(|body| body.missing.is_none());
    Ok(whole.map(|body| trimmed(body.prefix).to_owned()).collect())
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
pub(super) fn all<'a>(file: &'a WeightFile, vgg: &'a Vgg, names: Names) -> Result<Vec<Body<'a>>> {
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
    let tensors: Vec<&Located> = file.contents.tensors.iter().filter(is_wanted).collect();
    // All that follows looks at each for each network.
    if tensors.len() > MAX_NETWORKS * wanted.len() {
        return Err(too_many());
    }
    let first: Vec<String> = first.iter().map(|alias| canonical(alias)).collect();
    let mut prefixes: Vec<&str> = Vec::new();
    for Located { name, .. } in tensors.iter().copied() {
        // Of a name with repetitions all beginnings that leave the alias, the longest first: in
        // `features.features.0` a module may be in one of its name, `conv1/conv1` is one layer.
        for at in starts(name).rev().filter(|at| first.contains(&canonical(&name[*at..]))) {
            if !prefixes.contains(&&name[..at]) {
                prefixes.push(&name[..at]);
            }
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

/// The bodies that are different, or those that [`WeightFile::under`] means.
pub(super) fn chosen<'a>(file: &WeightFile, bodies: Vec<Body<'a>>) -> Result<Vec<Body<'a>>> {
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
