//! The operators of a model's networks.

use vgg_tensor::protobuf::Message;
use vgg_tensor::spec::{AvgPool2d, BatchNorm2d, Lrn};

use crate::{Layer, Task, Vgg};

// Numbers of fields and types in ONNX's schema, `onnx.proto`.
const FLOAT: i64 = 1;
mod field {
    pub(super) const NODE: u64 = 1;
    pub(super) const NAME: u64 = 2;
    pub(super) const INITIALIZER: u64 = 5;
    pub(super) const INPUT: u64 = 11;
    pub(super) const OUTPUT: u64 = 12;
}

/// The input of all networks of a model.
const INPUT: &str = "input";

/// A network of a model.
pub(super) struct Network<'a> {
    pub(super) vgg: Vgg,
    /// What the names of its layers begin with.
    pub(super) prefix: &'a str,
}

impl Network<'_> {
    /// The name of its output.
    fn output(&self) -> &'static str {
        match self.vgg.config().task {
            Task::Classification => "logits",
            Task::Localisation { .. } => "boxes",
        }
    }

    /// Its parameters, each up to its numbers, of which there are so many bytes.
    pub(super) fn initializers(&self) -> impl Iterator<Item = (Message, u64)> {
        self.vgg.tensors().map(|spec| {
            let len = (spec.content.len() * size_of::<f32>()) as u64;
            let tensor = Message::default()
                .ints(1, spec.dims.iter().map(|dim| *dim as i64))
                .int(2, FLOAT)
                .text(8, &format!("{}{}", self.prefix, spec.name))
                .open(9, len);
            let start =
                Message::default().open(field::INITIALIZER, tensor.len() + len).then(tensor);
            (start, len)
        })
    }
}

/// The graph of networks without their weights: operators, input, outputs.
pub(super) fn graph(networks: &[Network<'_>]) -> Message {
    let mut graph = Message::default();
    for network in networks {
        let mut nodes = Nodes { graph, x: INPUT.into() };
        nodes.network(network);
        graph = nodes.graph;
    }
    graph = graph.text(field::NAME, "vgg");
    if let Some(first) = networks.first() {
        graph = graph.message(field::INPUT, value(INPUT, &first.vgg.config().input));
    }
    networks.iter().fold(graph, |graph, network| {
        let outputs = value(network.output(), &[network.vgg.config().outputs()]);
        graph.message(field::OUTPUT, outputs)
    })
}

/// Operators, each of which takes what the one before gave.
struct Nodes {
    graph: Message,
    /// The name of what the last one gave.
    x: String,
}

impl Nodes {
    /// Appends those of a network.
    fn network(&mut self, network: &Network<'_>) {
        let Network { vgg, prefix } = network;
        let named = |name: &str| format!("{prefix}{name}");
        let last = vgg.layers().last().map(Layer::name);
        let [_, mut h, mut w] = vgg.config().input;
        let mut is_flat = false;
        for layer in vgg.layers() {
            let is_last = Some(layer.name()) == last;
            let name = &named(layer.name());
            match *layer {
                Layer::Conv2d { kernel, stride, padding, relu, .. } => {
                    let attributes = [
                        ints("kernel_shape", [kernel; 2]),
                        ints("pads", [padding; 4]),
                        ints("strides", [stride; 2]),
                    ];
                    self.push("Conv", name, &["weight", "bias"], name, attributes);
                    if relu {
                        self.relu(name);
                    }
                    [h, w] = [h, w].map(|side| (side + 2 * padding - kernel) / stride + 1);
                }
                Layer::BatchNorm2d { .. } => {
                    let params = ["weight", "bias", "running_mean", "running_var"];
                    let attributes = [float("epsilon", BatchNorm2d::EPSILON)];
                    self.push("BatchNormalization", name, &params, name, attributes);
                    self.relu(name);
                }
                Layer::Lrn { .. } => {
                    let attributes = [
                        int("size", Lrn::SIZE as i64),
                        // ONNX divides it by the window.
                        float("alpha", Lrn::ALPHA * Lrn::SIZE as f32),
                        float("beta", Lrn::BETA),
                        float("bias", Lrn::K),
                    ];
                    self.push("LRN", name, &[], name, attributes);
                }
                Layer::MaxPool2d { kernel, stride, .. } => {
                    let attributes =
                        [ints("kernel_shape", [kernel; 2]), ints("strides", [stride; 2])];
                    self.push("MaxPool", name, &[], name, attributes);
                    [h, w] = [h, w].map(|side| (side - kernel) / stride + 1);
                }
                Layer::AvgPool2d { h: h_out, w: w_out, .. } => {
                    if h % h_out == 0 && w % w_out == 0 {
                        let window = [h / h_out, w / w_out];
                        let attributes = [ints("kernel_shape", window), ints("strides", window)];
                        self.push("AveragePool", name, &[], name, attributes);
                    } else {
                        self.pool(name, [h, w], [h_out, w_out]);
                    }
                    [h, w] = [h_out, w_out];
                }
                Layer::Sigmoid { .. } => self.push("Sigmoid", name, &[], name, []),
                Layer::Linear { relu, .. } => {
                    if !is_flat {
                        self.push("Flatten", name, &[], &named("flatten"), [int("axis", 1)]);
                        is_flat = true;
                    }
                    let y = if is_last { network.output() } else { name };
                    self.push("Gemm", name, &["weight", "bias"], y, [int("transB", 1)]);
                    if relu {
                        self.relu(name);
                    }
                }
                Layer::Dropout { .. } => {}
            }
        }
    }

    /// Appends an operator that gives `y` and has some of the parameters of `layer`.
    fn push<const N: usize>(
        &mut self,
        op: &str,
        layer: &str,
        params: &[&str],
        y: &str,
        attributes: [Message; N],
    ) {
        let params = params.iter().map(|param| format!("{layer}.{param}"));
        let inputs: Vec<_> = std::iter::once(self.x.clone()).chain(params).collect();
        self.node(op, &inputs, y, attributes);
    }

    /// Appends an operator of these inputs.
    fn node<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[String],
        y: &str,
        attributes: [Message; N],
    ) {
        let mut node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        node = node.text(2, y).text(3, y).text(4, op);
        for attribute in attributes {
            node = node.message(5, attribute);
        }
        self.graph = std::mem::take(&mut self.graph).message(field::NODE, node);
        self.x = y.into();
    }

    /// Appends an average pool whose windows are not equal, which ONNX has not. It is linear, and the
    /// same for all columns and all rows: `means(rows) · x · means(columns)ᵀ`.
    fn pool(&mut self, layer: &str, [h, w]: [usize; 2], [h_out, w_out]: [usize; 2]) {
        let [rows, columns] = ["rows", "columns"].map(|part| format!("{layer}.{part}"));
        let transposed: Vec<f32> = {
            let means = means(w, w_out);
            (0..w * w_out).map(|i| means[i % w_out * w + i / w_out]).collect()
        };
        let constants = [(&rows, [h_out, h], means(h, h_out)), (&columns, [w, w_out], transposed)];
        for (name, dims, numbers) in constants {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            let tensor = Message::default()
                .ints(1, dims.map(|dim| dim as i64))
                .int(2, FLOAT)
                .text(8, name)
                .raw(9, &bytes);
            self.graph = std::mem::take(&mut self.graph).message(field::INITIALIZER, tensor);
        }
        let across = format!("{layer}.across");
        self.node("MatMul", &[self.x.clone(), columns], &across, []);
        self.node("MatMul", &[rows, across], layer, []);
    }

    /// Appends the ReLU that is part of a layer.
    fn relu(&mut self, layer: &str) {
        self.push("Relu", layer, &[], &format!("{layer}.relu"), []);
    }
}

/// What each of `to` outputs along a side is of `from` inputs, `[to, from]`: see [`AvgPool2d`].
fn means(from: usize, to: usize) -> Vec<f32> {
    let mut means = vec![0.0; to * from];
    for (i, row) in means.chunks_exact_mut(from).enumerate() {
        let window = AvgPool2d::window(i, from, to);
        let share = 1.0 / window.len() as f32;
        row[window].fill(share);
    }
    means
}

fn float(name: &str, value: f32) -> Message {
    Message::default().text(1, name).float(2, value).int(20, FLOAT)
}

fn int(name: &str, value: i64) -> Message {
    const INT: i64 = 2;
    Message::default().text(1, name).int(3, value).int(20, INT)
}

fn ints<const N: usize>(name: &str, values: [usize; N]) -> Message {
    const INTS: i64 = 7;
    Message::default().text(1, name).ints(8, values.map(|value| value as i64)).int(20, INTS)
}

/// A batch of `f32` tensors of these dimensions.
fn value(name: &str, dims: &[usize]) -> Message {
    let mut shape = Message::default().message(1, Message::default().text(2, "batch"));
    for dim in dims {
        shape = shape.message(1, Message::default().int(1, *dim as i64));
    }
    let tensor = Message::default().int(1, FLOAT).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

#[cfg(test)]
mod tests {
    use vgg_tensor::{Command, Content, Shape};
    use vgg_testkit::Reference;
    use vgg_testkit::conformance::Bench;

    use super::*;
    use crate::{Regression, VggConfig};

    fn of(config: &VggConfig) -> Network<'static> {
        Network { vgg: Vgg::new(config).unwrap(), prefix: "" }
    }

    #[test]
    fn a_network_that_locates_gives_boxes() {
        let config =
            VggConfig { input: [1, 32, 32], width: 0.05, classes: 3, ..VggConfig::default() };
        let output = |task, dims: &[usize], name: &str| {
            let fields = graph(&[of(&VggConfig { task, ..config.clone() })]);
            let expected = value(name, dims);
            let has =
                fields.bytes().windows(expected.bytes().len()).any(|it| it == expected.bytes());
            assert!(has, "{task:?}");
        };
        output(Task::Classification, &[3], "logits");
        output(Task::Localisation { boxes: Regression::Shared }, &[4], "boxes");
        output(Task::Localisation { boxes: Regression::PerClass }, &[12], "boxes");
    }

    /// How often a text is in the graph of a network whose last maps have a side of `side / 32`, pooled
    /// to 2.
    fn count(side: usize, text: &str) -> usize {
        let config = VggConfig {
            input: [3, side, side],
            width: 1.0 / 64.0,
            fc_width: 8,
            avg_pool: Some(2),
            ..VggConfig::default()
        };
        let graph = graph(&[of(&config)]);
        graph.bytes().windows(text.len()).filter(|bytes| *bytes == text.as_bytes()).count()
    }

    #[test]
    fn average_pools_are_operators_or_products() {
        for side in [64, 128] {
            let counts = ["AveragePool", "MatMul", "avgpool.rows"].map(|text| count(side, text));
            // One to the same size is none.
            assert_eq!(counts, [1, 0, 0], "{side}");
        }
        let counts = ["AveragePool", "MatMul", "avgpool.rows", "avgpool.columns"];
        assert_eq!(counts.map(|text| count(96, text)), [0, 2, 2, 2]);
    }

    #[test]
    fn products_with_means_are_the_pool() {
        let ([h, w], [h_out, w_out]) = ([5, 3], [3, 7]);
        let shape = Shape::new(1, 1, h, w);
        let x: Vec<f32> = (0..shape.len()).map(|i| (i * 7 % 11) as f32).collect();
        let pool = AvgPool2d::new(shape, h_out, w_out).unwrap();
        let mut backend = Reference::<f32>::new();
        let mut bench = Bench::new(&mut backend);
        let input = bench.uploaded(Content::Maps(pool.x()), &x).unwrap();
        let output = bench.poisoned(Content::Maps(pool.y())).unwrap();
        bench.run(Command::AvgPool2d { spec: pool, x: &input, y: &output }).unwrap();
        let expected = bench.downloaded(&output).unwrap();
        let (rows, columns) = (means(h, h_out), means(w, w_out));
        for (i, expected) in expected.iter().enumerate() {
            let (row, column) = (&rows[i / w_out * h..][..h], &columns[i % w_out * w..][..w]);
            let products = (0..h * w).map(|k| row[k / w] * column[k % w] * x[k]);
            let sum: f32 = products.sum();
            assert!((sum - expected).abs() < 1e-5, "{i}: {sum} for {expected}");
        }
    }
}
