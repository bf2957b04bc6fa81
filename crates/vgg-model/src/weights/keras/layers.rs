//! The layers of a file, and the order in which they follow.
//!
//! Where a file does not say its layers' order, Keras's own names do: it numbers layers of a kind as
//! they are made (Keras 1 and 2, a whole program's) or as they follow (Keras 3, a network's).

use std::collections::{BTreeSet, HashMap};

use super::config::{Network, Step};
use super::tree::{Array, Tree};

/// A layer's arrays.
pub(super) struct Layer<'a> {
    /// The names that lead to it.
    pub(super) path: &'a str,
    /// What it is called.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Each with what it is of the layer, in our words.
    pub(super) arrays: Vec<(&'a Array, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Conv,
    Norm,
    Dense,
    Other,
}

/// Counters of random numbers, as dropout layers have them in Keras 3.
const SEEDS: &str = "seed_generator";

/// Layers that Keras names by their kind, which have no weights and which no VGG has.
const OTHERS: [&str; 7] = [
    "add",
    "average_pooling2d",
    "concatenate",
    "global_max_pooling2d",
    "leaky_re_lu",
    "rescaling",
    "zero_padding2d",
];

/// The layers, in the order of the file.
pub(super) fn all(tree: &Tree) -> Vec<Layer<'_>> {
    let names: HashMap<&str, &str> = tree
        .groups
        .iter()
        .filter_map(|group| Some((group.path.strip_suffix("/vars")?, group.name.as_deref()?)))
        .collect();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut layers: Vec<Layer<'_>> = Vec::new();
    for array in tree.arrays.iter().filter(|array| !array.path.contains(SEEDS)) {
        let (layer, weight) = array.path.rsplit_once('/').unwrap_or(("", &array.path));
        let path = layer.strip_suffix("/vars").unwrap_or(layer);
        let at = *places.entry(path).or_insert_with(|| {
            let own = path.rsplit('/').next().unwrap_or_default();
            let name = names.get(path).copied().unwrap_or(own).to_owned();
            layers.push(Layer { path, name, kind: Kind::Other, arrays: vec![] });
            layers.len() - 1
        });
        layers[at].arrays.push((array, role(weight)));
    }
    for layer in &mut layers {
        layer.kind = kind(layer);
        let in_order = match layer.kind {
            Kind::Conv | Kind::Dense => ["weight", "bias", "", ""],
            Kind::Norm => ["weight", "bias", "running_mean", "running_var"],
            Kind::Other => continue,
        };
        for (_, role) in &mut layer.arrays {
            if let Some(number) = role.parse::<usize>().ok().filter(|_| !role.is_empty()) {
                *role = in_order[number];
            }
        }
    }
    layers
}

/// What an array is by its name, or its number if it has one instead.
fn role(weight: &str) -> &'static str {
    let weight = weight.trim_end_matches(":0");
    // Keras 1 begins them with the layer's name, and published files of it end them with a number.
    let of_keras1 = weight.strip_suffix("_1").unwrap_or(weight);
    let ends = |end: &str| of_keras1.ends_with(end);
    match weight {
        "kernel" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        "moving_mean" => "running_mean",
        "moving_variance" => "running_var",
        "0" => "0",
        "1" => "1",
        "2" => "2",
        "3" => "3",
        _ if ends("_W") || ends("_gamma") => "weight",
        _ if ends("_b") || ends("_beta") => "bias",
        _ if ends("_running_mean") => "running_mean",
        // It is the variance, whatever Keras 1 calls it.
        _ if ends("_running_std") => "running_var",
        _ => "",
    }
}

fn kind(layer: &Layer<'_>) -> Kind {
    let dims = |role: &str| {
        let array = layer.arrays.iter().find(|(_, known)| *known == role);
        array.map(|(array, _)| array.dims.as_slice())
    };
    let weight = dims("weight").or(dims("0"));
    let is_norm = dims("running_var").is_some()
        || layer.arrays.len() == 4 && layer.arrays.iter().all(|(array, _)| array.dims.len() == 1);
    match weight.map(<[usize]>::len) {
        Some(4) => Kind::Conv,
        Some(2) => Kind::Dense,
        _ if is_norm => Kind::Norm,
        _ => Kind::Other,
    }
}

/// The steps of the network that the layers are of, and by which the file's configuration calls them.
///
/// # Errors
/// Why their order is not known.
pub(super) fn order(tree: &Tree, layers: &[Layer<'_>]) -> Result<Network, String> {
    let listed = tree.groups.iter().map(|group| group.path.as_str());
    // Each layer of Keras has a group, whether it has weights or not.
    let all: BTreeSet<&str> =
        listed.map(|path| path.strip_suffix("/vars").unwrap_or(path)).collect();
    let own: Vec<&str> =
        all.into_iter().map(|path| path.rsplit('/').next().unwrap_or_default()).collect();
    if let Some(other) = own.iter().find(|name| OTHERS.contains(&numbered(name).0)) {
        return Err(format!("its layer {other:?} is none that a VGG has here"));
    }
    let pooled = own.iter().any(|name| numbered(name).0 == "global_average_pooling2d");
    let steps = match as_listed(tree, layers) {
        Some(steps) => steps,
        None => as_numbered(layers)?,
    };
    let pools = own.iter().filter(|name| is_pool(name)).count();
    Ok(Network { steps, pooled, pools: (pools > 0).then_some(pools), ..Network::default() })
}

/// In the order of Keras 1 and 2, which list the layers, and of each the arrays.
fn as_listed(tree: &Tree, layers: &[Layer<'_>]) -> Option<Vec<Step>> {
    let groups: HashMap<&str, &[String]> =
        tree.groups.iter().map(|group| (group.path.as_str(), group.order.as_slice())).collect();
    let root = ["model_weights", ""]
        .into_iter()
        .find(|root| groups.get(root).is_some_and(|order| !order.is_empty()))?;
    let within = |path: &str, name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}/{name}"),
    };
    let by_path: HashMap<&str, &Layer<'_>> =
        layers.iter().map(|layer| (layer.path, layer)).collect();
    let (mut steps, mut last) = (Vec::new(), "");
    for layer in groups[root] {
        let group = within(root, layer);
        let arrays = groups.get(group.as_str())?;
        if arrays.is_empty() && is_pool(layer) {
            steps.push(Step::Pool);
        }
        for array in *arrays {
            let array = within(&group, array);
            let path = array.rsplit_once('/').map_or("", |(path, _)| path);
            let Some(layer) = by_path.get(path) else { continue };
            if layer.path != last {
                steps.extend(step(layer));
                last = layer.path;
            }
        }
    }
    // Lists that leave out layers are of another file.
    let are_listed = steps.iter().filter(|step| **step != Step::Pool).count();
    if are_listed != layers.iter().filter(|layer| layer.kind != Kind::Other).count() {
        return None;
    }
    // A model within the model does not list its pools.
    let is_nested =
        |layer: &Layer<'_>| layer.kind == Kind::Conv && !groups[root].contains(&layer.name);
    if layers.iter().any(is_nested) {
        steps.retain(|step| *step != Step::Pool);
    }
    Some(steps)
}

fn is_pool(layer: &str) -> bool {
    matches!(numbered(layer).0, "max_pooling2d" | "maxpooling2d") || layer.ends_with("_pool")
}

fn step(layer: &Layer<'_>) -> Option<Step> {
    let name = layer.name.clone();
    match layer.kind {
        Kind::Conv => Some(Step::Conv(name)),
        Kind::Norm => Some(Step::Norm(name)),
        Kind::Dense => Some(Step::Dense(name)),
        Kind::Other => None,
    }
}

/// In the order of the numbers that Keras gives to layers of a kind.
fn as_numbered(layers: &[Layer<'_>]) -> Result<Vec<Step>, String> {
    let of = |kind: Kind| {
        let of_kind = layers.iter().filter(|layer| layer.kind == kind);
        let mut numbered: Vec<((&str, &str), u64, &Layer<'_>)> = of_kind
            .map(|layer| {
                let (module, own) = layer.path.rsplit_once('/').unwrap_or(("", layer.path));
                // The groups of Keras 1 and 2 have the layer's name twice.
                let module = module.strip_suffix(own).unwrap_or(module);
                let (stem, number) = numbered(own);
                ((module, stem), number, layer)
            })
            .collect();
        numbered.sort_by_key(|(_, number, _)| *number);
        let stems = match kind {
            Kind::Conv => ["conv2d", "convolution2d"],
            Kind::Norm => ["batch_normalization", "batchnormalization"],
            _ => ["dense", "dense"],
        };
        // Each with a group of its own around it, or all in one.
        let are_alike =
            numbered.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1);
        let published = |layer: &Layer<'_>| block_of(&layer.name).is_some();
        let are_known = numbered.iter().all(|((_, stem), _, layer)| {
            stems.contains(stem) || kind == Kind::Conv && published(layer)
        });
        let all_published = numbered.iter().all(|(_, _, layer)| published(layer));
        if kind == Kind::Conv && all_published || are_alike && are_known {
            return Ok(numbered.into_iter().map(|(_, _, layer)| layer).collect::<Vec<_>>());
        }
        if kind == Kind::Dense {
            // They are found by what their sizes leave of orders.
            return Ok(vec![]);
        }
        let first: Vec<_> = numbered.iter().take(3).map(|(_, _, layer)| &layer.name).collect();
        Err(format!(
            "the order of its layers is not known, as their names ({first:?} …) are none that Keras \
             gives by itself: save the whole model, as with model.save(\"model.keras\")"
        ))
    };
    let (convs, norms) = (of(Kind::Conv)?, of(Kind::Norm)?);
    if !norms.is_empty() && norms.len() != convs.len() {
        let (norms, convs) = (norms.len(), convs.len());
        return Err(format!(
            "it has {convs} convolutions and {norms} normalisations, and does not say which of them \
             follow: save the whole model, as with model.save(\"model.keras\")"
        ));
    }
    let mut norms = norms.into_iter();
    let mut steps = Vec::new();
    for conv in convs {
        steps.extend(step(conv));
        steps.extend(norms.next().and_then(step));
    }
    steps.extend(of(Kind::Dense)?.into_iter().filter_map(step));
    Ok(steps)
}

/// A name without the number that Keras puts at its end, and that: `conv2d` is the one before
/// `conv2d_1`.
pub(super) fn numbered(name: &str) -> (&str, u64) {
    let parts = name.rsplit_once('_').and_then(|(stem, number)| Some((stem, number.parse().ok()?)));
    parts.unwrap_or((name, 0))
}

/// Block and place of a convolution that is called as in the published networks, `block1_conv2`.
pub(super) fn block_of(name: &str) -> Option<(u64, u64)> {
    let (block, conv) = name.strip_prefix("block")?.split_once("_conv")?;
    Some((block.parse().ok()?, conv.parse().ok()?))
}
