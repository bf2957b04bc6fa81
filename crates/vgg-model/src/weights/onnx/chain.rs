//! A graph followed from its input to its output.

use std::borrow::Cow;
use std::collections::HashMap;

use vgg_tensor::spec::BatchNorm2d;

use super::graph::{Constant, Graph, Node};
use crate::weights::source::{Located, contiguous_strides};

/// Why a graph is none of a VGG.
type Result<T> = std::result::Result<T, String>;

/// The channels of a value go after its rows and columns, and back before them.
const TO_CHANNELS_LAST: [i64; 4] = [0, 2, 3, 1];
const TO_CHANNELS_FIRST: [i64; 4] = [0, 3, 1, 2];

/// A graph, as far as it was followed, and what was found.
pub(super) struct Chain<'a> {
    graph: &'a Graph,
    /// The weights, by torchvision's names.
    pub(super) tensors: Vec<Located>,
    /// The side of the images that go in, if it is given.
    pub(super) side: Option<usize>,
    /// The side of the maps that an average pool leaves, if there is one that does anything.
    pub(super) avg_pool: Option<usize>,
    /// Max-pools so far.
    pub(super) max_pools: usize,
    /// Rows and columns of the value that was reached, if they are known.
    map: Option<[usize; 2]>,
    /// Channels of the last convolution.
    channels: usize,
    /// Modules of torchvision's `features` so far …
    features: usize,
    /// … and fully connected layers.
    linears: usize,
    /// Whether the value's channels go last.
    channels_last: bool,
    /// Whether a ReLU followed the last layer.
    is_rectified: bool,
    /// Whether the last operator was a product whose bias is still to be added.
    lacks_bias: bool,
}

impl<'a> Chain<'a> {
    pub(super) fn follow(graph: &'a Graph) -> Result<Self> {
        let [input] = &graph.inputs[..] else {
            return Err(format!(
                "its graph has {} inputs, and a VGG's has one",
                graph.inputs.len()
            ));
        };
        let mut consumers: HashMap<&str, Vec<&Node>> = HashMap::new();
        for node in &graph.nodes {
            // Batches of any size are reshaped by what their shape was.
            for input in node.inputs.iter().filter(|_| node.op != "Shape") {
                consumers.entry(input).or_default().push(node);
            }
        }
        let mut chain = Chain {
            graph,
            tensors: vec![],
            side: None,
            avg_pool: None,
            max_pools: 0,
            map: None,
            channels: 0,
            features: 0,
            linears: 0,
            channels_last: false,
            is_rectified: false,
            lacks_bias: false,
        };
        if let [_, a, b, c] = input.dims[..] {
            chain.channels_last = is_one_of(&consumers, &input.name, TO_CHANNELS_FIRST);
            let map = if chain.channels_last { a.zip(b) } else { b.zip(c) };
            chain.map = map.map(Into::into);
            chain.side = map.filter(|(h, w)| h == w).map(|(side, _)| side);
        }
        let mut x = input.name.as_str();
        // A value that is made of itself would never end.
        for _ in 0..=graph.nodes.len() {
            let node = match consumers.get(x).map(Vec::as_slice) {
                None => return chain.done(),
                Some([node]) => *node,
                Some(_) => return Err(format!("two operators take {x:?}: it has branches")),
            };
            chain.node(node, x)?;
            x = node.outputs.first().ok_or_else(|| format!("a {} gives nothing", node.op))?;
        }
        Err("its operators make a circle".into())
    }

    fn done(self) -> Result<Self> {
        if self.tensors.is_empty() {
            return Err("its graph has no convolution".into());
        }
        match self.linears > 0 && self.is_rectified {
            true => Err("its last layer is followed by a ReLU: it tells no classes".into()),
            false => Ok(self),
        }
    }

    /// Goes through an operator that takes `x`.
    fn node(&mut self, node: &Node, x: &str) -> Result<()> {
        let takes =
            |i: usize| node.inputs.get(i).map(String::as_str).filter(|name| !name.is_empty());
        let refused = || {
            let at = match (self.features, self.linears) {
                (0, 0) => ", before the first convolution: export the network without it",
                _ => "",
            };
            format!("its operator {} is none of a VGG's{at}", node.op)
        };
        if takes(0) != Some(x) && node.op != "Add" {
            return Err(refused());
        }
        let lacked_bias = std::mem::take(&mut self.lacks_bias);
        match &*node.op {
            "Conv" => self.conv(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "LRN" if self.linears == 0 => self.features += 1,
            "Relu" => {
                self.is_rectified = true;
                self.features += usize::from(self.linears == 0);
            }
            "MaxPool" => self.max_pool(node)?,
            "AveragePool" => {
                let kernel = node.ints("kernel_shape").unwrap_or_default();
                let is_plain = kernel == node.ints("strides").unwrap_or(&[1; 2])
                    && node.ints("pads").is_none_or(|pads| pads.iter().all(|pad| *pad == 0));
                let [window, other] = kernel else { return Err(refused()) };
                if !is_plain || window != other {
                    return Err("its average pool has windows that overlap or have margins".into());
                }
                self.average_pool(usize::try_from(*window).unwrap_or_default())?;
            }
            // Over all of a map, whatever its size.
            "GlobalAveragePool" | "ReduceMean" if self.map != Some([1; 2]) => {
                (self.map, self.avg_pool) = (Some([1; 2]), Some(1));
            }
            "GlobalAveragePool" | "ReduceMean" => {}
            "Gemm" => {
                let is_plain = node.float("alpha").is_none_or(|alpha| alpha == 1.0)
                    && node.float("beta").is_none_or(|beta| beta == 1.0)
                    && node.int("transA").unwrap_or(0) == 0;
                let (Some(weight), true) = (takes(1), is_plain) else { return Err(refused()) };
                let outputs = self.linear(weight, node.int("transB") == Some(1))?;
                self.bias(takes(2), &self.last_linear("bias"), outputs)?;
            }
            "MatMul" => {
                let outputs = self.linear(takes(1).ok_or_else(refused)?, false)?;
                self.bias(None, &self.last_linear("bias"), outputs)?;
                self.lacks_bias = true;
            }
            "Add" if lacked_bias => {
                let bias = if takes(0) == Some(x) { takes(1) } else { takes(0) };
                // Instead of none.
                self.tensors.pop();
                self.tensor(bias.ok_or_else(refused)?, &self.last_linear("bias"))?;
            }
            "Transpose" => match node.ints("perm") {
                Some(perm) if perm == TO_CHANNELS_LAST && !self.channels_last => {
                    self.channels_last = true;
                }
                Some(perm) if perm == TO_CHANNELS_FIRST && self.channels_last => {
                    self.channels_last = false;
                }
                _ => return Err(refused()),
            },
            "Flatten" | "Reshape" | "Squeeze" if self.features > 0 => {}
            "Dropout" | "Identity" | "Cast" | "Softmax" | "LogSoftmax" => {}
            _ => return Err(refused()),
        }
        Ok(())
    }

    /// A convolution, or a fully connected layer that is written as one: over all of its maps.
    fn conv(&mut self, node: &Node) -> Result<()> {
        let weight = node.inputs.get(1).map_or("", String::as_str);
        let dims = &self.constant(weight)?.dims;
        let [c_out, _, h, w] = dims[..] else {
            return Err(format!("a convolution's weight has the shape {dims:?}"));
        };
        let bias = node.inputs.get(2).filter(|name| !name.is_empty());
        let pads = match node.text("auto_pad") {
            Some("SAME_UPPER" | "SAME_LOWER") => Cow::Owned(vec![(h as i64 - 1) / 2; 4]),
            _ => Cow::Borrowed(node.ints("pads").unwrap_or(&[0; 4])),
        };
        let all_are = |name: &str, value: i64| {
            node.ints(name).is_none_or(|numbers| numbers.iter().all(|number| *number == value))
        };
        let is_plain =
            all_are("strides", 1) && all_are("dilations", 1) && node.int("group").unwrap_or(1) == 1;
        let is_padded = |by: usize| pads.iter().all(|pad| *pad == by as i64);
        let over_all = match self.map {
            Some(map) => map == [h, w],
            // Those of the paper's head have 7×7 weights.
            None => h > 3 || self.linears > 0,
        };
        let name = match (is_plain, h == w && is_padded((h - 1) / 2)) {
            (true, _) if over_all && is_padded(0) => {
                self.next_linear()?;
                self.map = Some([1; 2]);
                self.last_linear("")
            }
            (true, true) if self.linears == 0 && (h == 3 || h == 1) => {
                self.is_rectified = false;
                self.channels = c_out;
                self.features += 1;
                format!("features.{}.", self.features - 1)
            }
            _ => {
                return Err(format!(
                    "a convolution of {h}×{w} with strides {:?}, pads {pads:?} and {} groups is none of a \
                     VGG's",
                    node.ints("strides").unwrap_or(&[1; 2]),
                    node.int("group").unwrap_or(1),
                ));
            }
        };
        self.tensor(weight, &format!("{name}weight"))?;
        self.bias(bias.map(String::as_str), &format!("{name}bias"), c_out)
    }

    fn batch_norm(&mut self, node: &Node) -> Result<()> {
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        if (epsilon - BatchNorm2d::EPSILON).abs() > 1e-9 {
            return Err(format!(
                "its normalisations have an epsilon of {epsilon}, and networks here have {}",
                BatchNorm2d::EPSILON
            ));
        }
        let kinds = ["weight", "bias", "running_mean", "running_var"];
        for (kind, input) in kinds.into_iter().zip(node.inputs.iter().skip(1)) {
            self.tensor(input, &format!("features.{}.{kind}", self.features))?;
        }
        self.features += 1;
        Ok(())
    }

    fn max_pool(&mut self, node: &Node) -> Result<()> {
        let is =
            |name: &str, value: i64| node.ints(name).is_some_and(|numbers| numbers == [value; 2]);
        let has_margin = node.ints("pads").is_some_and(|pads| pads.iter().any(|pad| *pad != 0));
        if !is("kernel_shape", 2) || !is("strides", 2) || has_margin || self.linears > 0 {
            return Err("its pools are not of 2×2 as a VGG's".into());
        }
        self.map = self.map.map(|map| map.map(|side| side / 2));
        self.max_pools += 1;
        self.features += 1;
        Ok(())
    }

    /// An average pool of square windows of this side.
    fn average_pool(&mut self, window: usize) -> Result<()> {
        if window == 1 {
            return Ok(());
        }
        match self.map {
            Some([h, w]) if h == w && window > 0 && h % window == 0 => {
                self.map = Some([h / window; 2]);
                self.avg_pool = Some(h / window);
                Ok(())
            }
            _ => Err(format!("its average pool of {window}×{window} does not divide the maps")),
        }
    }

    /// A fully connected layer, whose weight's outputs go first or last; how many outputs it has.
    fn linear(&mut self, weight: &str, outputs_first: bool) -> Result<usize> {
        let Constant { dims, storage } = self.constant(weight)?;
        let [first, last] = dims[..] else {
            return Err(format!("a fully connected layer's weight has the shape {dims:?}"));
        };
        let [outputs, inputs] = if outputs_first { [first, last] } else { [last, first] };
        let [to_output, to_input] = if outputs_first { [inputs, 1] } else { [1, outputs] };
        let is_first = self.linears == 0;
        self.next_linear()?;
        let name = self.last_linear("weight");
        let mut located = |dims: &[usize], strides: &[usize]| {
            let storage = storage.clone().map_err(|reason| format!("{name} {reason}"))?;
            self.tensors.push(Located::new(&name, storage, 0, dims, strides)?);
            Ok(outputs)
        };
        if !(is_first && self.channels_last) {
            return located(&[outputs, inputs], &[to_output, to_input]);
        }
        // Its inputs are the columns of rows of pixels of channels.
        let c = self.channels;
        let pixels = inputs.checked_div(c).unwrap_or_default();
        let side = pixels.isqrt();
        if side * side * c != inputs {
            return Err(format!("{name} has {inputs} inputs, which are no square maps"));
        }
        let strides = [to_output, to_input, side * c * to_input, c * to_input];
        located(&[outputs, c, side, side], &strides)
    }

    /// Counts a fully connected layer, which takes what a ReLU gives.
    fn next_linear(&mut self) -> Result<()> {
        if !self.is_rectified {
            return Err("no ReLU is before one of its fully connected layers".into());
        }
        self.is_rectified = false;
        self.linears += 1;
        Ok(())
    }

    /// The name of a parameter of the fully connected layer that was met last: torchvision has a ReLU and a
    /// dropout between one and the next.
    fn last_linear(&self, kind: &str) -> String {
        format!("classifier.{}.{kind}", 3 * (self.linears - 1))
    }

    /// Notes a layer's bias, which exporters leave out where it is 0.
    fn bias(&mut self, constant: Option<&str>, name: &str, outputs: usize) -> Result<()> {
        let Some(constant) = constant else {
            self.tensors.push(Located::no_bias(name, outputs));
            return Ok(());
        };
        self.tensor(constant, name)
    }

    /// Notes a constant as the parameter `name`.
    fn tensor(&mut self, constant: &str, name: &str) -> Result<()> {
        let Constant { dims, storage } = self.constant(constant)?;
        let storage = storage.clone().map_err(|reason| format!("{name} {reason}"))?;
        self.tensors.push(Located::new(name, storage, 0, dims, &contiguous_strides(dims))?);
        Ok(())
    }

    /// The constant that a value is.
    fn constant(&self, name: &str) -> Result<&'a Constant> {
        let mut name = name;
        // Exporters let one that is used twice pass through operators that do nothing.
        for _ in 0..=self.graph.nodes.len() {
            if let Some(constant) = self.graph.constants.get(name) {
                return Ok(constant);
            }
            let makes = |node: &&Node| node.outputs.iter().any(|output| output == name);
            match self.graph.nodes.iter().find(makes) {
                Some(Node { op, inputs, .. }) if op == "Identity" && inputs.len() == 1 => {
                    name = &inputs[0];
                }
                Some(Node { op, .. }) => {
                    return Err(format!("a weight in it is what {op} makes: it may be quantised"));
                }
                None => return Err(format!("its weight {name:?} is missing")),
            }
        }
        Err("its operators make a circle".into())
    }
}

/// Whether all that take a value transpose it so.
fn is_one_of(consumers: &HashMap<&str, Vec<&Node>>, name: &str, perm: [i64; 4]) -> bool {
    let nodes = consumers.get(name).map(Vec::as_slice).unwrap_or_default();
    !nodes.is_empty()
        && nodes.iter().all(|node| node.op == "Transpose" && node.ints("perm") == Some(&perm))
}
