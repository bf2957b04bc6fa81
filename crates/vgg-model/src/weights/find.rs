//! Which of a file's tensors are a network's parameters.

use std::collections::{HashMap, HashSet};

use vgg_tensor::Result;

use super::body::{self, Body, several};
use super::convention::Convention;
use super::head::{self, Head};
use super::source::Located;
use super::tensor_name::{canonical, layer_of};
use super::{WeightFile, mismatch};
use crate::Vgg;

/// A network's parameters in a file.
pub(super) struct Found<'a> {
    /// How the names of its convolutions begin.
    pub(super) prefix: &'a str,
    /// The tensors by the parameters' own names.
    pub(super) tensors: HashMap<&'a str, &'a Located>,
    /// How its fully connected layers were found.
    pub(super) head: Head<'a>,
    /// The first tensor among those of the network that is none of its parameters.
    pub(super) extra: Option<&'a Located>,
    /// What is beside it, and of no other network: in no module that has a layer of its.
    pub(super) beside: Vec<&'a Located>,
}

/// Finds the parameters of `vgg` by a convention: its convolutions, and, as [`Found::head`] says, its
/// fully connected layers.
pub(super) fn find<'a>(
    file: &'a WeightFile,
    vgg: &'a Vgg,
    convention: &Convention,
) -> Result<Found<'a>> {
    let all = body::all(file, vgg, convention.names)?;
    let prefixes: Vec<_> = all.iter().map(|body| body.prefix).collect();
    let missing = |name: &str| file.source.error(mismatch::missing(file, vgg, name, convention));
    let (mut whole, parts): (Vec<_>, Vec<_>) =
        body::chosen(file, all)?.into_iter().partition(|body| body.missing.is_none());
    // What has most of it is what is meant.
    let nearest = parts.iter().rev().max_by_key(|body| body.tensors.len());
    let body = match (whole.pop(), nearest) {
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
    tensors.extend(head.tensors.iter().copied());
    let known: HashSet<&str> = tensors.values().map(|tensor| tensor.name.as_str()).collect();
    let of_another = |name: &str| {
        let other = |other: &&&str| !prefix.starts_with(**other) && name.starts_with(**other);
        prefixes.iter().find(other).is_some()
    };
    let within = |name: &str| name.strip_prefix(prefix).map(canonical);
    let module = |name: String| layer_of(layer_of(&name)).to_owned();
    let modules: HashSet<String> =
        known.iter().filter_map(|name| within(name).map(module)).collect();
    let is_in_module = |name: &str| {
        let starts = |module: &String| {
            let rest = name.strip_prefix(module.as_str());
            module.is_empty() || rest.is_some_and(|rest| rest.starts_with('.'))
        };
        modules.iter().any(starts)
    };
    let others = file.contents.tensors.iter().filter(|tensor| {
        let Located { name, .. } = tensor;
        !known.contains(name.as_str()) && !tensor.is_count() && !of_another(name)
    });
    let (own, beside): (Vec<_>, Vec<_>) =
        others.partition(|tensor| within(&tensor.name).is_some_and(|name| is_in_module(&name)));
    Ok(Found { prefix, tensors, head, extra: own.first().copied(), beside })
}

#[cfg(test)]
mod tests;
