//! The fully connected layers of a file's network: by their names, or by their order.
//!
//! Programs name the last layers as they like: `classifier.1`, where dropout comes first, `head.fc`,
//! `dense_2`. But each is a matrix and a vector, and the outputs of one are the inputs of the next. So
//! where the names are not those of the convention, as many layers as the network has are taken in the
//! one order that their sizes and the numbers in their names allow.

use std::collections::{BTreeMap, HashMap, HashSet};

use vgg_tensor::Content;

use super::body::linear_layers;
use super::contents::Faulty;
use super::convention::Convention;
use super::source::Located;
use super::tensor_name::{SEPARATORS, canonical, layer_of};
use super::{WeightFile, is_conv_weight, mismatch};
use crate::{ParamSpec, Vgg};

/// The fully connected layers.
pub(super) struct Head<'a> {
    /// By the parameters' own names.
    pub(super) tensors: Vec<(&'a str, &'a Located)>,
    /// Layers of the network, and of the file, if they were found by their order.
    pub(super) by_order: Vec<(&'a str, &'a str)>,
    /// Why these are not all, if they are not: then they are those that the file has by name.
    pub(super) lacking: Option<String>,
}

/// As many layers, or fewer, are put into an order by their sizes: of more there are too many orders, and
/// numbers must say it.
const MOST_REORDERED: usize = 6;

/// A fully connected layer in a file.
#[derive(Clone, Copy)]
struct Linear<'a> {
    layer: &'a str,
    weight: &'a Located,
    bias: &'a Located,
    outputs: usize,
    inputs: usize,
}

/// Finds those of the network whose convolutions are `body`, under `prefix`.
pub(super) fn find<'a>(
    file: &'a WeightFile,
    vgg: &'a Vgg,
    convention: &Convention,
    prefix: &'a str,
    body: &HashMap<&str, &Located>,
) -> Head<'a> {
    let layers = linear_layers(vgg);
    let all = vgg.tensors().zip(convention.names.of(vgg));
    let wanted: Vec<(&ParamSpec, Vec<String>)> =
        all.filter(|(spec, _)| layers.contains(&layer_of(&spec.name))).collect();
    let in_scope = |tensor: &'a Located| Some((tensor.name.strip_prefix(prefix)?, tensor));
    let by_name: HashMap<String, &Located> = file
        .contents
        .tensors
        .iter()
        .filter_map(in_scope)
        .map(|(name, t)| (canonical(name), t))
        .collect();
    let (mut tensors, mut missing) = (Vec::new(), None);
    for (spec, names) in &wanted {
        match names.iter().find_map(|name| by_name.get(&canonical(name))) {
            Some(tensor) => tensors.push((spec.name.as_str(), *tensor)),
            None => missing = missing.or(names.first()),
        }
    }
    let Some(missing) = missing else {
        return Head { tensors, by_order: vec![], lacking: None };
    };
    let specs: Vec<&ParamSpec> = wanted.iter().map(|(spec, _)| *spec).collect();
    by_order(file, vgg, convention, prefix, body, &specs, missing).unwrap_or_else(|reason| Head {
        tensors,
        by_order: vec![],
        lacking: Some(reason),
    })
}

/// Finds the parameters `wanted` of all fully connected layers, where the name `missing` is none of the
/// file's.
///
/// # Errors
/// Why they are not there.
fn by_order<'a>(
    file: &'a WeightFile,
    vgg: &'a Vgg,
    convention: &Convention,
    prefix: &'a str,
    body: &HashMap<&str, &Located>,
    wanted: &[&'a ParamSpec],
    missing: &str,
) -> Result<Head<'a>, String> {
    let (layers, first) = (linear_layers(vgg), wanted[0]);
    let taken: HashSet<&str> = body.values().map(|tensor| tensor.name.as_str()).collect();
    let linears = |scope: &str| {
        let in_scope = |tensor: &&Located| {
            tensor.name.starts_with(scope) && !taken.contains(tensor.name.as_str())
        };
        linears(file.contents.tensors.iter().filter(in_scope), convention, first)
    };
    // Within the module of the convolutions, or else in the next one around it.
    let (mut scope, mut found) = (prefix, linears(prefix));
    while found.is_empty() && !scope.is_empty() {
        let outer = scope.trim_end_matches(SEPARATORS);
        scope = outer.rfind(SEPARATORS).map_or("", |at| &outer[..=at]);
        found = linears(scope);
    }
    let damaged = |(name, _): &&Faulty| {
        name.starts_with(prefix) && canonical(name).ends_with(&canonical(missing))
    };
    if let Some((_, reason)) = file.contents.faulty.iter().find(damaged) {
        return Err(reason.clone());
    }
    if let Some(reason) = mismatch::made_of_others(file) {
        return Err(format!("{missing} is missing: {reason}"));
    }
    if found.is_empty() {
        let unread = file.contents.faulty.iter().find(|(name, _)| name.starts_with(prefix));
        return Err(match unread {
            Some((name, reason)) => {
                format!("{missing} is missing, and {name} is not read: {reason}")
            }
            None => "it has the network's convolutions alone, no fully connected layers".into(),
        });
    }
    let matrices: Vec<_> = found.iter().filter(|l| l.weight.dims.len() == 2).copied().collect();
    if matrices.len() == layers.len() {
        found = matrices;
    }
    let names = found.iter().map(|linear| linear.layer).collect::<Vec<_>>().join(", ");
    if found.len() != layers.len() {
        let (there, wanted) = (found.len(), layers.len());
        return Err(format!(
            "{missing} is missing: of fully connected layers the file has {there} ({names}), the \
             network {wanted}"
        ));
    }
    let last_conv = vgg.params().iter().rfind(|spec| is_conv_weight(spec));
    let channels = last_conv.and_then(|spec| {
        let (c_out, _) = convention.outputs_and_inputs(spec, &body.get(&*spec.name)?.dims)?;
        Some(c_out)
    });
    let ordered = in_order(found, channels.unwrap_or(1)).map_err(|why| {
        format!("{missing} is missing, and the file's fully connected layers ({names}) {why}")
    })?;
    let by_order = layers.iter().copied().zip(ordered.iter().map(|linear| linear.layer)).collect();
    let tensors = wanted.iter().map(|spec| {
        let place = layers.iter().position(|layer| *layer == layer_of(&spec.name));
        let linear = &ordered[place.expect("only these layers' parameters are wanted")];
        let is_weight = matches!(spec.content, Content::LinearWeight { .. });
        (spec.name.as_str(), if is_weight { linear.weight } else { linear.bias })
    });
    Ok(Head { tensors: tensors.collect(), by_order, lacking: None })
}

/// The layers of a matrix, which may be written as a convolution's kernel, and a vector alone, by
/// their names.
fn linears<'a>(
    tensors: impl Iterator<Item = &'a Located>,
    convention: &Convention,
    spec: &ParamSpec,
) -> Vec<Linear<'a>> {
    let mut layers: BTreeMap<&str, Vec<&Located>> = BTreeMap::new();
    for tensor in tensors {
        layers.entry(layer_of(&tensor.name)).or_default().push(tensor);
    }
    let linear = |(layer, mut tensors): (&'a str, Vec<&'a Located>)| {
        tensors.sort_by_key(|tensor| tensor.dims.len());
        let [bias, weight] = tensors[..] else { return None };
        let (outputs, inputs) = convention.outputs_and_inputs(spec, &weight.dims)?;
        (bias.dims == [outputs]).then_some(Linear { layer, weight, bias, outputs, inputs })
    };
    let mut linears: Vec<_> = layers.into_iter().filter_map(linear).collect();
    linears.sort_by(|a, b| natural(a.layer).cmp(&natural(b.layer)));
    linears
}

/// The layers, which are given by their names, in the only order in which the outputs of each are the inputs
/// of the next, and numbers in names rise that differ in numbers alone. The first one takes maps of so many
/// channels.
///
/// # Errors
/// What is wrong with them, if there is no such order, or several.
fn in_order(linears: Vec<Linear<'_>>, channels: usize) -> Result<Vec<Linear<'_>>, &'static str> {
    let follow = |order: &[Linear<'_>]| {
        order.windows(2).all(|pair| pair[0].outputs == pair[1].inputs)
            && order.first().is_some_and(|first| first.inputs.is_multiple_of(channels))
    };
    let rise = |order: &[Linear<'_>]| {
        let keys: Vec<_> =
            order.iter().map(|it| (without_numbers(it.layer), natural(it.layer))).collect();
        let later = |i: usize| keys[i + 1..].iter();
        let falls = |i: usize| later(i).any(|(text, key)| *text == keys[i].0 && *key < keys[i].1);
        !(0..keys.len()).any(falls)
    };
    let none = "do not follow on each other";
    if linears.len() > MOST_REORDERED {
        let texts: HashSet<String> = linears.iter().map(|it| without_numbers(it.layer)).collect();
        return if texts.len() == 1 && follow(&linears) { Ok(linears) } else { Err(none) };
    }
    let fits = |order: &Vec<Linear<'_>>| follow(order) && rise(order);
    let mut orders = permutations(&linears).into_iter().filter(fits);
    match (orders.next(), orders.next()) {
        (Some(order), None) => Ok(order),
        (None, _) => Err(none),
        _ => Err("fit together in several orders, of which names with numbers would say one"),
    }
}

/// A name without its numbers, and without what stood before one at the end: `dense` of `dense_2`.
fn without_numbers(name: &str) -> String {
    let text: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
    text.trim_end_matches(['_', '.', '-']).to_owned()
}

/// All orders of a few things.
fn permutations<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    if things.len() <= 1 {
        return vec![things.to_vec()];
    }
    let starting_with = |i: usize| {
        let rest: Vec<T> = [&things[..i], &things[i + 1..]].concat();
        permutations(&rest).into_iter().map(move |order| [&[things[i]], &order[..]].concat())
    };
    (0..things.len()).flat_map(starting_with).collect()
}

/// Orders names as people count: `dense_9` comes before `dense_10`.
fn natural(name: &str) -> Vec<(bool, u64, &[u8])> {
    let parts = name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let part = |part| match std::str::from_utf8(part).ok().and_then(|digits| digits.parse().ok()) {
        Some(number) => (false, number, &[][..]),
        None => (true, 0, part),
    };
    parts.map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::source::{ITSELF, Storage, contiguous_strides};

    #[test]
    fn an_order_is_taken_where_there_is_one() {
        let storage = Storage {
            dtype: safetensors::Dtype::F32,
            part: ITSELF,
            start: 0,
            len: 1 << 20,
            entry: None,
        };
        let of = |layers: &[(&'static str, usize, usize)]| {
            let located = |dims: &[usize]| {
                Located::new("", storage, 0, dims, &contiguous_strides(dims)).unwrap()
            };
            let tensors: Vec<_> =
                layers.iter().map(|(_, o, i)| [located(&[*o, *i]), located(&[*o])]).collect();
            let linears =
                layers.iter().zip(&tensors).map(|((layer, outputs, inputs), [weight, bias])| {
                    Linear { layer, weight, bias, outputs: *outputs, inputs: *inputs }
                });
            let order = in_order(linears.collect(), 8)?;
            Ok::<_, &str>(order.iter().map(|linear| linear.layer).collect::<Vec<_>>().join(" "))
        };
        // By sizes, whatever the names say.
        assert_eq!(of(&[("a", 10, 4), ("b", 6, 32), ("c", 4, 6)]), Ok("b c a".into()));
        // By numbers, where sizes leave a choice …
        let numbered = [("dense", 8, 8), ("dense_1", 8, 8), ("dense_2", 10, 8)];
        assert_eq!(of(&numbered), Ok("dense dense_1 dense_2".into()));
        assert_eq!(of(&[("fc1", 8, 8), ("fc2", 8, 8), ("a", 10, 8)]), Ok("fc1 fc2 a".into()));
        // … but not by the alphabet.
        let ambiguous = "fit together in several orders, of which names with numbers would say one";
        let lettered = [("fc_hidden", 8, 8), ("fc_in", 8, 8), ("fc_out", 10, 8)];
        assert_eq!(of(&lettered), Err(ambiguous));
        assert_eq!(of(&[("a", 8, 8), ("b", 4, 4)]), Err("do not follow on each other"));
        let names = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"];
        assert_eq!(of(&names.map(|name| (name, 8, 8))), Ok(names.join(" ")));
        assert!(of(&["a1", "a2", "a3", "a4", "a5", "a6", "b"].map(|name| (name, 8, 8))).is_err());
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["dense_10", "classifier.10", "dense", "dense_9", "classifier.1", "a.0.b"];
        names.sort_by_key(|name| natural(name));
        let expected = ["a.0.b", "classifier.1", "classifier.10", "dense", "dense_9", "dense_10"];
        assert_eq!(names, expected);
    }
}
