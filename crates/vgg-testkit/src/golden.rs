//! Numbers that other programs computed.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use vgg_tensor::Shape;

/// A golden file: safetensors of `f32` and bytes, with the generator's versions and seed in its
/// metadata.
///
/// # Panics
/// All methods panic, naming the file and the tensor, where there is no such thing in it: golden
/// files are part of the tests.
#[derive(Debug)]
pub struct Golden {
    file: String,
    generator: String,
    tensors: BTreeMap<String, (Vec<usize>, Data)>,
}

#[derive(Debug)]
enum Data {
    Numbers(Vec<f32>),
    Bytes(Vec<u8>),
}

impl Golden {
    /// Reads a file.
    pub fn open(path: impl AsRef<Path>) -> Self {
        let file = path.as_ref().display().to_string();
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let read = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
        let tensors = read.iter().map(|(name, view)| {
            let data = match view.dtype() {
                Dtype::F32 => {
                    let (numbers, _) = view.data().as_chunks();
                    Data::Numbers(numbers.iter().map(|le| f32::from_le_bytes(*le)).collect())
                }
                Dtype::U8 => Data::Bytes(view.data().to_vec()),
                other => panic!("{file}: {name} is {other:?}"),
            };
            (name.to_owned(), (view.shape().to_vec(), data))
        });
        let tensors = tensors.collect();
        let (_, header) =
            SafeTensors::read_metadata(&bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
        let metadata = header.metadata().as_ref();
        let generator = metadata.and_then(|map| map.get("generator")).cloned().unwrap_or_default();
        Self { file, generator, tensors }
    }

    /// What the generator says of itself and of how it made the file, as JSON.
    pub fn generator(&self) -> &str {
        &self.generator
    }

    /// The names that start with `prefix`, without it.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors.keys().filter_map(move |name| name.strip_prefix(prefix))
    }

    /// A tensor's dimensions.
    pub fn dims(&self, name: &str) -> &[usize] {
        &self.get(name).0
    }

    /// The dimensions of feature maps or vectors.
    pub fn shape(&self, name: &str) -> Shape {
        match *self.dims(name) {
            [n, c, h, w] => Shape::new(n, c, h, w),
            [n, features] => Shape::flat(n, features),
            ref dims => panic!("{}: {name} is {dims:?}", self.file),
        }
    }

    /// A tensor's numbers.
    pub fn numbers(&self, name: &str) -> &[f32] {
        match &self.get(name).1 {
            Data::Numbers(numbers) => numbers,
            Data::Bytes(_) => panic!("{}: {name} has bytes", self.file),
        }
    }

    /// A tensor's bytes.
    pub fn bytes(&self, name: &str) -> &[u8] {
        match &self.get(name).1 {
            Data::Bytes(bytes) => bytes,
            Data::Numbers(_) => panic!("{}: {name} has numbers", self.file),
        }
    }

    fn get(&self, name: &str) -> &(Vec<usize>, Data) {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.file))
    }
}
