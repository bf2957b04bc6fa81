//! Parameters outside of a backend.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use vgg_tensor::new_file::sync_folder;
use vgg_tensor::{Error, Result, Tensor};

use crate::tensor_file::{self, Tensors, error_in_file, io_error};
use crate::{Init, ParamSpec, Vgg, init};

/// Tensors by name, in the order of [`Vgg::params`]: one for each of a network's parameters. Those
/// that are weights have what is kept with them, too, in the order of [`Vgg::state`]; others of the
/// same shapes, gradients and what an optimiser keeps, have not.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    tensors: Tensors,
}

impl Params {
    /// Parameters and state of `vgg` from named tensors in any order.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first tensor that is missing, has another shape, or is not one
    /// of the network's.
    pub fn new(vgg: &Vgg, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self> {
        Self::of(vgg.tensors(), tensors)
    }

    /// As [`Params::new`], without state.
    fn without_state(
        vgg: &Vgg,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<Self> {
        Self::of(vgg.params(), tensors)
    }

    /// Some of a network's parameters, in their order.
    pub(crate) fn some(tensors: Tensors) -> Self {
        Self { tensors }
    }

    fn of<'a>(
        specs: impl IntoIterator<Item = &'a ParamSpec> + Clone,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<Self> {
        let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let mut ordered = Vec::new();
        for spec in specs.clone() {
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
        params.check_against(specs)?;
        Ok(params)
    }

    /// Tensors by the names and in the shapes that a network's have.
    pub(crate) fn of_tensors(tensors: Vec<(String, Tensor)>) -> Self {
        Self { tensors }
    }

    /// Initial values. They depend on the seed and on each parameter's place in the network alone.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    ///
    /// ```
    /// use vgg_model::{Init, Params, Vgg, VggConfig};
    /// let config = VggConfig { input: [1, 32, 32], fc_width: 8, width: 0.1, ..Default::default() };
    /// let vgg = Vgg::new(&config)?;
    /// let params = Params::init(&vgg, &Init::default(), 42)?;
    /// assert_eq!(params, Params::init(&vgg, &Init::default(), 42)?);
    /// assert_eq!(params.get("features.0.weight").unwrap().dims(), [6, 1, 3, 3]);
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn init(vgg: &Vgg, init: &Init, seed: u64) -> Result<Self> {
        let specs = vgg.tensors().enumerate();
        let tensor = |(i, spec): (usize, &ParamSpec)| {
            Ok((spec.name.clone(), init::tensor(init, spec, i, seed)?))
        };
        Ok(Self { tensors: specs.map(tensor).collect::<Result<_>>()? })
    }

    /// Zeros, without state: where what an optimiser keeps starts.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn zeros(vgg: &Vgg) -> Result<Self> {
        Self::zeros_of(vgg.params())
    }

    /// Zeros in the place of weights and state, to be written.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn zeros_with_state(vgg: &Vgg) -> Result<Self> {
        Self::zeros_of(vgg.tensors())
    }

    /// Zeros in the shapes of `specs`.
    pub(crate) fn zeros_of<'a>(specs: impl IntoIterator<Item = &'a ParamSpec>) -> Result<Self> {
        let zeros = |spec: &ParamSpec| Ok((spec.name.clone(), Tensor::zeros(spec.dims.clone())?));
        Ok(Self { tensors: specs.into_iter().map(zeros).collect::<Result<_>>()? })
    }

    /// Writes a safetensors file with torchvision's names, under a checksum, over an older one or a
    /// link; [`Params::write`] is for pipes and whatever else there may be.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; an older file is then still there.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (file, _) = tensor_file::write(path, "", &self.tensors)?;
        file.rename(path).and_then(|()| sync_folder(path)).map_err(io_error(path))
    }

    /// Writes the bytes that [`Params::save`] writes, from the first to the last.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        tensor_file::write_stream(out, "", &self.tensors)
    }

    /// As [`Params::new`], of tensors read from `path`.
    pub(crate) fn of_file(path: &Path, vgg: &Vgg, tensors: Tensors) -> Result<Self> {
        Self::new(vgg, tensors).map_err(|error| error_in_file(path, error))
    }

    /// As [`Params::of_file`], without state.
    pub(crate) fn moment_of_file(path: &Path, vgg: &Vgg, tensors: Tensors) -> Result<Self> {
        Self::without_state(vgg, tensors).map_err(|error| error_in_file(path, error))
    }

    /// The tensor of that name, to be written.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.tensors.iter_mut().find(|(n, _)| n == name).map(|(_, tensor)| tensor)
    }

    /// Keeps the tensors whose names `wanted` wants.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.tensors.retain(|(name, _)| wanted(name));
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor)
    }

    /// Names and tensors in the network's order.
    pub(crate) fn named(&self) -> &[(String, Tensor)] {
        &self.tensors
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
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.tensors.iter_mut().map(|(_, tensor)| tensor)
    }

    /// Checks that these are parameters and state of `vgg`.
    pub(crate) fn check(&self, vgg: &Vgg) -> Result<()> {
        self.check_against(vgg.tensors())
    }

    /// Checks that these are of the shapes of `vgg`'s parameters, without state.
    pub(crate) fn check_without_state(&self, vgg: &Vgg) -> Result<()> {
        self.check_against(vgg.params())
    }

    fn check_against<'a>(&self, specs: impl IntoIterator<Item = &'a ParamSpec>) -> Result<()> {
        let mut tensors = self.tensors.iter();
        for spec in specs {
            match tensors.next() {
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
        match tensors.next() {
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
