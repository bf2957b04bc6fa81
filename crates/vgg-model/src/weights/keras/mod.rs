//! The files of Keras: HDF5 of all its versions, and the archives of Keras 3, which have such a file in
//! them.
//!
//! The layers of the published VGGs have names of their own, `block1_conv1`. Those of people's own
//! networks are called by their kinds and numbers, `conv2d_17`, which say neither where the pools are
//! nor, across kinds, what follows what. So layers are put into the order that the file says
//! (`config.rs`) or else that their names do (`layers.rs`), and get the published names by it: then they
//! are found as the published networks are. Where the file does not say the pools, convolutions are
//! numbered, and the network follows from how many there are and their channels.

mod config;
mod layers;
mod tree;

use std::collections::{HashMap, HashSet};

use vgg_tensor::Result;
use vgg_tensor::spec::BatchNorm2d;

use self::config::{Network, Step};
use self::layers::{Kind, Layer};
use self::tree::Tree;
use super::contents::{Contents, Keras};
use super::source::{Entry, Located, Source, contiguous_strides};

/// A network's weights in an archive of Keras 3, and what it is.
pub(super) const WEIGHTS: &str = "model.weights.h5";
const CONFIG: &str = "config.json";
/// Longer ones are of no VGG.
const MAX_CONFIG: u64 = 1 << 20;

/// What Keras adds to variances if nothing else is said.
const EPSILON: f64 = 1e-3;

/// The tensors of an HDF5 file.
pub(super) fn file(source: &Source) -> Result<Contents> {
    read(source, None, None).map_err(|reason| source.error(reason))
}

/// The tensors of an archive of Keras 3 with these entries.
pub(super) fn archive(source: &Source, entries: &HashMap<String, Entry>) -> Result<Contents> {
    let entry = |name| entries.get(name).ok_or_else(|| source.error(format!("it has no {name}")));
    let (weights, config) = (entry(WEIGHTS)?, entry(CONFIG)?);
    if config.len > MAX_CONFIG {
        return Err(source.error(format!("its {CONFIG} of {} bytes is too long", config.len)));
    }
    if config.crc.is_some_and(|crc| source.crc(config).is_ok_and(|found| found != crc)) {
        return Err(source.error(format!("its {CONFIG} is damaged: its checksum does not match")));
    }
    let config = source.bytes(config.start, config.len)?;
    let config = String::from_utf8_lossy(&config);
    read(source, Some(weights), Some(&config)).map_err(|reason| source.error(reason))
}

fn read(
    source: &Source,
    entry: Option<&Entry>,
    config: Option<&str>,
) -> std::result::Result<Contents, String> {
    let tree = Tree::read(source, entry)?;
    let layers = layers::all(&tree);
    let config = config.or(tree.config.as_deref());
    let network = match config {
        Some(config) => config::read(config)?,
        None => layers::order(&tree, &layers)?,
    };
    let layers = match config {
        Some(_) => as_said(&network.steps, layers)?,
        None => layers,
    };
    let names = names(&network.steps, config.is_some());
    let mut renamed = HashMap::new();
    let (mut tensors, mut faulty) = (Vec::new(), Vec::new());
    for Layer { path, name, arrays, .. } in &layers {
        let new = names.get(name.as_str());
        if let Some(new) = new.filter(|new| *new != name) {
            renamed.insert(new.clone(), name.clone());
        }
        for (array, role) in arrays {
            let called = match new.filter(|_| !role.is_empty()) {
                Some(layer) => format!("{layer}.{role}"),
                None => array.path.clone(),
            };
            let strides = contiguous_strides(&array.dims);
            let located = array.storage.clone().map_err(|reason| {
                format!("{} of its layer {path:?} {reason}", array_name(&array.path))
            });
            match located
                .and_then(|storage| Located::new(&called, storage, 0, &array.dims, &strides))
            {
                Ok(tensor) => tensors.push(tensor),
                Err(reason) => faulty.push((called, reason)),
            }
        }
    }
    match faulty.first() {
        Some((_, reason)) if tensors.is_empty() => return Err(reason.clone()),
        None if tensors.is_empty() => return Err("it has no weights".into()),
        _ => {}
    }
    let is_published = |layer: &Layer<'_>| names.get(layer.name.as_str()) == Some(&layer.name);
    let may_be_published = layers.iter().filter(|l| l.kind == Kind::Conv).all(is_published);
    let Network { side, pooled, pools, epsilon, .. } = network;
    let to_variance = to_variance(epsilon)?;
    let keras = Some(Keras { layers: renamed, may_be_published, to_variance });
    let avg_pool = pooled.then_some(1);
    Ok(Contents { tensors, faulty, side, avg_pool, pools, keras, ..Contents::default() })
}

fn array_name(path: &str) -> String {
    format!("{:?}", path.rsplit('/').next().unwrap_or_default())
}

/// A normalisation divides by the root of variance and epsilon, and our epsilon is not Keras's. As
/// it is their sum that counts, the difference is added to the variances when they are read: the
/// network computes what it did in Keras, but for the rounding of that sum.
fn to_variance(epsilon: Option<f64>) -> std::result::Result<f32, String> {
    let epsilon = epsilon.unwrap_or(EPSILON);
    let difference = epsilon - f64::from(BatchNorm2d::EPSILON);
    // As of a number of 32 bits.
    match difference >= -1e-12 {
        true => Ok(difference as f32),
        false => Err(format!(
            "its normalisations have an epsilon of {epsilon}: here it is {} at least",
            BatchNorm2d::EPSILON
        )),
    }
}

/// The layers as a configuration calls them: by their names, or where the file does not have these (some
/// versions of Keras 3 have none), as many of each kind follow in the order of their numbers.
fn as_said<'a>(
    steps: &[Step],
    layers: Vec<Layer<'a>>,
) -> std::result::Result<Vec<Layer<'a>>, String> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for layer in &layers {
        *known.entry(&layer.name).or_default() += 1;
    }
    let said: HashSet<&str> = steps.iter().filter_map(|step| Some(name_of(step)?.0)).collect();
    if said.iter().all(|name| known.get(name) == Some(&1)) {
        return Ok(layers);
    }
    let mut layers = layers;
    layers.sort_by_key(|layer| {
        let (_, number) = layers::numbered(layer.path.rsplit('/').next().unwrap_or_default());
        number
    });
    for kind in [Kind::Conv, Kind::Norm, Kind::Dense] {
        let names: Vec<&str> = steps
            .iter()
            .filter_map(name_of)
            .filter(|(_, of)| *of == kind)
            .map(|(n, _)| n)
            .collect();
        let of_kind: Vec<&mut Layer<'a>> =
            layers.iter_mut().filter(|layer| layer.kind == kind).collect();
        let module =
            |layer: &Layer<'_>| layer.path.rsplit_once('/').map(|(module, _)| module.to_owned());
        let are_in_one = of_kind.windows(2).all(|pair| module(pair[0]) == module(pair[1]));
        if names.len() != of_kind.len() || !are_in_one {
            let (names, there) = (names.len(), of_kind.len());
            return Err(format!(
                "its configuration says {names} layers of the kind {kind:?}, and it has the weights of \
                 {there}, by other names"
            ));
        }
        for (layer, name) in of_kind.into_iter().zip(names) {
            layer.name = name.into();
        }
    }
    Ok(layers)
}

fn name_of(step: &Step) -> Option<(&str, Kind)> {
    match step {
        Step::Conv(name) => Some((name, Kind::Conv)),
        Step::Norm(name) => Some((name, Kind::Norm)),
        Step::Dense(name) => Some((name, Kind::Dense)),
        Step::Pool => None,
    }
}

/// New names of layers by those that they have in the file: `block1_conv1` and so on if it is known
/// where the pools are, which a configuration says, and otherwise by their number, `conv2d_0`.
/// Normalisations are called by their convolutions, and fully connected layers by their order, unless they
/// have the published names.
fn names(steps: &[Step], is_said: bool) -> HashMap<&str, String> {
    let of = |kind: Kind| {
        let of_kind = move |(_, known): &(&str, Kind)| *known == kind;
        steps.iter().filter_map(name_of).filter(of_kind).map(|(name, _)| name)
    };
    let are_published = !is_said && of(Kind::Conv).all(|name| layers::block_of(name).is_some());
    let has_pools = steps.contains(&Step::Pool);
    let keep_denses = of(Kind::Dense).all(|name| ["fc1", "fc2", "predictions"].contains(&name));
    let (mut block, mut in_block, mut all, mut denses) = (1, 0, 0, 0);
    let mut names = HashMap::new();
    let mut conv = String::new();
    for step in steps {
        match step {
            Step::Pool => (block, in_block) = (block + 1, 0),
            Step::Conv(name) => {
                in_block += 1;
                conv = match (are_published, has_pools) {
                    (true, _) => name.clone(),
                    (false, true) => format!("block{block}_conv{in_block}"),
                    (false, false) => format!("conv2d_{all}"),
                };
                all += 1;
                names.insert(name.as_str(), conv.clone());
            }
            Step::Norm(name) => drop(names.insert(name.as_str(), format!("{conv}_bn"))),
            Step::Dense(name) => {
                let new = if keep_denses { name.clone() } else { format!("dense_{denses}") };
                denses += 1;
                names.insert(name.as_str(), new);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests;
