//! From a config to a list of layers, each named by its place in PyTorch's `Sequential`s.

use crate::{Arch, Layer, VggConfig};

/// An entry of a column of table 1.
#[derive(Clone, Copy)]
enum Entry {
    /// A 3×3 convolution into so many channels, then ReLU.
    Conv3(usize),
    /// A 1×1 convolution into so many channels, then ReLU.
    Conv1(usize),
    Lrn,
}
use Entry::{Conv1, Conv3, Lrn};

/// A column of table 1 without the fully connected layers. A max-pool ends each block.
type Column = [&'static [Entry]; 5];

const A: Column =
    [&[Conv3(64)], &[Conv3(128)], &[Conv3(256); 2], &[Conv3(512); 2], &[Conv3(512); 2]];
const A_LRN: Column = [&[Conv3(64), Lrn], A[1], A[2], A[3], A[4]];
const B: Column = [&[Conv3(64); 2], &[Conv3(128); 2], A[2], A[3], A[4]];
const C: Column = [
    B[0],
    B[1],
    &[Conv3(256), Conv3(256), Conv1(256)],
    &[Conv3(512), Conv3(512), Conv1(512)],
    &[Conv3(512), Conv3(512), Conv1(512)],
];
const D: Column = [B[0], B[1], &[Conv3(256); 3], &[Conv3(512); 3], &[Conv3(512); 3]];
const E: Column = [B[0], B[1], &[Conv3(256); 4], &[Conv3(512); 4], &[Conv3(512); 4]];

/// The layers of the network that `config` describes, which has been checked.
pub(crate) fn layers(config: &VggConfig) -> Vec<Layer> {
    match &config.arch {
        Arch::Vgg11 => vgg(config, &A),
        Arch::Vgg11Lrn => vgg(config, &A_LRN),
        Arch::Vgg13 => vgg(config, &B),
        Arch::Vgg16C => vgg(config, &C),
        Arch::Vgg16 => vgg(config, &D),
        Arch::Vgg19 => vgg(config, &E),
        Arch::AlexNet => alexnet(config),
        Arch::LeNet => lenet(config),
        Arch::Blocks(blocks) => {
            let entries = |block: &Vec<usize>| block.iter().copied().map(Conv3).collect();
            vgg(config, &blocks.iter().map(entries).collect::<Vec<Vec<Entry>>>())
        }
    }
}

fn vgg(config: &VggConfig, blocks: &[impl AsRef<[Entry]>]) -> Vec<Layer> {
    let mut features = Sequential::new("features");
    for block in blocks {
        for entry in block.as_ref() {
            match *entry {
                Conv3(channels) => features.normed_conv(config, channels, 3, 1),
                Conv1(channels) => features.normed_conv(config, channels, 1, 0),
                Lrn => features.push(|name| Layer::Lrn { name }),
            }
        }
        features.max_pool(2, 2);
    }
    let mut classifier = Sequential::new("classifier");
    classifier.hidden(config);
    classifier.linear(config.outputs(), false);
    let mut layers = features.layers;
    layers.extend(avg_pool(config));
    layers.extend(classifier.layers);
    layers
}

fn alexnet(config: &VggConfig) -> Vec<Layer> {
    let channels = |channels| config.channels(channels);
    let mut net = Sequential::new("net");
    net.conv_relu(channels(96), 11, 4, 1);
    net.max_pool(3, 2);
    net.conv_relu(channels(256), 5, 1, 2);
    net.max_pool(3, 2);
    net.conv_relu(channels(384), 3, 1, 1);
    net.conv_relu(channels(384), 3, 1, 1);
    net.conv_relu(channels(256), 3, 1, 1);
    net.max_pool(3, 2);
    net.layers.extend(avg_pool(config));
    net.skip(); // flattening
    net.hidden(config);
    net.linear(config.outputs(), false);
    net.layers
}

fn lenet(config: &VggConfig) -> Vec<Layer> {
    let [_, h, w] = config.input;
    let sigmoid = |name| Layer::Sigmoid { name };
    let mut net = Sequential::new("net");
    net.conv(config.channels(6), 5, 1, 2, false);
    net.push(sigmoid);
    let [h, w] = [h / 2, w / 2];
    net.push(|name| Layer::AvgPool2d { name, h, w });
    net.conv(config.channels(16), 5, 1, 0, false);
    net.push(sigmoid);
    let [h, w] = [h, w].map(|side| (side - 4) / 2);
    net.push(|name| Layer::AvgPool2d { name, h, w });
    net.layers.extend(avg_pool(config));
    net.skip(); // flattening
    for out_features in [120, 84] {
        net.linear(out_features, false);
        net.push(sigmoid);
    }
    net.linear(config.outputs(), false);
    net.layers
}

/// The pool that may stand between convolutions and fully connected layers, to give these their one size;
/// torchvision's name.
pub(crate) const AVG_POOL: &str = "avgpool";

fn avg_pool(config: &VggConfig) -> Option<Layer> {
    config.avg_pool.map(|side| Layer::AvgPool2d { name: AVG_POOL.into(), h: side, w: side })
}

/// Layers that are named by their places in an `nn.Sequential`.
struct Sequential {
    name: &'static str,
    /// The next layer's place.
    place: usize,
    layers: Vec<Layer>,
}

impl Sequential {
    fn new(name: &'static str) -> Self {
        Self { name, place: 0, layers: Vec::new() }
    }

    fn push(&mut self, layer: impl FnOnce(String) -> Layer) {
        self.layers.push(layer(format!("{}.{}", self.name, self.place)));
        self.place += 1;
    }

    /// Leaves a place to a module that is no layer of ours.
    fn skip(&mut self) {
        self.place += 1;
    }

    fn conv(&mut self, c_out: usize, kernel: usize, stride: usize, padding: usize, relu: bool) {
        self.push(|name| Layer::Conv2d { name, c_out, kernel, stride, padding, relu });
    }

    fn conv_relu(&mut self, c_out: usize, kernel: usize, stride: usize, padding: usize) {
        self.conv(c_out, kernel, stride, padding, true);
        self.skip();
    }

    /// A convolution of VGG with ReLU, and with a batch normalisation between if the config has them.
    fn normed_conv(&mut self, config: &VggConfig, channels: usize, kernel: usize, padding: usize) {
        self.conv(config.channels(channels), kernel, 1, padding, !config.batch_norm);
        if config.batch_norm {
            self.push(|name| Layer::BatchNorm2d { name });
        }
        self.skip();
    }

    fn max_pool(&mut self, kernel: usize, stride: usize) {
        self.push(|name| Layer::MaxPool2d { name, kernel, stride });
    }

    fn linear(&mut self, out_features: usize, relu: bool) {
        self.push(|name| Layer::Linear { name, out_features, relu });
    }

    /// The hidden fully connected layers of the config, each with ReLU and dropout.
    fn hidden(&mut self, config: &VggConfig) {
        for _ in 0..config.fc_hidden {
            self.linear(config.fc_width, true);
            self.skip();
            self.push(|name| Layer::Dropout { name, p: config.dropout });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Vgg;

    /// The layers with parameters.
    fn names(arch: Arch) -> String {
        let config = VggConfig { arch, width: 0.05, ..VggConfig::default() };
        let vgg = Vgg::new(&config).unwrap();
        let weights = vgg.params().iter().filter_map(|p| p.name.strip_suffix(".weight"));
        weights.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn vggs_layers_have_torchvisions_names() {
        let head = " classifier.0 classifier.3 classifier.6";
        let features = [
            (Arch::Vgg11, "0 3 6 8 11 13 16 18"),
            // LRN is in place 2.
            (Arch::Vgg11Lrn, "0 4 7 9 12 14 17 19"),
            (Arch::Vgg13, "0 2 5 7 10 12 15 17 20 22"),
            (Arch::Vgg16C, "0 2 5 7 10 12 14 17 19 21 24 26 28"),
            (Arch::Vgg16, "0 2 5 7 10 12 14 17 19 21 24 26 28"),
            (Arch::Vgg19, "0 2 5 7 10 12 14 16 19 21 23 25 28 30 32 34"),
            (Arch::Blocks(vec![vec![8, 8], vec![16], vec![8]]), "0 2 5 8"),
        ];
        for (arch, places) in features {
            let features: Vec<_> = places.split(' ').map(|i| format!("features.{i}")).collect();
            assert_eq!(names(arch.clone()), features.join(" ") + head, "{arch}");
        }
    }

    /// torchvision's `vgg11_bn`, `vgg13_bn`, `vgg16_bn` and `vgg19_bn`.
    #[test]
    fn normalisations_have_torchvisions_places() {
        let convs = [
            (Arch::Vgg11, "0 4 8 11 15 18 22 25"),
            (Arch::Vgg13, "0 3 7 10 14 17 21 24 28 31"),
            (Arch::Vgg16, "0 3 7 10 14 17 20 24 27 30 34 37 40"),
            (Arch::Vgg19, "0 3 7 10 14 17 20 23 27 30 33 36 40 43 46 49"),
        ];
        for (arch, places) in convs {
            let config = VggConfig { arch, batch_norm: true, width: 0.05, ..VggConfig::default() };
            let (vgg, arch) = (Vgg::new(&config).unwrap(), &config.arch);
            let name = |layer: &Layer| layer.name().to_string();
            let named = |place: usize| format!("features.{place}");
            let places = places.split(' ').map(|place| place.parse::<usize>().unwrap());
            let of = |wanted: fn(&Layer) -> bool| -> Vec<_> {
                vgg.layers().iter().filter(|layer| wanted(layer)).map(name).collect()
            };
            let convs: Vec<_> = places.clone().map(named).collect();
            let norms: Vec<_> = places.map(|place| named(place + 1)).collect();
            assert_eq!(of(|layer| matches!(layer, Layer::Conv2d { .. })), convs, "{arch}");
            assert_eq!(of(|layer| matches!(layer, Layer::BatchNorm2d { .. })), norms, "{arch}");
            let state: Vec<_> = vgg.state().iter().map(|spec| spec.name.as_str()).collect();
            assert_eq!(state[..2], ["features.1.running_mean", "features.1.running_var"]);
        }
    }

    #[test]
    fn heads_have_as_many_hidden_layers_as_the_config_says() {
        let head = |fc_hidden: usize| {
            let config = VggConfig { fc_hidden, width: 0.05, fc_width: 8, ..VggConfig::default() };
            let vgg = Vgg::new(&config).unwrap();
            let linears = vgg.params().iter().filter(|spec| spec.dims.len() == 2);
            linears.map(|spec| (spec.name.clone(), spec.dims[0])).collect::<Vec<_>>()
        };
        let linear = |place, outputs| (format!("classifier.{place}.weight"), outputs);
        assert_eq!(head(0), [linear(0, 1000)]);
        assert_eq!(head(1), [linear(0, 8), linear(3, 1000)]);
        assert_eq!(head(3), [linear(0, 8), linear(3, 8), linear(6, 8), linear(9, 1000)]);
    }

    #[test]
    fn the_baselines_layers_have_the_books_names() {
        assert_eq!(names(Arch::AlexNet), "net.0 net.3 net.6 net.8 net.10 net.14 net.17 net.20");
        assert_eq!(names(Arch::LeNet), "net.0 net.3 net.7 net.9 net.11");
    }
}
