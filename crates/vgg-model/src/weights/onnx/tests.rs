//! Models as this crate and others write them, and damaged ones.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;
use vgg_tensor::protobuf::Message;
use vgg_tensor::{Error, Tensor};

use crate::weights::{Convention, WeightFile};
use crate::{Arch, Checkpoint, Init, Input, Params, Progress, Vgg, VggConfig, onnx};

fn config() -> VggConfig {
    VggConfig {
        width: 1.0 / 32.0,
        input: [3, 64, 64],
        classes: 7,
        fc_width: 5,
        ..VggConfig::default()
    }
}

fn params(config: &VggConfig) -> Params {
    Params::init(&Vgg::new(config).unwrap(), &Init::default(), 3).unwrap()
}

struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.onnx");
        Self { folder, path }
    }

    /// The network of a file of these bytes, if it has one of `arch`.
    fn read(&self, bytes: &[u8], arch: &Arch) -> Result<(VggConfig, Params), Error> {
        fs::write(&self.path, bytes).unwrap();
        let file = WeightFile::open(&self.path)?;
        let config = file.config(arch, &Convention::TORCHVISION)?;
        let params = file.params(&Vgg::new(&config)?, &Convention::TORCHVISION)?;
        Ok((config, params))
    }

    /// Why it has none.
    fn refused(&self, model: &Model) -> String {
        match self.read(&model.bytes(), &Arch::Vgg11) {
            Err(Error::Format { path, reason }) => {
                assert_eq!(path, self.path);
                reason
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A model as other programs may write it, of the network `config()`.
#[derive(Clone)]
struct Model {
    /// Operator, inputs, output, attributes.
    nodes: Vec<(&'static str, Vec<String>, String, Vec<Message>)>,
    constants: Vec<Message>,
    input: [i64; 4],
}

/// An attribute of numbers.
fn ints(name: &str, numbers: &[i64]) -> Message {
    Message::default().text(1, name).ints(8, numbers.iter().copied()).int(20, 7)
}

/// A tensor of numbers as bytes.
fn tensor(name: &str, dims: &[usize], numbers: &[f32]) -> Message {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    named(name, dims, 1).raw(9, &bytes)
}

/// A tensor of a type, without its numbers.
fn named(name: &str, dims: &[usize], dtype: i64) -> Message {
    Message::default().ints(1, dims.iter().map(|dim| *dim as i64)).int(2, dtype).text(8, name)
}

/// The numbers of rows of columns as those of columns of rows.
fn transposed(numbers: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|i| numbers.iter().skip(i).step_by(columns)).copied().collect()
}

impl Model {
    /// One that has channels last from the end of the convolutions on, as converters from TensorFlow write
    /// it: fully connected layers are products with transposed weights, and sums.
    fn channels_last(params: &Params) -> Self {
        Self::channels_last_of(&config(), params)
    }

    /// The same of another network.
    fn channels_last_of(config: &VggConfig, params: &Params) -> Self {
        let mut model = Self { nodes: vec![], constants: vec![], input: [1, 64, 64, 3] };
        model.node("Transpose", &[], vec![ints("perm", &[0, 3, 1, 2])]);
        let vgg = Vgg::new(config).unwrap();
        let pixels = config.avg_pool.map_or(4, |side| side * side);
        let mut is_flat = false;
        for layer in vgg.layers() {
            let get = |kind: &str| params.get(&format!("{}.{kind}", layer.name()));
            let (weight, bias) = (get("weight"), get("bias"));
            match (layer, weight, bias) {
                (crate::Layer::Conv2d { .. }, Some(weight), Some(bias)) => {
                    let [weight, bias] = [("w", weight), ("b", bias)].map(|(kind, tensor)| {
                        model.constant(&format!("{}:{kind}", layer.name()), tensor)
                    });
                    let same = Message::default().text(1, "auto_pad").text(4, "SAME_UPPER");
                    model.node("Conv", &[weight, bias], vec![same]);
                    model.node("Relu", &[], vec![]);
                }
                (crate::Layer::MaxPool2d { .. }, ..) => {
                    let two = [("kernel_shape", [2; 2]), ("strides", [2; 2])];
                    model.node("MaxPool", &[], two.map(|(name, two)| ints(name, &two)).into());
                }
                (crate::Layer::Linear { .. }, Some(weight), Some(bias)) => {
                    let [outputs, inputs] = weight.dims()[..] else { panic!() };
                    let mut numbers = weight.data().to_vec();
                    if !is_flat {
                        if config.avg_pool == Some(1) {
                            model.node("GlobalAveragePool", &[], vec![]);
                        }
                        model.node("Transpose", &[], vec![ints("perm", &[0, 2, 3, 1])]);
                        model.node("Reshape", &["shape".into()], vec![]);
                        is_flat = true;
                        // Rows of columns of channels instead of channels of pixels.
                        numbers = numbers
                            .chunks(inputs)
                            .flat_map(|row| transposed(row, pixels))
                            .collect();
                    }
                    let numbers = transposed(&numbers, inputs);
                    let name = format!("{}/MatMul", layer.name());
                    model.constants.push(tensor(&name, &[inputs, outputs], &numbers));
                    model.node("MatMul", &[name], vec![]);
                    let bias = model.constant(&format!("{}/Add", layer.name()), bias);
                    model.node("Add", &[bias], vec![]);
                    model.node("Relu", &[], vec![]);
                }
                _ => {}
            }
        }
        model.nodes.pop();
        model.node("Softmax", &[], vec![]);
        model
    }

    fn constant(&mut self, name: &str, tensor_: &Tensor) -> String {
        self.constants.push(tensor(name, tensor_.dims(), tensor_.data()));
        name.into()
    }

    /// Appends an operator that takes what the one before gave, and constants.
    fn node(&mut self, op: &'static str, constants: &[String], attributes: Vec<Message>) {
        let x = self.nodes.last().map_or("image".into(), |(_, _, y, _)| y.clone());
        let inputs = [x].into_iter().chain(constants.iter().cloned()).collect();
        self.nodes.push((op, inputs, format!("y{}", self.nodes.len()), attributes));
    }

    /// Puts an operator before the one of number `at`.
    fn insert(&mut self, at: usize, op: &'static str, constants: &[&str]) {
        let x = self.nodes[at].1[0].clone();
        self.nodes[at].1[0] = format!("inserted {at}");
        let inputs = [x].into_iter().chain(constants.iter().map(|name| (*name).into())).collect();
        self.nodes.insert(at, (op, inputs, format!("inserted {at}"), vec![]));
    }

    fn find(&self, op: &str) -> usize {
        self.nodes.iter().position(|(is, ..)| *is == op).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut graph = Message::default();
        for (op, inputs, output, attributes) in &self.nodes {
            let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
            let node = node.text(2, output).text(4, op);
            let copied = |message: &Message| Message::default().raw(5, message.bytes());
            let node = attributes.iter().fold(node, |node, it| node.then(copied(it)));
            graph = graph.message(1, node);
        }
        for constant in &self.constants {
            graph = graph.raw(5, constant.bytes());
        }
        let dims = self.input.iter().fold(Message::default(), |shape, dim| {
            shape.message(1, Message::default().int(1, *dim))
        });
        let of_tensor = Message::default().int(1, 1).message(2, dims);
        let value = Message::default().text(1, "image");
        let value = value.message(2, Message::default().message(1, of_tensor));
        let graph = graph.message(11, value);
        Message::default().int(1, 8).text(2, "another").message(7, graph).bytes().to_vec()
    }
}

#[test]
fn models_of_this_crate_come_back_as_they_were() {
    let scratch = Scratch::new();
    for (arch, batch_norm, avg_pool) in [
        (Arch::Vgg11, false, None),
        (Arch::Vgg11Lrn, false, None),
        (Arch::Vgg13, true, Some(1)),
        (Arch::Vgg16C, true, None),
        (Arch::Vgg19, false, Some(2)),
        ("[[3], [4, 5]]".parse().unwrap(), true, None),
    ] {
        let side = if matches!(arch, Arch::Blocks(_)) { 12 } else { 128 };
        let input = [1, side, side];
        let vgg = VggConfig { arch, batch_norm, avg_pool, input, ..config() };
        // Widths of blocks are theirs.
        let width = if matches!(vgg.arch, Arch::Blocks(_)) { 1.0 } else { vgg.width };
        let vgg = VggConfig { width, ..vgg };
        let mut images = Input::unnormalized(1, side, side);
        (images.mean, images.short_side) = (vec![0.25], Some(150));
        let checkpoint = Checkpoint {
            params: params(&vgg),
            vgg: vgg.clone(),
            input: images.clone(),
            classes: ["a", "b", "c", "d", "e", "f", "g"].map(String::from).to_vec(),
            moments: Default::default(),
            unaveraged: None,
            progress: Progress::default(),
            run: serde_json::Value::Null,
        };
        onnx::save(&scratch.path, &checkpoint).unwrap();
        let bytes = fs::read(&scratch.path).unwrap();
        let read = scratch.read(&bytes, &vgg.arch).unwrap();
        assert_eq!(read, (vgg.clone(), checkpoint.params));
        let file = WeightFile::open(&scratch.path).unwrap();
        assert_eq!(file.input(vgg.input), Some(Input { turned: true, ..images }));
        assert_eq!(file.classes(), checkpoint.classes);
    }
}

#[test]
fn channels_last_and_transposed_weights() {
    let scratch = Scratch::new();
    let params = params(&config());
    let mut model = Model::channels_last(&params);
    let read = |model: &Model| scratch.read(&model.bytes(), &Arch::Vgg11).unwrap();
    assert_eq!(read(&model), (config(), params.clone()));

    let pooled = VggConfig { avg_pool: Some(1), ..config() };
    let of_pooled = self::params(&pooled);
    assert_eq!(read(&Model::channels_last_of(&pooled, &of_pooled)), (pooled, of_pooled));

    // Constants among the operators, one that passes through another operator, and what does nothing.
    let constant = model.constants.remove(1);
    let value = Message::default().text(1, "value").raw(5, constant.bytes());
    model.nodes.insert(0, ("Constant", vec![], "features.0:b".into(), vec![value]));
    let conv = model.find("Conv");
    model.nodes[conv].1[2] = "passed".into();
    let passed = ("Identity", vec!["features.0:b".into()], "passed".into(), vec![]);
    model.nodes.insert(0, passed);
    model.nodes.push(("Shape", vec!["image".into()], "shape".into(), vec![]));
    let flat = model.find("Reshape");
    model.insert(flat + 1, "Dropout", &[]);
    assert_eq!(read(&model), (config(), params.clone()));

    // Numbers as half floats, packed, and in a file beside the model.
    let weight = params.get("features.0.weight").unwrap();
    let halves: Vec<u8> =
        weight.data().iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect();
    let packed: Vec<u8> = weight.data().iter().flat_map(|x| x.to_le_bytes()).collect();
    let (name, dims) = ("features.0:w", weight.dims());
    model.constants[0] = named(name, dims, 1).raw(4, &packed);
    assert_eq!(read(&model).1, params);
    model.constants[0] = named(name, dims, 10).raw(9, &halves);
    let rounded = read(&model).1;
    let rounded = rounded.get("features.0.weight").unwrap().data();
    assert!(
        rounded.iter().zip(weight.data()).all(|(half, x)| (half - x).abs() <= x.abs() / 2048.0)
    );
    let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let beside = |name_: &str, offset: &str, len: &str| {
        let entries = [("location", name_), ("offset", offset), ("length", len)];
        let tensor = named(name, dims, 1).int(14, 1);
        entries
            .into_iter()
            .fold(tensor, |tensor, (key, value)| tensor.message(13, entry(key, value)))
    };
    let len = packed.len().to_string();
    fs::write(scratch.folder.path().join("network.onnx.data"), [&[0; 8][..], &packed].concat())
        .unwrap();
    model.constants[0] = beside("./network.onnx.data", "8", &len);
    assert_eq!(read(&model).1, params);
    for (tensor, reason) in [
        (beside("network.onnx.data", "9", &len), "is beyond the end of network.onnx.data"),
        (beside("nothing", "0", &len), "is in the file nothing, which belongs beside the model"),
        (
            beside("../network.onnx", "0", &len),
            "is in \"../network.onnx\", which is no file in the",
        ),
        (named(name, dims, 7).raw(9, &packed), "is of no type that weights have"),
        (named(name, dims, 1), "has no numbers"),
        (named(name, dims, 1).float(4, 1.0), "has its numbers one by one"),
        (named(name, dims, 1).raw(9, &packed[4..]), "beyond its storage of"),
    ] {
        model.constants[0] = tensor;
        let told = scratch.refused(&model);
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn what_is_no_vgg_is_refused() {
    let scratch = Scratch::new();
    let model = Model::channels_last(&params(&config()));
    let with = |change: &dyn Fn(&mut Model)| {
        let mut model = model.clone();
        change(&mut model);
        scratch.refused(&model)
    };
    let told = with(&|model| {
        let conv = model.find("Conv");
        model.insert(conv, "Sub", &["features.0:b"]);
    });
    assert_eq!(
        told,
        "its operator Sub is none of a VGG's, before the first convolution: export the network without it"
    );
    let told = with(&|model| {
        let conv = model.find("Conv");
        model.nodes[conv].3.push(ints("strides", &[2, 2]));
    });
    assert!(told.starts_with("a convolution of 3×3 with strides [2, 2]"), "{told}");
    let told = with(&|model| {
        let pool = model.find("MaxPool");
        model.nodes[pool].3[0] = ints("kernel_shape", &[3, 3]);
    });
    assert_eq!(told, "its pools are not of 2×2 as a VGG's");
    let told = with(&|model| {
        let pool = model.find("MaxPool");
        model.insert(pool, "Sigmoid", &[]);
    });
    assert_eq!(told, "its operator Sigmoid is none of a VGG's");
    let told = with(&|model| {
        let shortcut = ("Relu", vec!["y0".into()], "shortcut".into(), vec![]);
        model.nodes.push(shortcut);
    });
    assert_eq!(told, "two operators take \"y0\": it has branches");
    let told = with(&|model| {
        let conv = model.find("Conv");
        model.nodes[conv].1[1] = "quantised".into();
        model.nodes.push(("DequantizeLinear", vec![], "quantised".into(), vec![]));
    });
    assert!(told.starts_with("a weight in it is what DequantizeLinear makes"), "{told}");
    let told = with(&|model| model.constants.truncate(1));
    assert_eq!(told, "its weight \"features.0:b\" is missing");
    let told = with(&|model| {
        // The last one's output is what goes in.
        let last = model.nodes.len() - 1;
        model.nodes[last].2 = "image".into();
    });
    assert_eq!(told, "its operators make a circle");
    // Its weights are those of a VGG, and the last maps are averaged where it takes their most.
    let pool = model.nodes.iter().rposition(|(op, ..)| *op == "MaxPool").unwrap();
    let told = with(&|model| model.nodes[pool].0 = "AveragePool");
    assert_eq!(told, "the file's network has 4 max-pools, this one 5");
    let relu = model.nodes.iter().rposition(|(op, ..)| *op == "Relu").unwrap();
    let told = with(&|model| model.nodes[relu].0 = "Identity");
    assert_eq!(told, "no ReLU is before one of its fully connected layers");
    let told = with(&|model| model.nodes.last_mut().unwrap().0 = "Relu");
    assert_eq!(told, "its last layer is followed by a ReLU: it tells no classes");
    let told = with(&|model| model.nodes.clear());
    assert_eq!(told, "its graph has no convolution");
    // A network of another order would be another network.
    let told = with(&|model| {
        let flat = model.nodes.iter().rposition(|(op, ..)| *op == "Transpose").unwrap();
        model.nodes[flat].3 = vec![ints("perm", &[0, 3, 2, 1])];
    });
    assert_eq!(told, "its operator Transpose is none of a VGG's");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing panics, and nothing takes more memory than the file has bytes.
    #[test]
    fn damage_is_no_panic(
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = Model::channels_last(&params(&config())).bytes();
        // Most of it is numbers: the operators are in front.
        let small = 4096.min(bytes.len());
        for (at, flip) in flips {
            bytes[at.index(small)] ^= flip;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Scratch::new().read(&bytes, &Arch::Vgg11);
    }
}
