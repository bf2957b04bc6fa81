//! Weights from elsewhere: files of other programs, in their formats and with their conventions.

mod body;
mod contents;
mod convention;
mod find;
mod head;
mod keras;
mod kind;
mod mismatch;
mod onnx;
mod pth;
mod recognize;
mod source;
mod tensor_name;
mod zip;

use std::collections::HashSet;
use std::path::Path;

use vgg_tensor::{Content, Result, Tensor};

use self::contents::{Contents, Keras, Said};
use self::convention::Layout;
pub use self::convention::{ChannelOrder, Convention, FlattenOrder, KernelLayout, Names};
use self::find::Found;
use self::kind::Kind;
pub use self::recognize::Start;
use self::source::{ITSELF, Located, Source, Storage, contiguous_strides};
use self::tensor_name::layer_of;
use crate::tensor_file::{self, Tensors, error_in_file};
use crate::{Arch, Input, Layer, ParamSpec, Params, Role, Vgg, VggConfig};

/// A file of weights: safetensors; what `torch.save` writes of a state dictionary (`.pth`, `.pt`), as a
/// zip archive or in the format from before PyTorch 1.6; what Keras writes (`.h5`, `.weights.h5`,
/// `.keras`); or an ONNX model, whose weights have the names that torchvision gives to their places in the
/// graph.
///
/// Layers that Keras has named by itself, as `conv2d_17`, are known by the order that the file says, or
/// their numbers do: their tensors are called as in Keras's own VGGs, `block1_conv1.weight`.
///
/// Opening it finds the tensors, and reads none of their numbers. Nothing in a file is believed
/// unchecked, and nothing in it is run: of Python's pickles the reader knows by name the few
/// functions that make tensors, and what any other one was to make is left aside. Numbers may be `f32`, `f64`, `f16`
/// or `bf16`; the parameters are `f32`.
///
/// # Example
/// ```
/// use vgg_model::weights::{Convention, WeightFile};
/// use vgg_model::{Arch, Init, Params, Vgg, VggConfig};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("weights.safetensors");
/// let config = VggConfig { input: [3, 32, 32], width: 1.0 / 64.0, fc_width: 8, ..Default::default() };
/// let vgg = Vgg::new(&config)?;
/// let params = Params::init(&vgg, &Init::default(), 42)?;
/// params.save(&path)?;
///
/// let file = WeightFile::open(&path)?;
/// assert_eq!(file.config(&Arch::Vgg11, &Convention::TORCHVISION)?, config);
/// assert_eq!(file.params(&vgg, &Convention::TORCHVISION)?, params);
/// let first = file.tensor("features.0.weight")?;
/// assert_eq!(first.as_ref(), params.get("features.0.weight"));
/// # Ok::<(), vgg_model::Error>(())
/// ```
#[derive(Debug)]
pub struct WeightFile {
    source: Source,
    contents: Contents,
    /// How the names begin of the network that is meant, if that was said.
    under: Option<String>,
}

impl WeightFile {
    /// Finds the tensors of a file.
    ///
    /// Of a training checkpoint, these are all tensors in it, under the keys that lead to them, as
    /// `state_dict.features.0.weight`. Where a network's are among them is found when they are asked
    /// for; a `module.`, as `DataParallel` puts it before names or into them, is left out.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Io`] if it cannot be read; [`vgg_tensor::Error::Format`] if it is
    /// damaged, or anything else than weights.
    pub fn open(path: &Path) -> Result<Self> {
        let mut source = Source::open(path)?;
        let kind = Kind::of(&source.head(kind::HEAD)?).map_err(|reason| source.error(reason))?;
        let contents = match kind {
            Kind::Zip => {
                let entries = zip::entries(&source)?;
                match entries.contains_key(keras::WEIGHTS) {
                    true => keras::archive(&source, &entries)?,
                    false => pth::zip(&source, &entries)?,
                }
            }
            Kind::Legacy => pth::legacy(&source)?,
            Kind::Hdf5 => keras::file(&source)?,
            Kind::Safetensors => Contents { tensors: safetensors(&source)?, ..Contents::default() },
            Kind::Onnx => onnx::contents(&mut source)?,
        };
        let Contents { mut tensors, .. } = contents;
        tensors.extend(left_out_biases(&tensors));
        let contents = Contents { tensors, ..contents };
        let mut names = HashSet::new();
        if let Some(twice) = contents.tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
            return Err(source.error(format!("it has {} twice", twice.name)));
        }
        Ok(Self { source, contents, under: None })
    }

    /// What a pickle asks for beside tensors, by the names of functions and classes of Python, the
    /// first few: nothing of it is run.
    pub fn asks(&self) -> &[String] {
        &self.contents.asks
    }

    /// The images that its network takes whose inputs are `[channels, rows, columns]`, if the file says them,
    /// as an ONNX model of this crate does. Else they are those of its [convention](Convention::input), most
    /// likely.
    pub fn input(&self, [channels, height, width]: [usize; 3]) -> Option<Input> {
        let Said { mean, std, short_side, .. } = self.contents.said.as_ref()?;
        let fits = mean.len() == channels && std.len() == channels;
        let plain = Input::unnormalized(channels, height, width);
        let (mean, std, short_side) = (mean.clone(), std.clone(), *short_side);
        fits.then_some(Input { mean, std, short_side, turned: true, ..plain })
    }

    /// The names of the classes, if the file says them, as an ONNX model of this crate does.
    pub fn classes(&self) -> &[String] {
        self.contents.said.as_ref().map_or(&[], |said| &said.classes)
    }

    /// The convention that it is written by, most likely: of Keras's files Keras's, and as nothing is known of
    /// the images of a network whose layers have numbers alone, [`Convention::KERAS_OWN`]; else torchvision's.
    pub fn usual(&self) -> Convention {
        match &self.contents.keras {
            None => Convention::TORCHVISION,
            Some(Keras { may_be_published: true, .. }) => Convention::KERAS,
            Some(_) => Convention::KERAS_OWN,
        }
    }

    /// The same file, where the names of the network's tensors begin with `prefix`, such as
    /// `model_ema`: in a checkpoint of several networks, which it must be told apart.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        Self { under: Some(prefix.into()), ..self }
    }

    /// Names and dimensions of its tensors.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.contents.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.dims.as_slice()))
    }

    /// Reads one tensor as it is in the file, by its name there; nothing if there is none.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Io`] if it cannot be read; [`vgg_tensor::Error::Format`] if it is damaged, or
    /// of a type that weights do not have.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(tensor) = self.contents.tensors.iter().find(|tensor| tensor.name == name) else {
            return Ok(None);
        };
        self.source.verify([tensor].into_iter())?;
        Tensor::new(tensor.dims.clone(), self.source.numbers(tensor)?).map(Some)
    }

    /// How the names begin of each network in the file that has the convolutions of one of `archs`
    /// by `convention`. Of several, [`WeightFile::under`] has to say which one is meant.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] if there are absurdly many.
    pub fn prefixes(&self, archs: &[Arch], convention: &Convention) -> Result<Vec<String>> {
        let (mut all, mut first_error) = (Vec::new(), None);
        for (arch, batch_norm) in archs.iter().flat_map(|arch| [(arch, false), (arch, true)]) {
            let vgg = VggConfig { arch: arch.clone(), batch_norm, ..VggConfig::default() };
            // Not all have normalisations.
            let Ok(vgg) = recognize::layers_of(&vgg) else { continue };
            match body::prefixes(self, &vgg, convention.names) {
                Ok(prefixes) => all.extend(prefixes),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let mut known = HashSet::new();
        all.retain(|prefix| known.insert(prefix.clone()));
        match first_error {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    /// Compares names and shapes with those that `vgg` has by `convention`, and reads no numbers.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] naming the first tensor that is missing, has another shape or
    /// is none of the network's, with both shapes and the likely cause.
    pub fn check(&self, vgg: &Vgg, convention: &Convention) -> Result<Matched> {
        self.found(vgg, convention).map(|(_, matched)| matched)
    }

    /// Each parameter of `vgg` with its tensor, and how they were found.
    fn found<'a>(
        &'a self,
        vgg: &'a Vgg,
        convention: &Convention,
    ) -> Result<(Vec<Param<'a>>, Matched)> {
        let found = find::find(self, vgg, convention)?;
        if let Some(reason) = found.head.lacking {
            return Err(self.source.error(reason));
        }
        let params = self.layouts(vgg.tensors(), vgg, &found, convention)?;
        if let Some(extra) = found.extra {
            return Err(self.source.error(mismatch::extra(self, vgg, extra, convention)));
        }
        let pools =
            vgg.layers().iter().filter(|layer| matches!(layer, Layer::MaxPool2d { .. })).count();
        if let Some(there) = self.contents.pools.filter(|there| *there != pools) {
            let reason = format!("the file's network has {there} max-pools, this one {pools}");
            return Err(self.source.error(reason));
        }
        let computes = |tensor: &&&Located| {
            let Located { name, dims, .. } = tensor;
            let layer = layer_of(name);
            let is_of_loss = ["criterion", "loss"].iter().any(|word| layer.contains(word));
            name.starts_with(found.prefix)
                && match dims.len() {
                    // A fully connected layer beside a network is another head, most likely.
                    1 => !is_of_loss && !self.is_of_linear(tensor),
                    len => len == 4,
                }
        };
        if let Some(tensor) = found.beside.iter().find(computes) {
            return Err(self.source.error(mismatch::beside(tensor)));
        }
        let beside = found.beside.iter().map(|tensor| tensor.name.clone()).collect();
        let mut by_order: Vec<(String, String)> = self.renamed(&params).collect();
        for (own, in_file) in found.head.by_order {
            if !by_order.iter().any(|(known, _)| known == own) {
                by_order.push((own.into(), in_file.into()));
            }
        }
        Ok((
            params,
            Matched { prefix: tensor_name::trimmed(found.prefix).into(), by_order, beside },
        ))
    }

    /// Whether a tensor is of a layer that is fully connected, as its weight is a matrix.
    fn is_of_linear(&self, tensor: &Located) -> bool {
        let weight = format!("{}.weight", layer_of(&tensor.name));
        let mut tensors = self.contents.tensors.iter();
        tensors.any(|tensor| tensor.name == weight && tensor.dims.len() == 2)
    }

    /// The layers that are called otherwise in a file of Keras: the network's names and the file's.
    fn renamed(&self, params: &[Param<'_>]) -> impl Iterator<Item = (String, String)> {
        let mut known = HashSet::new();
        params.iter().filter_map(move |(spec, tensor, _)| {
            let in_file = self.contents.keras.as_ref()?.layers.get(layer_of(&tensor.name))?;
            let own = layer_of(&spec.name);
            known.insert(own).then(|| (own.to_owned(), in_file.clone()))
        })
    }

    /// How the tensors of `specs`, which are parameters of `vgg` that were found, are ordered.
    fn layouts<'a>(
        &self,
        specs: impl Iterator<Item = &'a ParamSpec>,
        vgg: &Vgg,
        found: &Found<'a>,
        convention: &Convention,
    ) -> Result<Vec<Param<'a>>> {
        let layout = |spec: &'a ParamSpec| {
            let tensor = found.tensors[spec.name.as_str()];
            let layout = convention.layout(spec, &tensor.dims);
            let error = || self.source.error(mismatch::shape(vgg, spec, tensor, convention));
            Ok((spec, tensor, layout.ok_or_else(error)?))
        };
        specs.map(layout).collect()
    }

    /// Reads the parameters of `vgg`, which the file has by `convention`.
    ///
    /// # Errors
    /// Those of [`WeightFile::check`]; [`vgg_tensor::Error::Format`] naming the first tensor whose
    /// numbers are of a type that weights do not have, or are no weights.
    pub fn params(&self, vgg: &Vgg, convention: &Convention) -> Result<Params> {
        let (found, _) = self.found(vgg, convention)?;
        let params = Params::new(vgg, self.read(found, convention)?);
        params.map_err(|error| error_in_file(self.source.path(), error))
    }

    /// Reads parameters, of which the first is the first convolution's weight.
    fn read(&self, params: Vec<Param<'_>>, convention: &Convention) -> Result<Tensors> {
        self.source.verify(params.iter().map(|(_, tensor, _)| *tensor))?;
        let read = |(i, (spec, tensor, layout)): (usize, Param<'_>)| {
            let reverse = i == 0 && convention.channels == ChannelOrder::Bgr;
            let mut numbers = layout.in_order(self.source.numbers(tensor)?, reverse);
            if let (Role::RunningVar, Some(keras)) = (spec.role, &self.contents.keras) {
                numbers.iter_mut().for_each(|x| *x += keras.to_variance);
            }
            check_numbers(spec, &numbers)
                .map_err(|what| self.source.error(format!("{} {what}", tensor.name)))?;
            Ok((spec.name.clone(), Tensor::new(spec.dims.clone(), numbers)?))
        };
        params.into_iter().enumerate().map(read).collect()
    }
}

impl Params {
    /// Reads the parameters of `vgg` from a file with torchvision's names, written by this crate or
    /// any other: [`WeightFile`] says what is read, and has the errors.
    ///
    /// # Errors
    /// Those of [`WeightFile::open`] and [`WeightFile::params`].
    pub fn load(path: &Path, vgg: &Vgg) -> Result<Self> {
        WeightFile::open(path)?.params(vgg, &Convention::TORCHVISION)
    }
}

/// Where a file has a network's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// How the names of its tensors begin in the file, as `state_dict.module`.
    pub prefix: String,
    /// Layers that were found by their order and sizes, as their names are others: the network's and
    /// the file's. They are fully connected, but in a file of Keras, which has names by numbers.
    pub by_order: Vec<(String, String)>,
    /// The tensors of the file that are beside the network, and left out.
    pub beside: Vec<String>,
}

/// A parameter, its tensor, and how that is ordered.
type Param<'a> = (&'a ParamSpec, &'a Located, Layout);

fn is_conv_weight(spec: &ParamSpec) -> bool {
    matches!(spec.content, Content::ConvWeight { .. })
}

/// A network with such numbers would compute nothing but NaN, and not say why.
fn check_numbers(spec: &ParamSpec, numbers: &[f32]) -> Result<(), String> {
    let not_finite = numbers.iter().filter(|x| !x.is_finite()).count();
    if not_finite > 0 {
        let of = numbers.len();
        return Err(format!(
            "has {not_finite} numbers of {of} that are NaN or infinite as f32: the training that \
             made it diverged, or it is damaged"
        ));
    }
    if spec.role == Role::RunningVar && numbers.iter().any(|x| *x < 0.0) {
        return Err("has negative numbers, as no variance does: it is damaged".into());
    }
    Ok(())
}

/// The biases of convolutions, where no convolution in a file has one: those of many networks with batch
/// normalisations, which would take any bias away again.
fn left_out_biases(tensors: &[Located]) -> Vec<Located> {
    let canonical: HashSet<&str> = tensors.iter().map(|tensor| &*tensor.canonical).collect();
    let mut biases = Vec::new();
    for Located { name, canonical: own, dims, .. } in tensors {
        let (true, Some(layer)) = (dims.len() == 4, own.strip_suffix(".weight")) else { continue };
        if canonical.contains(&*format!("{layer}.bias")) {
            return vec![];
        }
        let layer = name.strip_suffix("weight").unwrap_or(name);
        biases.push(Located::no_bias(&format!("{layer}bias"), dims[0]));
    }
    biases
}

fn safetensors(source: &Source) -> Result<Vec<Located>> {
    let (metadata, data) = tensor_file::locate(source.path())?;
    let located = metadata.offset_keys().into_iter().map(|name| {
        let info = metadata.info(&name).expect("the header has what its keys name");
        let len = info.shape.iter().product();
        let start = data + info.data_offsets.0 as u64;
        let storage = Storage { dtype: info.dtype, part: ITSELF, start, len, entry: None };
        Located::new(&name, storage, 0, &info.shape, &contiguous_strides(&info.shape))
            .map_err(|reason| source.error(reason))
    });
    located.collect()
}

#[cfg(test)]
mod tests;
