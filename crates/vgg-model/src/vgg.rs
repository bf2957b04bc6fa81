//! The definition: which layers a network has, as data.

use serde::{Deserialize, Serialize};
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, MaxPool2d};
use vgg_tensor::{Content, Error, Result, Shape};

use crate::invalid;

/// A network of Simonyan & Zisserman 2014, table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// Configuration A: eleven weight layers.
    #[serde(alias = "A")]
    Vgg11,
}

/// One convolution in a column of table 1; ReLU follows.
struct Conv {
    kernel: usize,
    channels: usize,
}

const fn conv3(channels: usize) -> Conv {
    Conv { kernel: 3, channels }
}

/// Table 1, column A. A max-pool ends each block.
const A: [&[Conv]; 5] = [
    &[conv3(64)],
    &[conv3(128)],
    &[conv3(256), conv3(256)],
    &[conv3(512), conv3(512)],
    &[conv3(512), conv3(512)],
];

impl Arch {
    fn blocks(self) -> &'static [&'static [Conv]] {
        match self {
            Arch::Vgg11 => &A,
        }
    }
}

/// What a network is built from. Keys that are left out have the paper's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VggConfig {
    /// Which column of the paper's table.
    pub arch: Arch,
    /// Multiplies the channels of all convolutions (rounded, at least one); 0.25 makes the small
    /// networks of Dive into Deep Learning.
    pub width: f64,
    /// Input maps, `[channels, rows, columns]`. Each side is at least 32, because five max-pools
    /// halve it.
    pub input: [usize; 3],
    /// Classes to tell apart.
    pub classes: usize,
    /// Outputs of each of the two hidden fully connected layers.
    pub fc_width: usize,
    /// Probability that dropout zeroes an output of a hidden fully connected layer.
    pub dropout: f32,
}

impl Default for VggConfig {
    fn default() -> Self {
        Self {
            arch: Arch::Vgg11,
            width: 1.0,
            input: [3, 224, 224],
            classes: 1000,
            fc_width: 4096,
            dropout: 0.5,
        }
    }
}

impl VggConfig {
    /// The smallest allowed number of input rows and columns.
    pub const MIN_SIDE: usize = 32;
    /// The largest allowed number of input rows and columns.
    pub const MAX_SIDE: usize = 65_535;

    fn check(&self) -> Result<()> {
        let [channels, h, w] = self.input;
        if !(self.width.is_finite() && self.width > 0.0) {
            return Err(invalid("width", self.width, "finite and above 0"));
        }
        if channels == 0 || h.min(w) < Self::MIN_SIDE || h.max(w) > Self::MAX_SIDE {
            let allowed = "at least [1, 32, 32], for five max-pools, and at most 65535 a side";
            return Err(invalid("input", format!("{:?}", self.input), allowed));
        }
        if self.classes < 2 {
            return Err(invalid("classes", self.classes, "at least 2"));
        }
        if self.fc_width == 0 {
            return Err(invalid("fc_width", self.fc_width, "at least 1"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(invalid("dropout", self.dropout, "at least 0 and below 1"));
        }
        Ok(())
    }

    fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        let mut index = 0; // in torchvision's `features`, where each ReLU and pool has a place
        for block in self.arch.blocks() {
            for conv in *block {
                // The cast saturates; what is too large for memory is refused with the shapes.
                let c_out = (conv.channels as f64 * self.width).round().max(1.0) as usize;
                let (kernel, padding) = (conv.kernel, conv.kernel / 2);
                layers.push(Layer::Conv2d {
                    name: format!("features.{index}"),
                    c_out,
                    kernel,
                    padding,
                });
                index += 2;
            }
            layers.push(Layer::MaxPool2d { name: format!("features.{index}") });
            index += 1;
        }
        for index in [0, 3] {
            layers.push(Layer::Linear {
                name: format!("classifier.{index}"),
                out_features: self.fc_width,
                relu: true,
            });
            let name = format!("classifier.{}", index + 2);
            layers.push(Layer::Dropout { name, p: self.dropout });
        }
        let name = "classifier.6".into();
        layers.push(Layer::Linear { name, out_features: self.classes, relu: false });
        layers
    }
}

/// One layer, with torchvision's name.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A convolution with stride 1, then ReLU.
    Conv2d {
        /// See [`Layer::name`].
        name: String,
        /// Output channels.
        c_out: usize,
        /// Side of the square kernel.
        kernel: usize,
        /// Zeros on each side of the input.
        padding: usize,
    },
    /// A 2×2 max-pool with stride 2.
    MaxPool2d {
        /// See [`Layer::name`].
        name: String,
    },
    /// A fully connected layer.
    Linear {
        /// See [`Layer::name`].
        name: String,
        /// Outputs.
        out_features: usize,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// Inverted dropout, in training only.
    Dropout {
        /// See [`Layer::name`].
        name: String,
        /// Probability of a zero.
        p: f32,
    },
}

impl Layer {
    /// Its place in torchvision's model, as `features.0`; its parameters' names begin with it.
    pub fn name(&self) -> &str {
        match self {
            Layer::Conv2d { name, .. }
            | Layer::MaxPool2d { name }
            | Layer::Linear { name, .. }
            | Layer::Dropout { name, .. } => name,
        }
    }
}

/// What a parameter is in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplies inputs.
    Weight,
    /// Is added to the sums.
    Bias,
}

/// A parameter: its name, its shape and what its initial values depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// torchvision's name, as `features.0.weight`.
    pub name: String,
    /// PyTorch's dimensions: `[c_out, c_in, kernel, kernel]`, `[out, in]` or `[out]`.
    pub dims: Vec<usize>,
    /// What a backend's buffer of it holds.
    pub content: Content,
    /// Weight or bias.
    pub role: Role,
    /// Inputs of one of the layer's outputs: `c_in · kernel²` or the layer's inputs.
    pub fan_in: usize,
    /// Outputs that one of the layer's inputs has a part in: `c_out · kernel²` or the layer's
    /// outputs.
    pub fan_out: usize,
}

impl ParamSpec {
    /// Weight and bias of a layer, in this order.
    fn pair(layer: &str, content: Content) -> [Self; 2] {
        let (dims, outputs, area) = match content {
            Content::ConvWeight { c_out, c_in, kernel } => {
                (vec![c_out, c_in, kernel, kernel], c_out, kernel * kernel)
            }
            Content::LinearWeight { out_features, c, h, w, .. } => {
                (vec![out_features, c * h * w], out_features, 1)
            }
            other => unreachable!("{other:?} is no weight"),
        };
        let (fan_in, fan_out) = (content.len() / outputs, outputs * area);
        let weight = Self {
            name: format!("{layer}.weight"),
            dims,
            content,
            role: Role::Weight,
            fan_in,
            fan_out,
        };
        let bias = Self {
            name: format!("{layer}.bias"),
            dims: vec![outputs],
            content: Content::Vector(outputs),
            role: Role::Bias,
            ..weight
        };
        [weight, bias]
    }
}

/// A network: a checked list of layers and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Vgg {
    config: VggConfig,
    layers: Vec<Layer>,
    macs: Vec<u64>,
    params: Vec<ParamSpec>,
}

impl Vgg {
    /// More parameters than this, 8 GiB of them, are taken for a mistake.
    pub const MAX_PARAMS: usize = 1 << 31;

    /// The network that `config` describes.
    ///
    /// # Errors
    /// [`Error::Shape`] with the key, its value and what is allowed, or with the layer that would
    /// be too large.
    ///
    /// ```
    /// use vgg_model::{Vgg, VggConfig};
    /// let vgg = Vgg::new(&VggConfig::default())?;
    /// assert_eq!(vgg.param_count(), 132_863_336);
    /// assert_eq!(vgg.params()[0].name, "features.0.weight");
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn new(config: &VggConfig) -> Result<Self> {
        config.check()?;
        Self::from_layers(config.clone(), config.layers())
    }

    /// Follows the shape of one image through the layers.
    pub(crate) fn from_layers(config: VggConfig, layers: Vec<Layer>) -> Result<Self> {
        let [c, h, w] = config.input;
        let mut x = Shape::new(1, c, h, w);
        let (mut macs, mut params) = (Vec::new(), Vec::new());
        for layer in &layers {
            let in_layer = |e: Error| e.in_layer(layer.name());
            macs.push(match *layer {
                Layer::Conv2d { c_out, kernel, padding, .. } => {
                    let conv = Conv2d::new(x, c_out, kernel, padding, ConvEpilogue::BiasRelu)
                        .map_err(in_layer)?;
                    params.extend(ParamSpec::pair(layer.name(), conv.weight()));
                    x = conv.y();
                    conv.macs()
                }
                Layer::MaxPool2d { .. } => {
                    x = MaxPool2d::new(x, 2, 2).map_err(in_layer)?.y();
                    0
                }
                Layer::Linear { out_features, .. } => {
                    let linear =
                        Linear::new(x, out_features, LinearEpilogue::Bias).map_err(in_layer)?;
                    params.extend(ParamSpec::pair(layer.name(), linear.weight()));
                    x = linear.y();
                    linear.macs()
                }
                Layer::Dropout { .. } => 0,
            });
        }
        let vgg = Self { config, layers, macs, params };
        let count = vgg.param_count();
        if count > Self::MAX_PARAMS {
            let most = Self::MAX_PARAMS;
            return Err(Error::Shape(format!(
                "the network would have {count} parameters, more than {most}"
            )));
        }
        Ok(vgg)
    }

    /// What it was built from.
    pub fn config(&self) -> &VggConfig {
        &self.config
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The parameters in torchvision's order: each layer's weight, then its bias.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// Numbers in all parameters.
    pub fn param_count(&self) -> usize {
        self.params.iter().map(|p| p.content.len()).sum()
    }

    /// Multiply-adds of one image's forward pass, with convolutions counted as direct ones and
    /// biases not counted.
    pub fn macs(&self) -> u64 {
        self.macs.iter().sum()
    }

    /// The multiply-adds of each layer.
    pub(crate) fn layer_macs(&self) -> &[u64] {
        &self.macs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> VggConfig {
        VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..VggConfig::default() }
    }

    #[test]
    fn parameter_counts_and_macs() {
        let count = |config: &VggConfig| {
            let vgg = Vgg::new(config).unwrap();
            (vgg.param_count(), vgg.macs())
        };
        let full = VggConfig { width: 1.0, ..small() };
        let narrow = VggConfig { input: [1, 96, 96], ..small() };
        assert_eq!(count(&VggConfig::default()), (132_863_336, 7_485_456_384 + 123_633_664));
        assert_eq!(count(&full).0, 128_806_154);
        assert_eq!(count(&small()), (43_093_322, 512_155_648));
        assert_eq!(count(&narrow).0, 22_121_802);
    }

    #[test]
    fn parameters_have_torchvisions_names_and_shapes() {
        let vgg = Vgg::new(&VggConfig::default()).unwrap();
        let names: Vec<&str> = vgg.params().iter().map(|p| p.name.as_str()).collect();
        let layers: Vec<&str> =
            names.iter().step_by(2).map(|name| name.trim_end_matches(".weight")).collect();
        assert_eq!(
            layers,
            [
                "features.0",
                "features.3",
                "features.6",
                "features.8",
                "features.11",
                "features.13",
                "features.16",
                "features.18",
                "classifier.0",
                "classifier.3",
                "classifier.6"
            ]
        );
        assert!(names.iter().skip(1).step_by(2).all(|name| name.ends_with(".bias")));
        let dims = |i: usize| vgg.params()[i].dims.as_slice();
        assert_eq!(dims(0), [64, 3, 3, 3]);
        assert_eq!(dims(1), [64]);
        assert_eq!(dims(16), [4096, 25088]);
        assert_eq!(dims(20), [1000, 4096]);
        let fans = |i: usize| (vgg.params()[i].fan_in, vgg.params()[i].fan_out);
        assert_eq!((fans(0), fans(1), fans(16)), ((27, 576), (27, 576), (25088, 4096)));
    }

    #[test]
    fn widths_round_and_keep_a_channel() {
        let first = |width| match Vgg::new(&VggConfig { width, ..small() }).unwrap().layers()[0] {
            Layer::Conv2d { c_out, .. } => c_out,
            _ => 0,
        };
        assert_eq!([first(0.25), first(0.39), first(1e-9)], [16, 25, 1]);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |config: VggConfig| Vgg::new(&config).unwrap_err().to_string();
        let message = refused(VggConfig { width: f64::NAN, ..small() });
        assert_eq!(message, "width = NaN, but it must be finite and above 0");
        let message = refused(VggConfig { input: [1, 31, 224], ..small() });
        assert!(message.starts_with("input = [1, 31, 224], but it must be at least [1, 32, 32]"));
        let message = refused(VggConfig { classes: 1, ..small() });
        assert_eq!(message, "classes = 1, but it must be at least 2");
        let message = refused(VggConfig { fc_width: 0, ..small() });
        assert_eq!(message, "fc_width = 0, but it must be at least 1");
        let message = refused(VggConfig { dropout: 1.0, ..small() });
        assert_eq!(message, "dropout = 1, but it must be at least 0 and below 1");
        assert!(Vgg::new(&VggConfig { dropout: f32::NAN, ..small() }).is_err());
    }

    #[test]
    fn absurd_sizes_are_errors() {
        let refused = |config: VggConfig| Vgg::new(&config).unwrap_err().to_string();
        for width in [1e9, 1e300, f64::MAX] {
            let message = refused(VggConfig { width, ..small() });
            assert!(message.starts_with("features.0: ") && message.ends_with("too large"));
        }
        let message = refused(VggConfig { input: [1, 10_000_000, 224], ..small() });
        assert!(message.starts_with("input = [1, 10000000, 224]"), "{message}");
        for input in [[1, 65_535, 65_535], [usize::MAX, 224, 224]] {
            let message = refused(VggConfig { input, ..small() });
            assert!(message.starts_with("features.0: ") && message.ends_with("too large"));
        }
        let message = refused(VggConfig { fc_width: 1_000_000, ..small() });
        assert!(message.contains("parameters, more than 2147483648"), "{message}");
    }
}
