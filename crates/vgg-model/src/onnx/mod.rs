//! A network as an ONNX model, for other programs to run.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use vgg_tensor::protobuf::Message;
use vgg_tensor::spec::{AvgPool2d, BatchNorm2d, Lrn};
use vgg_tensor::{Error, Result, new_file};

use crate::tensor_file::{PIECE, io_error};
use crate::{Checkpoint, Layer, ParamSpec, Params, Task, Vgg};

/// The operators' version, of 2021.
const OPSET: i64 = 17;
/// The file format's version that came with it.
const IR: i64 = 8;

/// Readers of protocol buffers refuse messages of more bytes.
const MAX_LEN: u64 = i32::MAX as u64;

// Numbers of fields and types in ONNX's schema, `onnx.proto`.
const FLOAT: i64 = 1;
mod model {
    pub(super) const IR_VERSION: u64 = 1;
    pub(super) const PRODUCER_NAME: u64 = 2;
    pub(super) const PRODUCER_VERSION: u64 = 3;
    pub(super) const GRAPH: u64 = 7;
    pub(super) const OPSET_IMPORT: u64 = 8;
    pub(super) const METADATA_PROPS: u64 = 14;
}
mod graph {
    pub(super) const NODE: u64 = 1;
    pub(super) const NAME: u64 = 2;
    pub(super) const INITIALIZER: u64 = 5;
    pub(super) const INPUT: u64 = 11;
    pub(super) const OUTPUT: u64 = 12;
}

/// Writes the network of a checkpoint to `path`, over an older file or a link; [`Model`] is for pipes
/// and whatever else there may be.
///
/// # Errors
/// Those of [`Model::new`], and [`Error::Io`] if it cannot be written. An older file is then still
/// there.
///
/// ```
/// use vgg_model::{Checkpoint, Init, Input, Params, Progress, Vgg, VggConfig, onnx};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("network.onnx");
/// let config = VggConfig { input: [1, 32, 32], width: 0.05, fc_width: 8, ..Default::default() };
/// let checkpoint = Checkpoint {
///     params: Params::init(&Vgg::new(&config)?, &Init::default(), 42)?,
///     vgg: config,
///     input: Input::unnormalized(1, 28, 28),
///     classes: vec![],
///     moments: Default::default(),
///     unaveraged: None,
///     progress: Progress::default(),
///     run: "anything".into(),
/// };
/// onnx::save(&path, &checkpoint)?;
/// # Ok::<(), vgg_model::Error>(())
/// ```
pub fn save(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let model = Model::new(checkpoint)?;
    new_file::replace(path, |out| model.write(out)).map_err(io_error(path))
}

/// A checkpoint's network as an ONNX model, to be written.
///
/// The model's input is `input`, `[batch, channels, height, width]`: pixels on the scale 0 to 1,
/// less the mean and divided by the standard deviation, in the network's own size. Its output is
/// `logits`, `[batch, classes]`, or of a network that locates `boxes`, `[batch, 4 · boxes]`, as
/// [`crate::Task::Localisation`] has them, and the metadata say `boxes`, whether there is one a class. The
/// batch is of any size. What feeds it rightly is in the
/// metadata, as JSON: `mean`, `std`, `short_side`, to which an image is scaled before its centre is
/// cut, unless it is stretched, and, if the classes have names, `classes`.
///
/// Weights have torchvision's names. Dropout, which does nothing outside of training, is left out.
#[derive(Debug)]
pub struct Model<'a> {
    frame: Frame,
    params: &'a Params,
}

impl<'a> Model<'a> {
    /// The model, all of it but the weights' bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] if it would be larger than 2 GiB, which no reader takes, or the checkpoint's
    /// parts do not fit together.
    pub fn new(checkpoint: &'a Checkpoint) -> Result<Self> {
        let Checkpoint { input, classes, params, .. } = checkpoint;
        let vgg = Vgg::new(&checkpoint.vgg)?;
        params.check(&vgg)?;
        let mut metadata = vec![("mean", json(&input.mean)), ("std", json(&input.std))];
        if let Some(short_side) = input.short_side {
            metadata.push(("short_side", short_side.to_string()));
        }
        if !classes.is_empty() {
            metadata.push(("classes", json(classes)));
        }
        if let Task::Localisation { boxes } = checkpoint.vgg.task {
            metadata.push(("boxes", json(&boxes)));
        }
        Ok(Self { frame: Frame::new(&vgg, &metadata)?, params })
    }

    /// Writes the file's bytes, from the first to the last.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        out.write_all(self.frame.start.bytes())?;
        for (start, tensor) in self.frame.initializers.iter().zip(self.params.tensors()) {
            out.write_all(start.bytes())?;
            for numbers in tensor.data().chunks(PIECE / size_of::<f32>()) {
                bytes.clear();
                bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
                out.write_all(&bytes)?;
            }
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists of numbers and names are JSON")
}

/// All of a file but the numbers of its weights, which go last.
#[derive(Debug)]
struct Frame {
    start: Message,
    /// What goes before the numbers of each parameter.
    initializers: Vec<Message>,
}

impl Frame {
    fn new(vgg: &Vgg, metadata: &[(&str, String)]) -> Result<Self> {
        let small = small_fields(vgg)?;
        let bytes = |spec: &ParamSpec| (spec.content.len() * size_of::<f32>()) as u64;
        let initializers: Vec<Message> = vgg.tensors().map(initializer).collect();
        let weights = vgg.tensors().zip(&initializers);
        let small_len = small.len();
        let graph_len =
            small_len + weights.map(|(spec, start)| start.len() + bytes(spec)).sum::<u64>();
        let mut start = Message::default()
            .int(model::IR_VERSION, IR)
            .text(model::PRODUCER_NAME, env!("CARGO_PKG_NAME"))
            .text(model::PRODUCER_VERSION, env!("CARGO_PKG_VERSION"))
            .message(model::OPSET_IMPORT, Message::default().text(1, "").int(2, OPSET));
        for (key, value) in metadata {
            let entry = Message::default().text(1, key).text(2, value);
            start = start.message(model::METADATA_PROPS, entry);
        }
        let start = start.open(model::GRAPH, graph_len).then(small);
        let len = start.len() + graph_len - small_len;
        if len > MAX_LEN {
            return Err(Error::Shape(format!(
                "the ONNX file would have {len} bytes, more than the {MAX_LEN} that its readers take"
            )));
        }
        Ok(Self { start, initializers })
    }
}

/// A parameter, up to its numbers.
fn initializer(spec: &ParamSpec) -> Message {
    let len = (spec.content.len() * size_of::<f32>()) as u64;
    let tensor = Message::default()
        .ints(1, spec.dims.iter().map(|dim| *dim as i64))
        .int(2, FLOAT)
        .text(8, &spec.name)
        .open(9, len);
    Message::default().open(graph::INITIALIZER, tensor.len() + len).then(tensor)
}

/// The graph without its weights: operators, input, output.
fn small_fields(vgg: &Vgg) -> Result<Message> {
    const INPUT: &str = "input";
    let output = match vgg.config().task {
        Task::Classification => "logits",
        Task::Localisation { .. } => "boxes",
    };
    let mut nodes = Nodes { graph: Message::default(), x: INPUT.into() };
    let mut is_flat = false;
    let last = vgg.layers().last().map(Layer::name);
    let [_, mut h, mut w] = vgg.config().input;
    for layer in vgg.layers() {
        let name = layer.name();
        match *layer {
            Layer::Conv2d { kernel, stride, padding, relu, .. } => {
                let attributes = [
                    ints("kernel_shape", [kernel; 2]),
                    ints("pads", [padding; 4]),
                    ints("strides", [stride; 2]),
                ];
                nodes.push("Conv", name, &["weight", "bias"], name, attributes);
                if relu {
                    nodes.relu(name);
                }
                [h, w] = [h, w].map(|side| (side + 2 * padding - kernel) / stride + 1);
            }
            Layer::BatchNorm2d { .. } => {
                let params = ["weight", "bias", "running_mean", "running_var"];
                let attributes = [float("epsilon", BatchNorm2d::EPSILON)];
                nodes.push("BatchNormalization", name, &params, name, attributes);
                nodes.relu(name);
            }
            Layer::Lrn { .. } => {
                let attributes = [
                    int("size", Lrn::SIZE as i64),
                    // ONNX divides it by the window.
                    float("alpha", Lrn::ALPHA * Lrn::SIZE as f32),
                    float("beta", Lrn::BETA),
                    float("bias", Lrn::K),
                ];
                nodes.push("LRN", name, &[], name, attributes);
            }
            Layer::MaxPool2d { kernel, stride, .. } => {
                let attributes = [ints("kernel_shape", [kernel; 2]), ints("strides", [stride; 2])];
                nodes.push("MaxPool", name, &[], name, attributes);
                [h, w] = [h, w].map(|side| (side - kernel) / stride + 1);
            }
            Layer::AvgPool2d { h: h_out, w: w_out, .. } => {
                if h % h_out == 0 && w % w_out == 0 {
                    let window = [h / h_out, w / w_out];
                    let attributes = [ints("kernel_shape", window), ints("strides", window)];
                    nodes.push("AveragePool", name, &[], name, attributes);
                } else {
                    nodes.pool(name, [h, w], [h_out, w_out]);
                }
                [h, w] = [h_out, w_out];
            }
            Layer::Sigmoid { .. } => nodes.push("Sigmoid", name, &[], name, []),
            Layer::Linear { relu, .. } => {
                if !is_flat {
                    nodes.push("Flatten", name, &[], "flatten", [int("axis", 1)]);
                    is_flat = true;
                }
                let y = if Some(name) == last { output } else { name };
                nodes.push("Gemm", name, &["weight", "bias"], y, [int("transB", 1)]);
                if relu {
                    nodes.relu(name);
                }
            }
            Layer::Dropout { .. } => {}
        }
    }
    let config = vgg.config();
    let graph = nodes
        .graph
        .text(graph::NAME, "vgg")
        .message(graph::INPUT, value(INPUT, &config.input))
        .message(graph::OUTPUT, value(output, &[config.outputs()]));
    Ok(graph)
}

/// Operators, each of which takes what the one before gave.
struct Nodes {
    graph: Message,
    /// The name of what the last one gave.
    x: String,
}

impl Nodes {
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
        self.graph = std::mem::take(&mut self.graph).message(graph::NODE, node);
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
            self.graph = std::mem::take(&mut self.graph).message(graph::INITIALIZER, tensor);
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

    #[test]
    fn a_network_that_locates_gives_boxes() {
        let config =
            VggConfig { input: [1, 32, 32], width: 0.05, classes: 3, ..VggConfig::default() };
        let output = |task, dims: &[usize], name: &str| {
            let vgg = Vgg::new(&VggConfig { task, ..config.clone() }).unwrap();
            let fields = small_fields(&vgg).unwrap();
            let expected = value(name, dims);
            let has =
                fields.bytes().windows(expected.bytes().len()).any(|it| it == expected.bytes());
            assert!(has, "{task:?}");
        };
        output(Task::Classification, &[3], "logits");
        output(Task::Localisation { boxes: Regression::Shared }, &[4], "boxes");
        output(Task::Localisation { boxes: Regression::PerClass }, &[12], "boxes");
    }

    #[test]
    fn files_that_no_reader_takes_are_refused() {
        let model = |fc_width| {
            let config = VggConfig { fc_width, ..VggConfig::default() };
            Frame::new(&Vgg::new(&config).unwrap(), &[])
        };
        assert!(model(4096).is_ok());
        let error = model(16384).err().unwrap().to_string();
        assert!(error.starts_with("the ONNX file would have 2820"), "{error}");
        assert!(error.ends_with("more than the 2147483647 that its readers take"), "{error}");
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
        let graph = small_fields(&Vgg::new(&config).unwrap()).unwrap();
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
