//! What differs between programs in how they name and order the same parameters.

use std::collections::HashMap;

use vgg_tensor::Content;

use crate::{Arch, Input, Layer, ParamSpec, Vgg};

/// How a program names and orders a network's parameters, and what numbers it feeds the network.
///
/// The constants are those of the programs whose weights go around. Each field can be set by
/// itself, as `Convention { channels: ChannelOrder::Bgr, ..Convention::TORCHVISION }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convention {
    /// The names.
    pub names: Names,
    /// The order of an image's channels, which is that of the first convolution's inputs.
    pub channels: ChannelOrder,
    /// The order of a weight's dimensions.
    pub kernels: KernelLayout,
    /// The order in which the first fully connected layer sees the last maps.
    pub flatten: FlattenOrder,
    /// What is subtracted from a pixel on the scale 0 to 1: red, green, blue.
    pub mean: [f32; 3],
    /// What divides it after that: red, green, blue.
    pub std: [f32; 3],
    /// The short side that an image is scaled to, before the 224×224 pixels of the published networks
    /// are cut from its centre; without one it is stretched to them.
    pub short_side: Option<usize>,
}

impl Convention {
    /// torchvision's models, and ours.
    pub const TORCHVISION: Self = Self {
        names: Names::Torchvision,
        channels: ChannelOrder::Rgb,
        kernels: KernelLayout::Oihw,
        flatten: FlattenOrder::Chw,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        short_side: Some(256),
    };

    /// timm's: as torchvision's but for the head, whose layers are convolutions with names of
    /// their own.
    pub const TIMM: Self = Self { names: Names::Timm, ..Self::TORCHVISION };

    /// The authors' own, for Caffe: images are blue, green, red, on the scale 0 to 255, less the
    /// mean colour.
    pub const CAFFE: Self = Self {
        names: Names::Caffe,
        channels: ChannelOrder::Bgr,
        mean: [123.68 / 255.0, 116.779 / 255.0, 103.939 / 255.0],
        std: [1.0 / 255.0; 3],
        ..Self::TORCHVISION
    };

    /// Keras's: the authors' images, stretched as in its documentation; everything has channels last.
    pub const KERAS: Self = Self {
        names: Names::Keras,
        kernels: KernelLayout::Hwio,
        flatten: FlattenOrder::Hwc,
        short_side: None,
        ..Self::CAFFE
    };

    /// Of networks of one's own in Keras: as Keras's, of images red first, on the scale 0 to 1.
    pub const KERAS_OWN: Self =
        Self { channels: ChannelOrder::Rgb, mean: [0.0; 3], std: [1.0; 3], ..Self::KERAS };

    /// The images that a network takes whose inputs are `[channels, rows, columns]`. One of other
    /// sizes than the published networks' is not known to have a margin cut off; one of other
    /// channels, to have its pixels normalised. What a photograph shows is upright.
    pub fn input(&self, [channels, height, width]: [usize; 3]) -> Input {
        let plain = Input::unnormalized(channels, height, width);
        let (mean, std) = match channels {
            3 => (self.mean.to_vec(), self.std.to_vec()),
            _ => (plain.mean, plain.std),
        };
        let short_side = self.short_side.map(|short_side| match [channels, height, width] {
            [3, 224, 224] => short_side,
            _ => height.max(width),
        });
        Input { mean, std, short_side, turned: true, ..plain }
    }

    /// How a tensor of dimensions `dims` holds the parameter `spec`, if it can.
    pub(super) fn layout(&self, spec: &ParamSpec, dims: &[usize]) -> Option<Layout> {
        let kernel = match self.kernels {
            KernelLayout::Oihw => [O, C, H, W],
            KernelLayout::Hwio => [H, W, C, O],
        };
        // A fully connected layer may be written as the convolution that it is, or flat.
        let flat = match (self.kernels, self.flatten) {
            (KernelLayout::Oihw, FlattenOrder::Chw) => [O, C, H, W],
            (KernelLayout::Oihw, FlattenOrder::Hwc) => [O, H, W, C],
            (KernelLayout::Hwio, FlattenOrder::Chw) => [C, H, W, O],
            (KernelLayout::Hwio, FlattenOrder::Hwc) => [H, W, C, O],
        };
        match spec.content {
            Content::ConvWeight { c_out, c_in, kernel: side } => {
                Layout { sizes: [c_out, c_in, side, side], axes: kernel }.of_dims(dims)
            }
            Content::LinearWeight { out_features, c, h, w, .. } => {
                let sizes = [out_features, c, h, w];
                let flat_dims = match self.kernels {
                    KernelLayout::Oihw => [out_features, c * h * w],
                    KernelLayout::Hwio => [c * h * w, out_features],
                };
                match dims == flat_dims {
                    true => Some(Layout { sizes, axes: flat }),
                    false => Layout { sizes, axes: kernel }.of_dims(dims),
                }
            }
            _ => {
                let sizes = [dims.iter().product(), 1, 1, 1];
                (dims == spec.dims).then_some(Layout { sizes, axes: [O, C, H, W] })
            }
        }
    }

    /// Outputs and inputs that the layer of `spec` has if its weight has dimensions `dims`: of a
    /// convolution, channels; of a fully connected layer, numbers.
    pub(super) fn outputs_and_inputs(
        &self,
        spec: &ParamSpec,
        dims: &[usize],
    ) -> Option<(usize, usize)> {
        let (outputs, inputs, places) = match (self.kernels, dims) {
            (KernelLayout::Oihw, [o, i]) | (KernelLayout::Hwio, [i, o]) => (*o, *i, 1),
            (KernelLayout::Oihw, [o, i, h, w]) | (KernelLayout::Hwio, [h, w, i, o]) => {
                (*o, *i, h.checked_mul(*w)?)
            }
            _ => return None,
        };
        match spec.content {
            Content::ConvWeight { .. } if dims.len() == 4 => Some((outputs, inputs)),
            Content::LinearWeight { .. } => Some((outputs, inputs.checked_mul(places)?)),
            _ => None,
        }
    }
}

/// Which program's names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `features.0.weight`, `classifier.0.weight`.
    Torchvision,
    /// `features.0.weight`, `pre_logits.fc1.weight`, `head.fc.weight`.
    Timm,
    /// `block1_conv1/kernel`, `fc1/kernel`, `predictions/kernel`.
    Keras,
    /// `conv1_1.weight`, `fc6.weight`, or with a blob's number, `conv1_1/0`.
    Caffe,
}

impl Names {
    pub(super) const ALL: [Self; 4] = [Self::Torchvision, Self::Timm, Self::Keras, Self::Caffe];

    /// The names that each parameter of `vgg`, and what is kept with them, may have, the usual one
    /// first. Dots and slashes are one.
    pub(super) fn of(self, vgg: &Vgg) -> Vec<Vec<String>> {
        let layers = self.layers(vgg);
        let numbered = numbered(vgg);
        let names = vgg.tensors().map(|spec| {
            let (own, kind) = spec.name.rsplit_once('.').unwrap_or((&spec.name, ""));
            let layer = layers.get(own).map_or(own, String::as_str);
            let by_number = numbered.get(own).filter(|_| self == Names::Keras);
            let mut names = match (self, kind) {
                (Names::Keras, "weight") => vec![
                    format!("{layer}/kernel"),
                    format!("{layer}/weight"),
                    // The published files of Keras 1 and 2, with the layer's group or without.
                    format!("{layer}/{layer}_W_1"),
                    format!("{layer}_W_1"),
                    format!("{layer}/vars/0"), // Keras 3
                ],
                (Names::Keras, "bias") => vec![
                    format!("{layer}/bias"),
                    format!("{layer}/{layer}_b_1"),
                    format!("{layer}_b_1"),
                    format!("{layer}/vars/1"),
                ],
                (Names::Caffe, "weight") => {
                    vec![format!("{layer}.weight"), format!("{layer}/0")]
                }
                (Names::Caffe, "bias") => {
                    vec![format!("{layer}.bias"), format!("{layer}/1")]
                }
                _ => vec![format!("{layer}.{kind}")],
            };
            names.extend(by_number.map(|layer| format!("{layer}/{kind}")));
            names
        });
        names.collect()
    }

    /// Names of layers by torchvision's, where they are others.
    fn layers(self, vgg: &Vgg) -> HashMap<&str, String> {
        let (mut block, mut conv, mut linear) = (1, 1, 0);
        let mut names = HashMap::new();
        for layer in vgg.layers() {
            let name = match (layer, self) {
                // It is called by the convolution before it.
                (Layer::BatchNorm2d { .. }, Names::Keras) => {
                    Some(format!("block{block}_conv{}_bn", conv - 1))
                }
                (Layer::MaxPool2d { .. }, _) => {
                    (block, conv) = (block + 1, 1);
                    None
                }
                (Layer::Conv2d { .. }, _) => {
                    let name = match self {
                        Names::Torchvision | Names::Timm => None,
                        Names::Keras => Some(format!("block{block}_conv{conv}")),
                        Names::Caffe => Some(format!("conv{block}_{conv}")),
                    };
                    conv += 1;
                    name
                }
                (Layer::Linear { .. }, _) => {
                    let head = match self {
                        Names::Torchvision => [""; 3],
                        Names::Timm => ["pre_logits.fc1", "pre_logits.fc2", "head.fc"],
                        Names::Keras => ["fc1", "fc2", "predictions"],
                        Names::Caffe => ["fc6", "fc7", "fc8"],
                    };
                    linear += 1;
                    let name = head.get(linear - 1).filter(|name| !name.is_empty());
                    name.map(|name| (*name).to_owned())
                }
                _ => None,
            };
            names.extend(name.map(|name| (layer.name(), name)));
        }
        names
    }
}

/// Names of a VGG's convolutions and their normalisations by their numbers, as those of Keras's layers get
/// them where it is not known which pools are between.
fn numbered(vgg: &Vgg) -> HashMap<&str, String> {
    if matches!(vgg.config().arch, Arch::AlexNet | Arch::LeNet) {
        return HashMap::new();
    }
    let (mut number, mut names) = (0, HashMap::new());
    for layer in vgg.layers() {
        let name = match layer {
            Layer::Conv2d { .. } => {
                number += 1;
                format!("conv2d_{}", number - 1)
            }
            Layer::BatchNorm2d { .. } => format!("conv2d_{}_bn", number - 1),
            _ => continue,
        };
        names.insert(layer.name(), name);
    }
    names
}

/// The order of an image's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue, as image files are decoded here.
    Rgb,
    /// Blue, green, red: the first convolution's inputs are reversed when it is read.
    Bgr,
}

/// The order of a weight's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelLayout {
    /// Outputs, inputs, rows, columns; fully connected, outputs, inputs.
    Oihw,
    /// Rows, columns, inputs, outputs; fully connected, inputs, outputs.
    Hwio,
}

/// The order in which maps become the inputs of a fully connected layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlattenOrder {
    /// Channels outermost.
    Chw,
    /// Channels innermost.
    Hwc,
}

const O: usize = 0;
const C: usize = 1;
const H: usize = 2;
const W: usize = 3;

/// How a tensor in a file is ordered: a permutation of outputs, channels, rows and columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// Of outputs, channels, rows, columns.
    sizes: [usize; 4],
    /// Which of them each dimension in the file is, outermost first.
    axes: [usize; 4],
}

impl Layout {
    /// Itself, if a tensor of `dims` is ordered so.
    fn of_dims(self, dims: &[usize]) -> Option<Self> {
        (self.axes.map(|axis| self.sizes[axis]) == dims).then_some(self)
    }

    /// The numbers of a tensor in the order of outputs, channels, rows, columns; with the channels
    /// from last to first if they are to be reversed.
    pub(super) fn in_order(&self, numbers: Vec<f32>, reverse: bool) -> Vec<f32> {
        let [n_o, n_c, n_h, n_w] = self.sizes;
        if self.axes == [O, C, H, W] && !(reverse && n_c > 1) {
            return numbers;
        }
        let mut strides = [0; 4];
        let mut stride = 1;
        for axis in self.axes.into_iter().rev() {
            strides[axis] = stride;
            stride *= self.sizes[axis];
        }
        let mut ordered = Vec::with_capacity(numbers.len());
        for o in 0..n_o {
            for c in 0..n_c {
                let c = if reverse { n_c - 1 - c } else { c };
                for h in 0..n_h {
                    let row = o * strides[O] + c * strides[C] + h * strides[H];
                    ordered.extend((0..n_w).map(|w| numbers[row + w * strides[W]]));
                }
            }
        }
        ordered
    }
}
