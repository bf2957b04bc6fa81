//! A network, and the files that each version of Keras writes of it.

use std::collections::BTreeMap;

use hdf5_pure::{
    AttrValue, Datatype, DatatypeByteOrder, FileBuilder, FloatingPointLayout, GroupBuilder,
};
use serde_json::{Value, json};
use vgg_tensor::Tensor;
use vgg_tensor::spec::BatchNorm2d;

use crate::{Arch, Init, Params, Role, Vgg, VggConfig};

/// What is in a group.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) groups: BTreeMap<String, Parts>,
    pub(super) arrays: BTreeMap<String, Tensor>,
    pub(super) attributes: Vec<(String, AttrValue)>,
    /// How arrays are written.
    pub(super) written: Written,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Written {
    #[default]
    Single,
    Double,
    Half,
    BigEndian,
    Pieces,
}

impl Parts {
    pub(super) fn group(&mut self, path: &str) -> &mut Self {
        path.split('/').filter(|name| !name.is_empty()).fold(self, |group, name| {
            let written = group.written;
            let new = || Self { written, ..Self::default() };
            group.groups.entry(name.into()).or_insert_with(new)
        })
    }

    pub(super) fn array(&mut self, path: &str, tensor: Tensor) {
        let (group, name) = path.rsplit_once('/').unwrap();
        self.group(group).arrays.insert(name.into(), tensor);
    }

    pub(super) fn say(&mut self, path: &str, name: &str, value: AttrValue) {
        self.group(path).attributes.push((name.into(), value));
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut file = FileBuilder::new();
        self.attributes.iter().for_each(|(name, value)| file.set_attr(name, value.clone()));
        for (name, parts) in &self.groups {
            let mut group = file.create_group(name);
            parts.write_into(&mut group);
            file.add_group(group.finish());
        }
        file.finish().unwrap()
    }

    fn write_into(&self, group: &mut GroupBuilder) {
        self.attributes.iter().for_each(|(name, value)| group.set_attr(name, value.clone()));
        for (name, tensor) in &self.arrays {
            let shape: Vec<u64> = tensor.dims().iter().map(|dim| *dim as u64).collect();
            let numbers = tensor.data();
            let float =
                |size, byte_order, layout| Datatype::FloatingPoint { size, byte_order, layout };
            let bytes_of =
                |bytes: fn(f32) -> Vec<u8>| numbers.iter().flat_map(|x| bytes(*x)).collect();
            let dataset = group.create_dataset(name);
            dataset.with_shape(&shape);
            match self.written {
                Written::Single => dataset.with_f32_data(numbers),
                Written::Double => {
                    let numbers: Vec<f64> = numbers.iter().map(|x| f64::from(*x)).collect();
                    dataset.with_f64_data(&numbers)
                }
                Written::Half => {
                    let layout = FloatingPointLayout {
                        bit_offset: 0,
                        bit_precision: 16,
                        exponent_location: 10,
                        exponent_size: 5,
                        mantissa_location: 0,
                        mantissa_size: 10,
                        exponent_bias: 15,
                    };
                    let bytes = bytes_of(|x| half::f16::from_f32(x).to_le_bytes().to_vec());
                    let half = float(2, DatatypeByteOrder::LittleEndian, layout);
                    dataset.with_raw_data(half, bytes, numbers.len() as u64)
                }
                Written::BigEndian => {
                    let bytes = bytes_of(|x| x.to_be_bytes().to_vec());
                    let layout = FloatingPointLayout::IEEE754_BINARY32;
                    let big = float(4, DatatypeByteOrder::BigEndian, layout);
                    dataset.with_raw_data(big, bytes, numbers.len() as u64)
                }
                Written::Pieces => dataset.with_f32_data(numbers).with_chunks(&shape),
            };
        }
        for (name, parts) in &self.groups {
            let mut child = group.create_group(name);
            parts.write_into(&mut child);
            group.add_group(child.finish());
        }
    }
}

/// A layer of the network, as Keras has it.
pub(super) struct Layer {
    /// Its kind, as Keras begins names with it.
    pub(super) kind: &'static str,
    /// Keras's names, and what they are of.
    pub(super) arrays: Vec<(&'static str, Tensor)>,
}

/// What Keras adds to a variance more than we do.
pub(super) const TO_VARIANCE: f32 = 1e-3 - BatchNorm2d::EPSILON;

/// A small VGG, with convolutions of equal shapes in its last blocks.
pub(super) fn config(batch_norm: bool) -> VggConfig {
    let input = [3, 32, 32];
    VggConfig {
        width: 1.0 / 32.0,
        input,
        classes: 7,
        fc_width: 5,
        batch_norm,
        ..VggConfig::default()
    }
}

/// Its parameters, none of which are like others, and its layers in Keras's orders of dimensions. As its
/// last maps have one place, all dimensions are reversed but those of kernels.
pub(super) fn network(arch: Arch, batch_norm: bool) -> (Vgg, Params, Vec<Layer>) {
    let vgg = Vgg::new(&VggConfig { arch, ..config(batch_norm) }).unwrap();
    let mut params = Params::init(&vgg, &Init::default(), 1).unwrap();
    let names: Vec<(String, Role)> =
        vgg.tensors().map(|spec| (spec.name.clone(), spec.role)).collect();
    for (i, (name, role)) in names.iter().enumerate() {
        let Some(tensor) = params.get_mut(name).filter(|tensor| tensor.dims().len() == 1) else {
            continue;
        };
        let numbers = tensor.data_mut().iter_mut().enumerate();
        numbers.for_each(|(j, x)| *x = 0.5 + i as f32 / 128.0 + j as f32 / 4096.0);
        if *role == Role::RunningVar {
            // What is read back is the number in the file and the difference of both epsilons.
            tensor.data_mut().iter_mut().for_each(|x| *x += TO_VARIANCE);
        }
    }
    let tensor = |name: &str, kind: &str| params.get(&format!("{name}.{kind}")).cloned().unwrap();
    let weighted = |name: &str| {
        vec![("kernel", of_keras(&tensor(name, "weight"))), ("bias", tensor(name, "bias"))]
    };
    let layer = |layer: &crate::Layer| {
        let name = layer.name();
        let (kind, arrays) = match layer {
            crate::Layer::Conv2d { .. } => ("conv2d", weighted(name)),
            crate::Layer::BatchNorm2d { .. } => {
                let mut var = tensor(name, "running_var");
                var.data_mut().iter_mut().for_each(|x| *x -= TO_VARIANCE);
                let arrays = vec![
                    ("gamma", tensor(name, "weight")),
                    ("beta", tensor(name, "bias")),
                    ("moving_mean", tensor(name, "running_mean")),
                    ("moving_variance", var),
                ];
                ("batch_normalization", arrays)
            }
            crate::Layer::MaxPool2d { .. } => ("max_pooling2d", vec![]),
            crate::Layer::Linear { .. } => ("dense", weighted(name)),
            _ => return None,
        };
        Some(Layer { kind, arrays })
    };
    let mut layers: Vec<Layer> = vgg.layers().iter().filter_map(layer).collect();
    let flatten = layers.iter().position(|layer| layer.kind == "dense").unwrap();
    layers.insert(flatten, Layer { kind: "flatten", arrays: vec![] });
    (vgg, params, layers)
}

/// A weight as Keras has it: inputs before outputs, of a convolution after the places. The first
/// convolution takes blue first.
pub(super) fn of_keras(weight: &Tensor) -> Tensor {
    let [o, i] = [weight.dims()[0], weight.dims()[1]];
    let places = weight.data().len() / (o * i);
    let mut numbers = Vec::new();
    for place in 0..places {
        for input in 0..i {
            let input = if i == 3 && places == 9 { 2 - input } else { input };
            numbers
                .extend((0..o).map(|output| weight.data()[(output * i + input) * places + place]));
        }
    }
    let dims = match weight.dims()[2..] {
        [h, w] => vec![h, w, i, o],
        _ => vec![i, o],
    };
    Tensor::new(dims, numbers).unwrap()
}

/// Keras's own name of the layer of a kind that comes after `number` others.
pub(super) fn numbered(kind: &str, number: usize) -> String {
    if number == 0 { kind.into() } else { format!("{kind}_{number}") }
}

/// The layers with numbers from `first` on, for each kind.
pub(super) fn named(layers: &[Layer], first: usize) -> Vec<(String, &Layer)> {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    let name = |layer: &Layer| {
        let number = next.entry(layer.kind).or_insert(first);
        *number += 1;
        numbered(layer.kind, *number - 1)
    };
    layers.iter().map(name).collect::<Vec<_>>().into_iter().zip(layers).collect()
}

/// A file of Keras 1 or 2, with what it lists.
pub(super) fn listed(layers: &[(String, &Layer)], root: &str) -> Parts {
    let mut file = Parts::default();
    let names = layers.iter().map(|(name, _)| name.clone()).collect();
    file.say(root, "layer_names", AttrValue::StringArray(names));
    for (name, layer) in layers {
        let group = format!("{root}/{name}");
        let arrays = layer.arrays.iter().map(|(array, _)| format!("{name}/{array}:0"));
        let listed = AttrValue::StringArray(arrays.clone().collect());
        if !layer.arrays.is_empty() {
            file.say(&group, "weight_names", listed);
        }
        file.group(&group);
        for (array, (_, tensor)) in arrays.zip(&layer.arrays) {
            file.array(&format!("{group}/{array}"), tensor.clone());
        }
    }
    file
}

/// A file of Keras 3, in which layers are called by their number in the network, or by `module` too.
pub(super) fn of_keras3(layers: &[Layer], module: &str) -> Parts {
    let mut file = Parts::default();
    for (name, layer) in named(layers, 0) {
        file.group(&format!("{module}/{name}/vars"));
        for (i, (_, tensor)) in layer.arrays.iter().enumerate() {
            file.array(&format!("{module}/{name}/vars/{i}"), tensor.clone());
        }
    }
    file
}

/// What Keras says of the network.
pub(super) fn configuration(layers: &[(String, &Layer)], epsilon: f64) -> Value {
    let batch_norm = layers.iter().any(|(_, layer)| layer.kind == "batch_normalization");
    let last = layers.len() - 1;
    let mut said = Vec::new();
    for (i, (name, layer)) in layers.iter().enumerate() {
        let config = match layer.kind {
            "conv2d" => json!({"name": name, "kernel_size": [3, 3], "padding": "same",
                "strides": [1, 1], "activation": if batch_norm { "linear" } else { "relu" }}),
            "batch_normalization" => json!({"name": name, "epsilon": epsilon}),
            "dense" => {
                json!({"name": name, "activation": if i == last { "softmax" } else { "relu" }})
            }
            _ => json!({"name": name, "pool_size": [2, 2], "padding": "valid"}),
        };
        let class = match layer.kind {
            "conv2d" => "Conv2D",
            "batch_normalization" => "BatchNormalization",
            "dense" => "Dense",
            "flatten" => "Flatten",
            _ => "MaxPooling2D",
        };
        said.push(json!({"class_name": class, "config": config}));
        if class == "BatchNormalization" {
            let relu = json!({"name": "relu", "activation": "relu"});
            said.push(json!({"class_name": "Activation", "config": relu}));
        }
    }
    let input = json!({"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [null, 32, 32, 3]}});
    said.insert(0, input);
    json!({"class_name": "Sequential", "config": {"layers": said}})
}

/// An archive with these entries.
pub(super) fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let start = (bytes.len() as u32).to_le_bytes();
        let [crc, len] = [crc32fast::hash(content), content.len() as u32].map(u32::to_le_bytes);
        let name_len = (name.len() as u16).to_le_bytes();
        let sizes = [&crc[..], &len, &len, &name_len, &[0; 2]].concat();
        bytes.extend([b"PK\x03\x04", &[0; 10][..], &sizes, name.as_bytes(), content].concat());
        directory.extend(
            [b"PK\x01\x02", &[0; 12][..], &sizes, &[0; 10], &start, name.as_bytes()].concat(),
        );
    }
    let [start, len] = [bytes.len(), directory.len()].map(|n| (n as u32).to_le_bytes());
    [&bytes[..], &directory, b"PK\x05\x06", &[0; 8], &len, &start, &[0; 2]].concat()
}
