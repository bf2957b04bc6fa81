//! Starting a network from another one's weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use vgg_tensor::Tensor;

use crate::{Layer, ParamSpec, Params, Vgg};

/// Which layers are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copying {
    /// All that have a counterpart.
    #[default]
    All,
    /// All but the last one: its outputs were other classes, though they may be as many.
    Body,
    /// The first four convolutions of the other network and its three fully connected layers,
    /// as Simonyan & Zisserman 2014 (section 3.1) start deeper networks from configuration A.
    Paper,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Its name.
    pub layer: String,
    /// The layer whose weights it has now, or why it keeps its own.
    pub from: Result<String, String>,
}

/// Convolutions that [`Copying::Paper`] copies.
const PAPER_CONVS: usize = 4;

/// Where a layer with parameters is in a network. Layers of two networks at the same place are
/// counterparts, although networks of other depths count and name them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In a block of convolutions, which a pool ends: the block, the convolution, and how many
    /// layers with parameters are behind it.
    Block(usize, usize, usize),
    /// A hidden fully connected layer, from the first one on.
    Hidden(usize),
    /// The last fully connected layer.
    Last,
}

impl Params {
    /// Copies from another network, layer by layer, what has the same shapes, and says of each layer
    /// what became of it.
    ///
    /// A convolution's counterpart is the one with its number in the block of its number, a hidden fully
    /// connected layer's that of its number, and the last one's the last one.
    ///
    /// ```
    /// use vgg_model::{Copying, Init, Params, Vgg, VggConfig};
    /// let config = VggConfig { input: [1, 32, 32], fc_width: 8, width: 0.1, ..Default::default() };
    /// let ten = Vgg::new(&VggConfig { classes: 10, ..config.clone() })?;
    /// let two = Vgg::new(&VggConfig { classes: 2, ..config })?;
    /// let trained = Params::init(&ten, &Init::default(), 1)?;
    /// let mut params = Params::init(&two, &Init::default(), 2)?;
    /// let layers = params.copy_from(&two, &trained, &ten, Copying::All);
    /// assert_eq!(params.get("features.0.weight"), trained.get("features.0.weight"));
    /// let head = layers.last().unwrap();
    /// assert_eq!(head.layer, "classifier.6");
    /// assert_eq!(head.from, Err("classifier.6.weight is [10, 8] there, but [2, 8] here".into()));
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn copy_from(
        &mut self,
        vgg: &Vgg,
        other: &Params,
        other_vgg: &Vgg,
        copying: Copying,
    ) -> Vec<Transferred> {
        let dims = |name: &str| other.get(name).map(Tensor::dims);
        let transferred = transfers(vgg, other_vgg, dims, copying);
        let mut tensors: Vec<_> = self.tensors_mut().collect();
        for Transferred { layer, from } in &transferred {
            let Ok(from) = from else { continue };
            for ((to, _), (_, there)) in of_layer(vgg, layer).zip(of_layer(other_vgg, from)) {
                if let Some(tensor) = other.get(&there.name) {
                    tensors[to].data_mut().copy_from_slice(tensor.data());
                }
            }
        }
        transferred
    }
}

/// What becomes of each layer of `vgg` by [`Params::copy_from`], where the other network's parameters have
/// the dimensions `dims`, by their names.
pub fn transfers<'a>(
    vgg: &Vgg,
    other_vgg: &Vgg,
    dims: impl Fn(&str) -> Option<&'a [usize]>,
    copying: Copying,
) -> Vec<Transferred> {
    let counterparts: BTreeMap<Place, String> =
        places(other_vgg).into_iter().map(|(layer, place)| (place, layer)).collect();
    let mut allowed = allowed(copying, counterparts.keys().copied());
    let is_of_other_task = vgg.config().task != other_vgg.config().task;
    if is_of_other_task {
        allowed.retain(|place| *place != Place::Last);
    }
    // All parameters of a layer, or none if one differs.
    let fits = |layer: &str, from: &str| {
        let [ours, theirs] = [of_layer(vgg, layer).count(), of_layer(other_vgg, from).count()];
        if ours != theirs {
            return Err(format!("{from} has {theirs} parameters, not {ours}"));
        }
        for ((_, here), (_, there)) in of_layer(vgg, layer).zip(of_layer(other_vgg, from)) {
            let (name, here) = (&there.name, &here.dims);
            match dims(name) {
                None => return Err(format!("{name} is not in the file")),
                Some(there) if there != here => {
                    return Err(format!("{name} is {there:?} there, but {here:?} here"));
                }
                Some(_) => {}
            }
        }
        Ok(from.to_owned())
    };
    let transferred = |(layer, place): (String, Place)| {
        let from = match counterparts.get(&place) {
            None => Err("the other network has no such layer".into()),
            Some(_) if !allowed.contains(&place) => Err(match copying {
                _ if is_of_other_task && place == Place::Last => {
                    "what it gives is for another task".into()
                }
                Copying::Paper => "the paper's rule leaves it".into(),
                Copying::All | Copying::Body => "its classes are other ones".into(),
            }),
            Some(from) => fits(&layer, from),
        };
        Transferred { layer, from }
    };
    places(vgg).into_iter().map(transferred).collect()
}

/// The parameters of a layer, and their places among all.
fn of_layer<'a>(vgg: &'a Vgg, layer: &'a str) -> impl Iterator<Item = (usize, &'a ParamSpec)> {
    vgg.tensors().enumerate().filter(move |(_, spec)| layer_of(&spec.name) == layer)
}

/// Places of the other network from which `copying` copies.
fn allowed(copying: Copying, places: impl Iterator<Item = Place>) -> Vec<Place> {
    let places: Vec<Place> = places.collect(); // in order: blocks first
    match copying {
        Copying::All => places,
        Copying::Body => places.into_iter().filter(|place| *place != Place::Last).collect(),
        Copying::Paper => {
            let conv = |place: &Place| match *place {
                Place::Block(block, conv, _) => Some((block, conv)),
                Place::Hidden(_) | Place::Last => None,
            };
            let mut convs: Vec<_> = places.iter().filter_map(conv).collect();
            convs.dedup();
            convs.truncate(PAPER_CONVS);
            let fits = |place: &Place| conv(place).is_none_or(|place| convs.contains(&place));
            places.into_iter().filter(fits).collect()
        }
    }
}

/// The layers that have parameters, first to last, and their places.
fn places(vgg: &Vgg) -> Vec<(String, Place)> {
    let linears = vgg.layers().iter().filter(|layer| matches!(layer, Layer::Linear { .. })).count();
    let (mut block, mut conv, mut behind, mut linear) = (0, 0, 0, 0);
    let mut places = Vec::new();
    for layer in vgg.layers() {
        let has_params = vgg.tensors().any(|spec| layer_of(&spec.name) == layer.name());
        let place = match layer {
            Layer::MaxPool2d { .. } => {
                (block, conv) = (block + 1, 0);
                continue;
            }
            Layer::Conv2d { .. } => {
                (conv, behind) = (conv + 1, 0);
                Place::Block(block, conv, behind)
            }
            Layer::Linear { .. } => {
                linear += 1;
                if linear == linears { Place::Last } else { Place::Hidden(linear) }
            }
            _ => {
                behind += 1;
                Place::Block(block, conv, behind)
            }
        };
        if has_params {
            places.push((layer.name().to_owned(), place));
        }
    }
    places
}

/// The layer that a parameter's name begins with.
fn layer_of(param: &str) -> &str {
    param.rsplit_once('.').map_or(param, |(layer, _)| layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Init, VggConfig};

    fn network(arch: Arch, batch_norm: bool, seed: u64) -> (Vgg, Params) {
        let config = VggConfig {
            arch,
            batch_norm,
            input: [1, 32, 32],
            width: 0.05,
            fc_width: 8,
            ..VggConfig::default()
        };
        let vgg = Vgg::new(&config).unwrap();
        let params = Params::init(&vgg, &Init::default(), seed).unwrap();
        (vgg, params)
    }

    /// Which layers have been copied, and from where.
    fn copied(arch: Arch, batch_norm: bool, copying: Copying) -> Vec<(String, String)> {
        let (from_vgg, from) = network(Arch::Vgg11, batch_norm, 1);
        let (vgg, mut params) = network(arch, batch_norm, 2);
        let own = params.clone();
        let layers = params.copy_from(&vgg, &from, &from_vgg, copying);
        for Transferred { layer, from: there } in &layers {
            for spec in vgg.tensors().filter(|spec| layer_of(&spec.name) == layer) {
                let suffix = spec.name.strip_prefix(layer.as_str()).unwrap();
                let expected = match there {
                    Ok(there) => from.get(&format!("{there}{suffix}")),
                    Err(_) => own.get(&spec.name),
                };
                assert_eq!(params.get(&spec.name), expected, "{}", spec.name);
            }
        }
        layers.into_iter().filter_map(|t| Some((t.layer, t.from.ok()?))).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
    }

    /// Table 1 of the paper: the first convolutions of A's first three blocks, and its head.
    #[test]
    fn the_papers_rule() {
        let head = [("classifier.0", "classifier.0"), ("classifier.3", "classifier.3")];
        let head = [head[0], head[1], ("classifier.6", "classifier.6")];
        let b = [
            ("features.0", "features.0"),
            ("features.5", "features.3"),
            ("features.10", "features.6"),
            ("features.12", "features.8"),
        ];
        let expected = pairs(&[&b[..], &head].concat());
        assert_eq!(copied(Arch::Vgg13, false, Copying::Paper), expected);
        let e = [
            ("features.0", "features.0"),
            ("features.5", "features.3"),
            ("features.10", "features.6"),
            ("features.12", "features.8"),
        ];
        assert_eq!(copied(Arch::Vgg19, false, Copying::Paper), pairs(&[&e[..], &head].concat()));
    }

    #[test]
    fn all_that_fits() {
        // A's two convolutions of each later block are there, too.
        assert_eq!(copied(Arch::Vgg16, false, Copying::All).len(), 8 + 3);
        assert_eq!(copied(Arch::Vgg11, false, Copying::All).len(), 8 + 3);
        // A head of as many classes is of other classes nevertheless.
        let body = copied(Arch::Vgg11, false, Copying::Body);
        assert_eq!(body, copied(Arch::Vgg11, false, Copying::All)[..8 + 2]);
        // Normalisations go with their convolutions, running statistics included.
        assert_eq!(copied(Arch::Vgg13, true, Copying::All).len(), 2 * 8 + 3);
        assert_eq!(copied(Arch::Vgg13, true, Copying::Paper).len(), 2 * 4 + 3);
    }
}
