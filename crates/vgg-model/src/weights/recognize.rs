//! What network a file has the weights of.

use std::collections::HashSet;
use std::slice;

use vgg_tensor::{Content, Error, Result};

use super::body;
use super::contents::Contents;
use super::find::{self, Found};
use super::tensor_name::layer_of;
use super::{Convention, Located, WeightFile, is_conv_weight, mismatch};
use crate::{Arch, ParamSpec, Params, Vgg, VggConfig};

/// Larger images are not looked for where the size follows from the weights.
const MAX_SIDE: usize = 1024;

/// Whether its last layer looks like a hidden one of the paper's network, whose own last ones are cut off.
fn ends_early(config: &VggConfig) -> bool {
    let width = match config.fc_hidden {
        0 => VggConfig::default().fc_width,
        _ => config.fc_width,
    };
    config.fc_hidden < VggConfig::default().fc_hidden && config.classes == width
}

/// A network of the layers of `config`, for their names and kinds: as small as there is, as with few pools and
/// usual fully connected layers it would have more parameters than any.
pub(super) fn layers_of(config: &VggConfig) -> Result<Vgg> {
    let [channels, ..] = config.input;
    let side = config.arch.min_side();
    let fc_width = if config.arch == Arch::LeNet { config.fc_width } else { 1 };
    Vgg::new(&VggConfig { input: [channels, side, side], fc_width, ..config.clone() })
}

/// Weights that another network can start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Their network.
    pub vgg: VggConfig,
    /// Whose conventions they have.
    pub convention: Convention,
    /// Its parameters. Where `lacking` says why, fully connected layers may be missing, or have other
    /// shapes than in such a network.
    pub params: Params,
    /// Why its fully connected layers are not those of such a network, if they are not.
    pub lacking: Option<String>,
    /// The tensors of the file that are beside the network, and left out.
    pub beside: Vec<String>,
}

impl WeightFile {
    /// The network of configuration `arch` whose parameters the file has by `convention`: its
    /// width, classes, and the channels and side of its input follow from the shapes; of several
    /// sides, it is that which the file says, the default one or else the smallest.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] if they are of no such network.
    pub fn config(&self, arch: &Arch, convention: &Convention) -> Result<VggConfig> {
        let (config, lacking) = self.config_of(arch, convention)?;
        match lacking {
            Some(reason) => Err(self.source.error(reason)),
            None => Ok(config),
        }
    }

    /// Reads the weights of whatever network the file has, for another one to start from: of the
    /// configuration `likely`, or else of any, and by the conventions of the names that it has. Its
    /// fully connected layers need not be there, nor fit together.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] if it has none, or several; else as [`WeightFile::params`].
    pub fn start(&self, likely: &Arch) -> Result<Start> {
        let conventions = match &self.contents.keras {
            Some(_) => vec![self.usual()],
            None => vec![Convention::TORCHVISION, Convention::KERAS, Convention::CAFFE],
        };
        let archs: Vec<Arch> = [likely.clone()].into_iter().chain(Arch::ALL).collect();
        let candidates = self.whole(&archs, &conventions)?;
        let mut tried = candidates.iter().map(|(arch, convention)| self.start_as(arch, convention));
        let first = tried.next().unwrap_or_else(|| self.start_as(likely, &conventions[0]));
        first.or_else(|error| tried.find_map(Result::ok).ok_or(error))?
    }

    /// Those of `archs` whose convolutions the file has by `convention`, in their order: what
    /// [`WeightFile::config`] may find to be its network.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] if they are of several networks, and [`WeightFile::under`] did
    /// not say which one is meant.
    pub fn candidates(&self, archs: &[Arch], convention: &Convention) -> Result<Vec<Arch>> {
        let whole = self.whole(archs, &[*convention])?;
        Ok(whole.into_iter().map(|(arch, _)| arch).collect())
    }

    /// The configurations and conventions whose convolutions the file has, all of one network: of
    /// different ones none is guessed, as of equal ones.
    fn whole(&self, archs: &[Arch], conventions: &[Convention]) -> Result<Vec<(Arch, Convention)>> {
        let (mut whole, mut all) = (Vec::new(), Vec::new());
        for (convention, arch) in conventions
            .iter()
            .flat_map(|convention| archs.iter().map(move |arch| (convention, arch)))
        {
            // What is wrong with all of them is told of the one that is tried.
            let prefixes = self.prefixes(slice::from_ref(arch), convention).unwrap_or_default();
            if !prefixes.is_empty() {
                whole.push((arch.clone(), *convention));
            }
            all.extend(prefixes);
        }
        let mut known = HashSet::new();
        let prefixes: Vec<&str> =
            all.iter().map(String::as_str).filter(|prefix| known.insert(*prefix)).collect();
        match (&self.under, &prefixes[..]) {
            (None, [_, _, ..]) => Err(self.source.error(body::several(&prefixes))),
            _ => Ok(whole),
        }
    }

    /// The weights of a network of `arch`, if it is one: only reading them may fail.
    fn start_as(&self, arch: &Arch, convention: &Convention) -> Result<Result<Start>> {
        let (config, lacking) = self.config_of(arch, convention)?;
        let vgg = Vgg::new(&config)?;
        let found = find::find(self, &vgg, convention)?;
        let wrong = match (&lacking, found.extra) {
            (None, extra) => extra,
            // What is left may be of a head, but not more convolutions.
            (Some(_), extra) => extra.filter(|tensor| tensor.dims.len() == 4),
        };
        if let Some(extra) = wrong {
            return Err(self.source.error(mismatch::extra(self, &vgg, extra, convention)));
        }
        let there = vgg.tensors().filter(|spec| found.tensors.contains_key(spec.name.as_str()));
        let specs = there
            .map(|spec| self.as_it_is(spec, &vgg, &found, convention))
            .collect::<Result<Vec<_>>>()?;
        let params = self.layouts(specs.iter(), &vgg, &found, convention)?;
        let read = self.read(params, convention).map(Params::some);
        let convention = *convention;
        let beside = found.beside.iter().map(|tensor| tensor.name.clone()).collect();
        Ok(read.map(|params| Start { vgg: config, convention, params, lacking, beside }))
    }

    /// The parameter `spec` of `vgg` with the shape that it has in the file if it is of a fully connected
    /// layer: such a layer is of use where it fits the network that starts, whatever the others are.
    fn as_it_is(
        &self,
        spec: &ParamSpec,
        vgg: &Vgg,
        found: &Found<'_>,
        convention: &Convention,
    ) -> Result<ParamSpec> {
        let (tensor, linears) = (found.tensors[spec.name.as_str()], body::linear_layers(vgg));
        let layer = layer_of(&spec.name);
        if !linears.contains(&layer) || convention.layout(spec, &tensor.dims).is_some() {
            return Ok(spec.clone());
        }
        let differs = mismatch::shape(vgg, spec, tensor, convention);
        if differs.ends_with(mismatch::TRANSPOSED) {
            return Err(self.source.error(differs));
        }
        let (dims, content) = match spec.content {
            Content::LinearWeight { c, weight_type, .. } => {
                let (out_features, inputs) = convention
                    .outputs_and_inputs(spec, &tensor.dims)
                    .ok_or_else(|| self.source.error(differs))?;
                // Of the first one the inputs are maps, which are square.
                let side = inputs.checked_div(c).unwrap_or_default().isqrt();
                let (c, side) = match linears[0] == layer && c * side * side == inputs {
                    true => (c, side),
                    false => (inputs, 1),
                };
                let content =
                    Content::LinearWeight { out_features, c, h: side, w: side, weight_type };
                (vec![out_features, inputs], content)
            }
            _ => (tensor.dims.clone(), Content::Vector(tensor.dims.iter().product())),
        };
        Ok(ParamSpec { dims, content, ..spec.clone() })
    }

    /// The network, where its fully connected layers are the default ones as far as the file's are not
    /// those of such a network, and why they are not.
    fn config_of(
        &self,
        arch: &Arch,
        convention: &Convention,
    ) -> Result<(VggConfig, Option<String>)> {
        self.candidates(slice::from_ref(arch), convention)?;
        // There may be other networks beside it, which are incomplete.
        let batch_norm = self.tensors().any(|(name, _)| name.ends_with(".running_mean"));
        let Contents { avg_pool, .. } = self.contents;
        let full = VggConfig { arch: arch.clone(), batch_norm, avg_pool, ..VggConfig::default() };
        let plain = VggConfig { batch_norm: false, ..full.clone() };
        let is_there =
            |config| layers_of(config).map(|vgg| find::find(self, &vgg, convention).is_ok());
        let full = match batch_norm && !is_there(&full)? && is_there(&plain)? {
            true => plain,
            false => full,
        };
        let vgg = layers_of(&full)?;
        let found = find::find(self, &vgg, convention)?;
        let as_usual = self.config_as(&full, &vgg, &found, convention)?;
        let fits = |(config, lacking): &(VggConfig, Option<String>)| {
            Ok(lacking.is_none() && self.check(&Vgg::new(config)?, convention).is_ok())
        };
        if full.arch == Arch::LeNet || fits(&as_usual)? {
            return Ok(as_usual);
        }
        // It may have other fully connected layers than the paper's three.
        let others = (0..=VggConfig::MAX_FC_HIDDEN).filter(|number| *number != full.fc_hidden);
        let mut nearest = None;
        for fc_hidden in others {
            let full = VggConfig { fc_hidden, ..full.clone() };
            let vgg = layers_of(&full)?;
            let found = find::find(self, &vgg, convention)?;
            if found.head.lacking.is_some() {
                continue;
            }
            let other = self.config_as(&full, &vgg, &found, convention)?;
            if !ends_early(&other.0) && fits(&other)? {
                return Ok(other);
            }
            if found.extra.is_some_and(|extra| self.is_of_linear(extra)) {
                continue;
            }
            // It has as many layers, and what is wrong with them is what is wrong.
            nearest = self.check(&Vgg::new(&other.0)?, convention).err().or(nearest);
        }
        Ok(match (as_usual, nearest) {
            ((usual, Some(_)), Some(Error::Format { reason, .. })) => (usual, Some(reason)),
            (as_usual, _) => as_usual,
        })
    }

    /// The network that is `full` but for what the shapes of its tensors say, which were `found` by the layers
    /// that `vgg` has, too.
    fn config_as(
        &self,
        full: &VggConfig,
        vgg: &Vgg,
        found: &Found<'_>,
        convention: &Convention,
    ) -> Result<(VggConfig, Option<String>)> {
        let size = |spec: &ParamSpec, tensor: &Located| {
            let size = convention.outputs_and_inputs(spec, &tensor.dims);
            size.ok_or_else(|| self.source.error(mismatch::shape(vgg, spec, tensor, convention)))
        };
        let weights =
            vgg.params().iter().filter(|spec| !matches!(spec.content, Content::Vector(_)));
        let sizes = weights
            .filter_map(|spec| Some((spec, *found.tensors.get(spec.name.as_str())?)))
            .map(|(spec, tensor)| Ok((spec, size(spec, tensor)?)))
            .collect::<Result<Vec<_>>>()?;
        let linears = sizes.iter().position(|(spec, _)| !is_conv_weight(spec));
        let (convs, linears) = sizes.split_at(linears.unwrap_or(sizes.len()));
        let Some((first, (c_out, c_in))) = convs.first() else {
            return Err(self.source.error("a network without convolutions"));
        };
        let width = *c_out as f64 / first.dims[0] as f64;
        let mut lacking = found.head.lacking.clone();
        let classes = match linears {
            [.., (last, (classes, _))] if lacking.is_none() => match classes {
                2.. => *classes,
                _ => {
                    let outputs = if *classes == 1 { "1 output" } else { "no outputs" };
                    let told = "a network tells two classes or more apart";
                    lacking = Some(format!("{} has {outputs}: {told}", layer_of(&last.name)));
                    full.classes
                }
            },
            _ => full.classes,
        };
        let usual = self.contents.side.unwrap_or(full.input[1]);
        let with = |side, fc_width| VggConfig {
            width,
            input: [*c_in, side, side],
            classes,
            // LeNet's hidden layers' width is no setting, and without any the outputs are classes.
            fc_width: match full.arch == Arch::LeNet || full.fc_hidden == 0 {
                true => full.fc_width,
                false => fc_width,
            },
            ..full.clone()
        };
        // At the usual side networks of few pools may be larger than any.
        let plain = || match with(usual, full.fc_width) {
            config if Vgg::new(&config).is_ok() => config,
            _ => with(full.arch.min_side(), full.fc_width),
        };
        // A layer whose outputs are no other one's inputs may be the last one, under the first one's name.
        let is_hidden = |spec: &ParamSpec, outputs: usize| {
            let weights = self.contents.tensors.iter().filter(|tensor| tensor.dims.len() == 2);
            let mut sizes = weights.map(|tensor| convention.outputs_and_inputs(spec, &tensor.dims));
            found.head.lacking.is_none()
                || sizes.any(|size| size.is_some_and(|(_, i)| i == outputs))
        };
        let name = body::linear_layers(vgg)[0];
        let hidden = linears.iter().find(|(spec, (outputs, _))| {
            layer_of(&spec.name) == name && *outputs > 0 && is_hidden(spec, *outputs)
        });
        let Some((_, (fc_width, inputs))) = hidden else { return Ok((plain(), lacking)) };
        let with_inputs = |inputs: usize| {
            let fits = |config: &VggConfig| {
                let vgg = Vgg::new(config).ok();
                let linear = vgg.iter().flat_map(Vgg::params).find(|spec| spec.dims.len() == 2);
                linear.is_some_and(|linear| linear.dims[1] == inputs)
            };
            let least = full.arch.min_side();
            let mut sides = [usual].into_iter().chain(least..=MAX_SIDE);
            sides.find_map(|side| Some(with(side, *fc_width)).filter(fits))
        };
        if let Some(config) = with_inputs(*inputs) {
            return Ok((config, lacking));
        }
        let wanted = format!("its first fully connected layer has {inputs} inputs");
        if with_inputs(*fc_width).is_some() {
            return Err(self.source.error(format!("{wanted}: {}", mismatch::TRANSPOSED)));
        }
        let none = format!("{wanted}: none has that of up to {MAX_SIDE} × {MAX_SIDE} pixels");
        Ok((with(usual, *fc_width), lacking.or(Some(none))))
    }
}
