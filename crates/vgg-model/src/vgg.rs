//! The definition: a network as a checked list of layers, and what follows from it.

use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn,
    MaxPool2d,
};
use vgg_tensor::{Content, Error, Result, Shape};

use crate::{Layer, VggConfig, sequential};

/// What a parameter, or a number that is kept but not trained, is in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplies inputs.
    Weight,
    /// Is added to the sums.
    Bias,
    /// Multiplies normalised numbers: the weight of a batch normalisation.
    Scale,
    /// Is added to normalised numbers: the bias of a batch normalisation.
    Shift,
    /// A batch normalisation's running mean.
    RunningMean,
    /// A batch normalisation's running variance.
    RunningVar,
}

/// A parameter: its name, its shape and what its initial values depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Its name in PyTorch, as `features.0.weight`; [`crate::Arch`] says in which model.
    pub name: String,
    /// PyTorch's dimensions: `[c_out, c_in, kernel, kernel]`, `[out, in]` or `[out]`.
    pub dims: Vec<usize>,
    /// What a backend's buffer of it holds.
    pub content: Content,
    /// What it is in its layer.
    pub role: Role,
    /// Inputs of one of the layer's outputs: `c_in · kernel²` or the layer's inputs.
    pub fan_in: usize,
    /// Outputs that one of the layer's inputs has a part in: `c_out · kernel²` or the layer's
    /// outputs.
    pub fan_out: usize,
}

impl ParamSpec {
    /// A vector of a batch normalisation.
    fn of_norm(layer: &str, name: &str, role: Role, c: usize) -> Self {
        let (name, content) = (format!("{layer}.{name}"), Content::Vector(c));
        Self { name, dims: vec![c], content, role, fan_in: 1, fan_out: 1 }
    }

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
    /// What each layer takes for one image.
    inputs: Vec<Shape>,
    /// What comes out of one image.
    output: Shape,
    macs: u64,
    params: Vec<ParamSpec>,
    state: Vec<ParamSpec>,
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
        Self::from_layers(config.clone(), sequential::layers(config))
    }

    /// Follows the shape of one image through the layers.
    pub(crate) fn from_layers(config: VggConfig, layers: Vec<Layer>) -> Result<Self> {
        let [c, h, w] = config.input;
        let mut x = Shape::new(1, c, h, w);
        let mut inputs = Vec::new();
        let (mut macs, mut params, mut state) = (0, Vec::new(), Vec::new());
        for layer in &layers {
            inputs.push(x);
            let in_layer = |e: Error| e.in_layer(layer.name());
            macs += match *layer {
                Layer::Conv2d { c_out, kernel, stride, padding, .. } => {
                    let conv = Conv2d::new(x, c_out, kernel, padding, ConvEpilogue::Bias)
                        .and_then(|conv| conv.with_stride(stride))
                        .map_err(in_layer)?;
                    params.extend(ParamSpec::pair(layer.name(), conv.weight()));
                    x = conv.y();
                    conv.macs()
                }
                Layer::BatchNorm2d { .. } => {
                    // One number a channel is enough for the definition; a batch may have more.
                    let pair = Shape { n: 2, ..x };
                    BatchNorm2d::new(pair, BatchNormEpilogue::Relu).map_err(in_layer)?;
                    let vector = |name, role| ParamSpec::of_norm(layer.name(), name, role, x.c);
                    params.extend([vector("weight", Role::Scale), vector("bias", Role::Shift)]);
                    state.push(vector("running_mean", Role::RunningMean));
                    state.push(vector("running_var", Role::RunningVar));
                    0
                }
                Layer::Lrn { .. } => {
                    x = Lrn::new(x).map_err(in_layer)?.x();
                    0
                }
                Layer::MaxPool2d { kernel, stride, .. } => {
                    x = MaxPool2d::new(x, kernel, stride).map_err(in_layer)?.y();
                    0
                }
                Layer::AvgPool2d { h, w, .. } => {
                    x = AvgPool2d::new(x, h, w).map_err(in_layer)?.y();
                    0
                }
                Layer::Linear { out_features, .. } => {
                    let linear =
                        Linear::new(x, out_features, LinearEpilogue::Bias).map_err(in_layer)?;
                    params.extend(ParamSpec::pair(layer.name(), linear.weight()));
                    x = linear.y();
                    linear.macs()
                }
                Layer::Sigmoid { .. } | Layer::Dropout { .. } => 0,
            };
        }
        let vgg = Self { config, layers, inputs, output: x, macs, params, state };
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

    /// What each layer takes for one image.
    pub(crate) fn layer_inputs(&self) -> &[Shape] {
        &self.inputs
    }

    /// The layer that takes the last convolution's maps, activated.
    ///
    /// # Errors
    /// [`Error::Shape`] if no fully connected layer comes after them, as in a dense network.
    pub(crate) fn after_last_maps(&self) -> Result<usize> {
        let is_conv = |layer: &Layer| matches!(layer, Layer::Conv2d { .. });
        let is_linear = |layer: &Layer| matches!(layer, Layer::Linear { .. });
        let after_sums = self.layers.iter().rposition(is_conv).map_or(0, |last| last + 1);
        let parts = self.layers[after_sums..].iter().take_while(|layer| layer.is_of_sums()).count();
        if self.layers[after_sums..].iter().any(is_linear) {
            return Ok(after_sums + parts);
        }
        let message = "the network has no fully connected layer after its last convolution";
        Err(Error::Shape(message.into()))
    }

    /// Numbers that come out for an image: its class scores, or a descriptor's.
    pub fn outputs(&self) -> usize {
        self.output.features()
    }

    /// What comes out of an image: maps of one place, unless it is of [`Vgg::places`].
    pub fn output(&self) -> Shape {
        self.output
    }

    /// The parameters in PyTorch's order: each layer's weight, then its bias.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// What is kept and not trained: each batch normalisation's running mean and variance, in the
    /// layers' order. (PyTorch also counts batches, as `num_batches_tracked`, which nothing uses.)
    pub fn state(&self) -> &[ParamSpec] {
        &self.state
    }

    /// What is kept of a network: its parameters, then its state.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &ParamSpec> + Clone {
        self.params.iter().chain(&self.state)
    }

    /// Numbers in all parameters.
    pub fn param_count(&self) -> usize {
        self.params.iter().map(|p| p.content.len()).sum()
    }

    /// Multiply-adds of one image's forward pass, with convolutions counted as direct ones and
    /// biases not counted.
    pub fn macs(&self) -> u64 {
        self.macs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

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

    /// By facts that were computed apart from this code; torchvision publishes those of A, B, D, E.
    #[test]
    fn every_architecture_has_its_parameters_and_macs() {
        let head = 123_633_664;
        let paper = [
            (Arch::Vgg11, 132_863_336, 7_485_456_384),
            (Arch::Vgg11Lrn, 132_863_336, 7_485_456_384),
            (Arch::Vgg13, 133_047_848, 11_184_832_512),
            (Arch::Vgg16C, 133_638_952, 11_647_254_528),
            (Arch::Vgg16, 138_357_544, 15_346_630_656),
            (Arch::Vgg19, 143_667_240, 19_508_428_800),
        ];
        for (arch, params, macs) in paper {
            let vgg = Vgg::new(&VggConfig { arch, ..VggConfig::default() }).unwrap();
            let arch = &vgg.config().arch;
            assert_eq!((vgg.param_count(), vgg.macs()), (params, macs + head), "{arch}");
        }
        // On grey images with ten classes, at full width and at a quarter, with 10⁶ multiply-adds.
        let grey = [
            (Arch::Vgg11, 128_806_154, 43_093_322, 512),
            (Arch::Vgg13, 128_990_666, 43_104_890, 743),
            (Arch::Vgg16C, 129_581_770, 43_142_074, 772),
            (Arch::Vgg16, 134_300_362, 43_436_986, 1003),
            (Arch::Vgg19, 139_610_058, 43_769_082, 1264),
        ];
        for (arch, full, quarter, million_macs) in grey {
            let narrow = Vgg::new(&VggConfig { arch, ..small() }).unwrap();
            let wide = VggConfig { width: 1.0, ..narrow.config().clone() };
            let wide = Vgg::new(&wide).unwrap();
            let arch = &wide.config().arch;
            assert_eq!((wide.param_count(), narrow.param_count()), (full, quarter), "{arch}");
            assert_eq!((narrow.macs() + 500_000) / 1_000_000, million_macs, "{arch}");
        }
    }

    /// torchvision publishes those of A, B, D and E.
    #[test]
    fn batch_normalisations_add_their_parameters() {
        let paper = [
            (Arch::Vgg11, 132_868_840, 62),
            (Arch::Vgg13, 133_053_736, 76),
            (Arch::Vgg16C, 133_647_400, 97),
            (Arch::Vgg16, 138_365_992, 97),
            (Arch::Vgg19, 143_678_248, 118),
        ];
        for (arch, count, tensors) in paper {
            let plain = Vgg::new(&VggConfig { arch, ..VggConfig::default() }).unwrap();
            let vgg = Vgg::new(&VggConfig { batch_norm: true, ..plain.config().clone() }).unwrap();
            let arch = &vgg.config().arch;
            assert_eq!((vgg.param_count(), vgg.macs()), (count, plain.macs()), "{arch}");
            // torchvision's have one more tensor a normalisation: `num_batches_tracked`.
            assert_eq!(vgg.tensors().count() + vgg.state().len() / 2, tensors, "{arch}");
            assert_eq!(vgg.folded().param_count(), plain.param_count());
        }
    }

    /// VGG8B of Nøkland & Eidnes 2019 has 7.3 million.
    #[test]
    fn blocks_have_their_parameters_and_macs() {
        let blocks = vec![vec![128, 256], vec![256, 512], vec![512], vec![512]];
        let config = VggConfig {
            arch: crate::Arch::Blocks(blocks),
            input: [1, 28, 28],
            classes: 10,
            fc_width: 1024,
            fc_hidden: 1,
            ..VggConfig::default()
        };
        let vgg = Vgg::new(&config).unwrap();
        assert_eq!(vgg.param_count(), 7_321_866);
        let half = Vgg::new(&VggConfig { width: 0.5, ..config }).unwrap();
        assert_eq!(half.params()[0].dims, [64, 1, 3, 3]);
    }

    #[test]
    fn the_baselines_have_the_books_parameters_and_macs() {
        let baseline = |arch, side| {
            Vgg::new(&VggConfig { arch, width: 1.0, input: [1, side, side], ..small() }).unwrap()
        };
        let alexnet = baseline(Arch::AlexNet, 224);
        assert_eq!((alexnet.param_count(), alexnet.macs()), (46_764_746, 938_146_176));
        let lenet = baseline(Arch::LeNet, 28);
        assert_eq!((lenet.param_count(), lenet.macs()), (61_706, 416_520));
    }

    #[test]
    fn an_average_pool_makes_parameters_independent_of_the_input() {
        let pooled = VggConfig { avg_pool: Some(7), ..small() };
        for input in [[1, 32, 32], [1, 224, 224], [1, 160, 96]] {
            let vgg = Vgg::new(&VggConfig { input, ..pooled.clone() }).unwrap();
            assert_eq!(vgg.param_count(), 43_093_322);
        }
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
