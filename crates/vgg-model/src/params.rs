//! Parameters outside of a backend.

use std::collections::BTreeMap;
use std::path::Path;

use vgg_tensor::{Error, Result, Tensor};

use crate::tensor_file::{self, Tensors, error_in_file};
use crate::weights::{Convention, WeightFile};
use crate::{Init, ParamSpec, Vgg, init};

/// One tensor for each of a network's parameters, by name and in the order of [`Vgg::params`]:
/// the weights, or something of the same shapes (gradients, velocities).
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    tensors: Vec<(String, Tensor)>,
}

impl Params {
    /// Parameters of `vgg` from named tensors in any order.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first tensor that is missing, has another shape, or is not one
    /// of the network's.
    pub fn new(vgg: &Vgg, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self> {
        let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let mut ordered = Vec::with_capacity(vgg.params().len());
        for spec in vgg.params() {
            let tensor = tensors.remove(&spec.name);
            let tensor = tensor.ok_or_else(|| missing(&spec.name, &spec.dims))?;
            ordered.push((spec.name.clone(), tensor));
        }
        if let Some((name, tensor)) = tensors.first_key_value() {
            return Err(Error::Shape(format!(
                "{name} {:?} is not a parameter of the network",
                tensor.dims()
            )));
        }
        let params = Self { tensors: ordered };
        params.check(vgg)?;
        Ok(params)
    }

    /// Initial values. They depend on the seed and on each parameter's place in the network alone.
    ///
    /// ```
    /// use vgg_model::{Init, Params, Vgg, VggConfig};
    /// let config = VggConfig { input: [1, 32, 32], fc_width: 8, width: 0.1, ..Default::default() };
    /// let vgg = Vgg::new(&config)?;
    /// let params = Params::init(&vgg, &Init::default(), 42);
    /// assert_eq!(params, Params::init(&vgg, &Init::default(), 42));
    /// assert_eq!(params.get("features.0.weight").unwrap().dims(), [6, 1, 3, 3]);
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn init(vgg: &Vgg, init: &Init, seed: u64) -> Self {
        let specs = vgg.params().iter().enumerate();
        let tensor =
            |(i, spec): (usize, &ParamSpec)| (spec.name.clone(), init::tensor(init, spec, i, seed));
        Self { tensors: specs.map(tensor).collect() }
    }

    /// Zeros: where a velocity starts.
    pub fn zeros(vgg: &Vgg) -> Self {
        let zeros = |spec: &ParamSpec| (spec.name.clone(), Tensor::zeros(spec.dims.clone()));
        Self { tensors: vgg.params().iter().map(zeros).collect() }
    }

    /// Reads the parameters of `vgg` from a file with torchvision's names, written by this crate or
    /// any other: [`WeightFile`] says what is read, and has the errors.
    ///
    /// # Errors
    /// Those of [`WeightFile::open`] and [`WeightFile::params`].
    pub fn load(path: &Path, vgg: &Vgg) -> Result<Self> {
        WeightFile::open(path)?.params(vgg, &Convention::TORCHVISION)
    }

    /// Writes a safetensors file with torchvision's names, under a checksum, over an older one.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; an older file is then still there.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (file, _) = tensor_file::write(path, "", self)?;
        tensor_file::commit(file, path)?;
        tensor_file::sync_folder(path)
    }

    /// As [`Params::new`], of tensors read from `path`.
    pub(crate) fn of_file(path: &Path, vgg: &Vgg, tensors: Tensors) -> Result<Self> {
        Self::new(vgg, tensors).map_err(|error| error_in_file(path, error))
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor)
    }

    /// Names and tensors in the network's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensors in the network's order.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().map(|(_, tensor)| tensor)
    }

    /// As [`Params::tensors`], but given away.
    pub(crate) fn into_tensors(self) -> impl Iterator<Item = Tensor> {
        self.tensors.into_iter().map(|(_, tensor)| tensor)
    }

    /// The tensors in the network's order, to be written.
    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.tensors.iter_mut().map(|(_, tensor)| tensor)
    }

    /// Checks that these are parameters of `vgg`.
    pub(crate) fn check(&self, vgg: &Vgg) -> Result<()> {
        for (i, spec) in vgg.params().iter().enumerate() {
            match self.tensors.get(i) {
                Some((name, tensor)) if *name == spec.name => {
                    if tensor.dims() != spec.dims {
                        return Err(Error::Shape(format!(
                            "{name} is {:?}, but {:?} in the network",
                            tensor.dims(),
                            spec.dims
                        )));
                    }
                }
                _ => return Err(missing(&spec.name, &spec.dims)),
            }
        }
        match self.tensors.get(vgg.params().len()) {
            Some((name, _)) => {
                Err(Error::Shape(format!("{name} is not a parameter of the network")))
            }
            None => Ok(()),
        }
    }
}

fn missing(name: &str, dims: &[usize]) -> Error {
    Error::Shape(format!("{name} is missing, but {dims:?} in the network"))
}
