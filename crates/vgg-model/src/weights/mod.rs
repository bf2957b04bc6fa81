//! Weights from elsewhere: files of other programs, in their formats and with their conventions.

mod convention;
mod mismatch;
mod pth;
mod source;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use vgg_tensor::{Content, Result, Tensor};

use self::convention::Layout;
pub use self::convention::{ChannelOrder, Convention, FlattenOrder, KernelLayout, Names};
use self::source::{Located, Source, Storage, contiguous_strides};
use crate::tensor_file::{self, error_in_file};
use crate::{Arch, ParamSpec, Params, Role, Vgg, VggConfig};

/// A file of weights: safetensors, or what `torch.save` writes of a state dictionary (`.pth`,
/// `.pt`), as a zip archive or in the format from before PyTorch 1.6.
///
/// Opening it finds the tensors, and reads none of their numbers. Nothing in a file is believed
/// unchecked, and nothing in it is run: of Python's pickles the reader knows by name the few
/// functions that make tensors, and any other one is an error. Numbers may be `f32`, `f64`, `f16`
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
/// assert_eq!(file.config(Arch::Vgg11, &Convention::TORCHVISION)?, config);
/// assert_eq!(file.params(&vgg, &Convention::TORCHVISION)?, params);
/// # Ok::<(), vgg_model::Error>(())
/// ```
#[derive(Debug)]
pub struct WeightFile {
    source: Source,
    tensors: Vec<Located>,
}

/// Larger images are not looked for where the size follows from the weights.
const MAX_SIDE: usize = 1024;

/// How an HDF5 file begins.
const HDF5: &[u8] = b"\x89HDF";
/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";
/// How a pickle begins.
const PICKLE: &[u8] = b"\x80";

impl WeightFile {
    /// Finds the tensors of a file.
    ///
    /// A `module.` before all names, as `DataParallel` puts it there, is left out; of a training
    /// checkpoint the state dictionary is taken that it has as `state_dict`, `model_state_dict`,
    /// `model` or `net`.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Io`] if it cannot be read; [`vgg_tensor::Error::Format`] if it is
    /// damaged, or anything else than weights.
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let head = source.head(9)?;
        let tensors = if head.starts_with(ZIP) {
            pth::zip(&source)?
        } else if head.starts_with(PICKLE) && head.get(8) != Some(&b'{') {
            pth::legacy(&source)?
        } else if head.starts_with(HDF5) {
            let reason = "an HDF5 file, which is not read: write its arrays to safetensors";
            return Err(source.error(reason));
        } else if head.is_empty() {
            return Err(source.error("the file is empty"));
        } else if head.get(8) != Some(&b'{') {
            let reason = "neither a safetensors file nor one of torch.save, or damaged";
            return Err(source.error(reason));
        } else {
            safetensors(&source)?
        };
        let mut names = HashSet::new();
        if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
            return Err(source.error(format!("it has {} twice", twice.name)));
        }
        Ok(Self { source, tensors })
    }

    /// Names and dimensions of its tensors.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.dims.as_slice()))
    }

    /// Compares names and shapes with those that `vgg` has by `convention`, and reads no numbers.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] naming the first tensor that is missing, has another shape or
    /// is none of the network's, with both shapes and the likely cause.
    pub fn check(&self, vgg: &Vgg, convention: &Convention) -> Result<()> {
        self.found(vgg, convention).map(drop)
    }

    /// Each parameter of `vgg`, the tensor that is it, and how that is ordered.
    fn found<'a>(
        &'a self,
        vgg: &'a Vgg,
        convention: &Convention,
    ) -> Result<Vec<(&'a ParamSpec, &'a Located, Layout)>> {
        let mut found = Vec::new();
        for (spec, tensor) in self.named(vgg, convention)? {
            let layout = convention
                .layout(spec, &tensor.dims)
                .ok_or_else(|| self.source.error(mismatch::shape(vgg, spec, tensor, convention)))?;
            found.push((spec, tensor, layout));
        }
        let is_extra = |tensor: &&Located| {
            // How many batches a batch-norm layer has seen says nothing about what it computes.
            !tensor.name.ends_with("num_batches_tracked")
                && !found.iter().any(|(_, found, _)| found.name == tensor.name)
        };
        if let Some(extra) = self.tensors.iter().find(is_extra) {
            return Err(self.source.error(mismatch::extra(self, vgg, extra, convention)));
        }
        Ok(found)
    }

    /// Reads the parameters of `vgg`, which the file has by `convention`.
    ///
    /// # Errors
    /// Those of [`WeightFile::check`]; [`vgg_tensor::Error::Format`] naming the first tensor whose
    /// numbers are of a type that weights do not have, or are no weights.
    pub fn params(&self, vgg: &Vgg, convention: &Convention) -> Result<Params> {
        let found = self.found(vgg, convention)?;
        let first_conv = vgg.params().iter().position(is_conv_weight);
        let read = found.into_iter().enumerate().map(|(i, (spec, tensor, layout))| {
            let reverse = Some(i) == first_conv && convention.channels == ChannelOrder::Bgr;
            let numbers = layout.in_order(self.source.numbers(tensor)?, reverse);
            check_numbers(spec, &numbers)
                .map_err(|what| self.source.error(format!("{} {what}", tensor.name)))?;
            Ok((spec.name.clone(), Tensor::new(spec.dims.clone(), numbers)?))
        });
        let params = Params::new(vgg, read.collect::<Result<Vec<_>>>()?);
        params.map_err(|error| error_in_file(self.source.path(), error))
    }

    /// The network of configuration `arch` whose parameters the file has by `convention`: its
    /// width, classes, and the channels and side of its input follow from the shapes; of several
    /// sides, it is the default one or else the smallest.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Format`] if they are of no such network.
    pub fn config(&self, arch: Arch, convention: &Convention) -> Result<VggConfig> {
        let batch_norm = self.tensors().any(|(name, _)| name.ends_with(".running_mean"));
        let full = VggConfig { arch, batch_norm, ..VggConfig::default() };
        let vgg = Vgg::new(&full)?;
        let mut sizes = Vec::new();
        for (spec, tensor) in self.named(&vgg, convention)? {
            if !matches!(spec.content, Content::Vector(_)) {
                let size = convention.outputs_and_inputs(spec, &tensor.dims).ok_or_else(|| {
                    self.source.error(mismatch::shape(&vgg, spec, tensor, convention))
                })?;
                sizes.push((spec, size));
            }
        }
        let linears = sizes.iter().position(|(spec, _)| !is_conv_weight(spec)).unwrap_or(0);
        let (convs, linears) = sizes.split_at(linears);
        let ([(first, (c_out, c_in)), ..], [(_, (fc_width, inputs)), .., (_, (classes, _))]) =
            (convs, linears)
        else {
            return Err(self.source.error("a network without convolutions or without classes"));
        };
        let fixed = arch == Arch::LeNet; // its hidden layers' width is no setting
        let with_side = |side| VggConfig {
            width: *c_out as f64 / first.dims[0] as f64,
            input: [*c_in, side, side],
            classes: *classes,
            fc_width: if fixed { full.fc_width } else { *fc_width },
            ..full.clone()
        };
        let with_inputs = |inputs: usize| {
            let fits = |config: &VggConfig| {
                let vgg = Vgg::new(config).ok();
                let linear = vgg.iter().flat_map(Vgg::params).find(|spec| spec.dims.len() == 2);
                linear.is_some_and(|linear| linear.dims[1] == inputs)
            };
            let mut sides = [full.input[1]].into_iter().chain(arch.min_side()..=MAX_SIDE);
            sides.find_map(|side| Some(with_side(side)).filter(fits))
        };
        with_inputs(*inputs).ok_or_else(|| {
            let wanted = format!("its first fully connected layer has {inputs} inputs");
            let cause = match with_inputs(*fc_width) {
                Some(_) => mismatch::TRANSPOSED.into(),
                None => format!("none has that of up to {MAX_SIDE} × {MAX_SIDE} pixels"),
            };
            self.source.error(format!("{wanted}: {cause}"))
        })
    }

    /// Each parameter of `vgg` with the tensor that has its name, whatever its shape.
    fn named<'a>(
        &'a self,
        vgg: &'a Vgg,
        convention: &Convention,
    ) -> Result<Vec<(&'a ParamSpec, &'a Located)>> {
        let by_name: HashMap<&str, &Located> =
            self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let found = vgg.tensors().zip(convention.names.of(vgg)).map(|(spec, names)| {
            let tensor = names.iter().find_map(|name| by_name.get(name.as_str()).copied());
            let tensor = tensor.ok_or_else(|| {
                self.source.error(mismatch::missing(self, vgg, &names[0], convention))
            })?;
            Ok((spec, tensor))
        });
        found.collect()
    }
}

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

fn safetensors(source: &Source) -> Result<Vec<Located>> {
    let (metadata, data) = tensor_file::locate(source.path())?;
    let located = metadata.offset_keys().into_iter().map(|name| {
        let info = metadata.info(&name).expect("the header has what its keys name");
        let len = info.shape.iter().product();
        let start = data + info.data_offsets.0 as u64;
        let storage = Storage { dtype: info.dtype, start, len };
        Located::new(&name, storage, 0, &info.shape, &contiguous_strides(&info.shape))
            .map_err(|reason| source.error(reason))
    });
    located.collect()
}

#[cfg(test)]
mod tests;
