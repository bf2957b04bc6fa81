//! The graph of an ONNX model: operators, constants, and what goes in. Numbers of tensors are not read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use safetensors::Dtype;
use vgg_tensor::Result;

use super::wire::{Fields, Value, few, ints, text};
use crate::weights::source::{ITSELF, Source, Storage, bytes_each};

/// More operators or constants than a network here has.
const MAX_PARTS: usize = 1 << 16;

// Numbers of fields in ONNX's schema, `onnx.proto`.
mod field {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const MODEL_METADATA: u64 = 14;
    pub(super) const GRAPH_NODE: u64 = 1;
    pub(super) const GRAPH_INITIALIZER: u64 = 5;
    pub(super) const GRAPH_INPUT: u64 = 11;
}

/// A model.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Tensors that are given, by the names of their values.
    pub(super) constants: HashMap<String, Constant>,
    /// What goes in.
    pub(super) inputs: Vec<Input>,
    /// What the model says of itself.
    pub(super) metadata: HashMap<String, String>,
}

/// An operator.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) op: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    attributes: HashMap<String, Attribute>,
}

#[derive(Debug, Default)]
struct Attribute {
    int: Option<i64>,
    float: Option<f32>,
    ints: Vec<i64>,
    text: Option<String>,
    tensor: Option<Constant>,
}

/// A value that goes in, and its dimensions, as far as they are given.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dims: Vec<Option<usize>>,
}

/// A tensor that is given.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    /// Where its numbers are, or why they cannot be read.
    pub(super) storage: Result<Storage, String>,
}

impl Node {
    /// The whole number that an attribute is.
    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attributes.get(name)?.int
    }

    /// The number that an attribute is.
    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.attributes.get(name)?.float
    }

    /// The whole numbers that an attribute is.
    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        Some(&self.attributes.get(name)?.ints)
    }

    /// The text that an attribute is.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.text.as_deref()
    }
}

impl Graph {
    pub(super) fn read(source: &mut Source) -> Result<Self> {
        let whole = 0..source.len();
        let mut messages = Vec::new();
        let mut graph = Self::default();
        for field in Fields::new(source, whole) {
            match field? {
                (field::MODEL_GRAPH, Value::Bytes(bytes)) => messages.push(bytes),
                (field::MODEL_METADATA, Value::Bytes(bytes)) => {
                    let (key, value) = pair(source, bytes)?;
                    graph.metadata.insert(key, value);
                }
                _ => {}
            }
        }
        let [message] = &messages[..] else {
            return Err(source.error("an ONNX model has one graph, and this has none or several"));
        };
        let mut parts = Vec::new();
        for field in Fields::new(source, message.clone()) {
            if let (number, Value::Bytes(bytes)) = field? {
                parts.push((number, bytes));
            }
            if parts.len() > MAX_PARTS {
                return Err(source.error("an ONNX model of more operators than a VGG has"));
            }
        }
        for (number, bytes) in parts {
            match number {
                field::GRAPH_NODE => graph.add(node(source, bytes)?),
                field::GRAPH_INITIALIZER => {
                    let (name, constant) = tensor(source, bytes)?;
                    graph.constants.insert(name, constant);
                }
                field::GRAPH_INPUT => graph.inputs.push(input(source, bytes)?),
                _ => {}
            }
        }
        // Models of before 2019 list all constants among them.
        let constants: HashSet<&String> = graph.constants.keys().collect();
        graph.inputs.retain(|input| !constants.contains(&input.name));
        Ok(graph)
    }

    /// Takes an operator for a constant where it is one.
    fn add(&mut self, mut node: Node) {
        let tensor = node.attributes.get_mut("value").and_then(|value| value.tensor.take());
        match (&*node.op, tensor, node.outputs.first()) {
            ("Constant", Some(tensor), Some(name)) => {
                self.constants.insert(name.clone(), tensor);
            }
            _ => self.nodes.push(node),
        }
    }
}

fn node(source: &mut Source, bytes: Range<u64>) -> Result<Node> {
    let mut node = Node::default();
    let mut attributes = Vec::new();
    for field in Fields::new(source, bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => node.inputs.push(text(source, bytes)?),
            (2, Value::Bytes(bytes)) => node.outputs.push(text(source, bytes)?),
            (4, Value::Bytes(bytes)) => node.op = text(source, bytes)?,
            (5, Value::Bytes(bytes)) => attributes.push(bytes),
            _ => {}
        }
        few(source, &node.inputs)?;
        few(source, &node.outputs)?;
        few(source, &attributes)?;
    }
    for bytes in attributes {
        let (name, attribute) = attribute(source, bytes)?;
        node.attributes.insert(name, attribute);
    }
    Ok(node)
}

fn attribute(source: &mut Source, bytes: Range<u64>) -> Result<(String, Attribute)> {
    let (mut name, mut attribute, mut constant) = (String::new(), Attribute::default(), None);
    for field in Fields::new(source, bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => name = text(source, bytes)?,
            (2, value) => attribute.float = value.float(),
            (3, value) => attribute.int = value.int(),
            (4, Value::Bytes(bytes)) => attribute.text = Some(text(source, bytes)?),
            (5, value) => constant = value.bytes(),
            (8, value) => ints(source, &value, &mut attribute.ints)?,
            _ => {}
        }
    }
    if let Some(bytes) = constant {
        attribute.tensor = Some(tensor(source, bytes)?.1);
    }
    Ok((name, attribute))
}

/// A tensor's name, and where it is.
fn tensor(source: &mut Source, bytes: Range<u64>) -> Result<(String, Constant)> {
    let (mut name, mut dims, mut dtype, mut numbers) = (String::new(), vec![], None, None);
    let (mut external, mut is_external, mut one_by_one) = (HashMap::new(), false, false);
    for field in Fields::new(source, bytes) {
        match field? {
            (1, value) => ints(source, &value, &mut dims)?,
            (2, value) => dtype = value.int(),
            (8, Value::Bytes(bytes)) => name = text(source, bytes)?,
            // Numbers as bytes, or packed as f32 or f64.
            (4 | 9 | 10, Value::Bytes(bytes)) => numbers = Some(bytes),
            (4 | 5 | 7 | 10 | 11, _) => one_by_one = true,
            (13, Value::Bytes(bytes)) => external.extend([pair(source, bytes)?]),
            (14, value) => is_external = value.int() == Some(1),
            _ => {}
        }
    }
    let dims: Option<Vec<usize>> = dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let Some(dims) = dims else {
        return Err(source.error(format!("{name} has a dimension below 0: damaged")));
    };
    let dtype = match dtype {
        Some(1) => Ok(Dtype::F32),
        Some(10) => Ok(Dtype::F16),
        Some(11) => Ok(Dtype::F64),
        Some(16) => Ok(Dtype::BF16),
        _ => Err("is of no type that weights have: f32, f64, f16 and bf16 are read".to_owned()),
    };
    let storage = dtype.and_then(|dtype| {
        let (part, bytes) = match (is_external, numbers) {
            (true, _) => beside(source, &external)?,
            (false, Some(bytes)) => (ITSELF, bytes),
            (false, None) if one_by_one => {
                return Err("has its numbers one by one, which is not read".into());
            }
            (false, None) => return Err("has no numbers".into()),
        };
        let len = (bytes.end - bytes.start) as usize / bytes_each(dtype);
        Ok(Storage { dtype, part, start: bytes.start, len, entry: None })
    });
    Ok((name, Constant { dims, storage }))
}

/// The bytes of a tensor in a file beside the model.
fn beside(
    source: &mut Source,
    external: &HashMap<String, String>,
) -> Result<(usize, Range<u64>), String> {
    let given = |key: &str| external.get(key).map(String::as_str);
    let name = given("location").unwrap_or_default();
    let name = name.strip_prefix("./").unwrap_or(name);
    // Nothing else of the disk is a model's business.
    if name.is_empty() || name == ".." || name.contains(['/', '\\', ':']) {
        return Err(format!("is in {name:?}, which is no file in the model's folder"));
    }
    let part = source.beside(name).map_err(|error| {
        format!("is in the file {name}, which belongs beside the model: {error}")
    })?;
    let number = |key: &str| given(key).map(|text| text.trim().parse::<u64>().ok());
    let all = source.len_of(part);
    let start = number("offset").unwrap_or(Some(0));
    let end = start.and_then(|start| match number("length") {
        Some(len) => start.checked_add(len?),
        None => Some(all),
    });
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= all => Ok((part, start..end)),
        _ => Err(format!("is beyond the end of {name}, which has {all} bytes: it is cut short")),
    }
}

/// A key and its value.
fn pair(source: &Source, bytes: Range<u64>) -> Result<(String, String)> {
    let mut pair = [String::new(), String::new()];
    for field in Fields::new(source, bytes) {
        if let (number @ (1 | 2), Value::Bytes(bytes)) = field? {
            pair[number as usize - 1] = text(source, bytes)?;
        }
    }
    Ok(pair.into())
}

/// A value that goes in: its name, and the dimensions in its type.
fn input(source: &Source, bytes: Range<u64>) -> Result<Input> {
    let mut input = Input::default();
    for field in Fields::new(source, bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => input.name = text(source, bytes)?,
            (2, Value::Bytes(bytes)) => {
                // A type, of a tensor, whose shape has dimensions.
                for shape in within(source, bytes, &[1, 2])? {
                    for dim in within(source, shape, &[1])? {
                        let value = Fields::new(source, dim).find_map(|field| match field {
                            Ok((1, value)) => value.int().and_then(|n| usize::try_from(n).ok()),
                            _ => None,
                        });
                        input.dims.push(value.filter(|n| *n > 0));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(input)
}

/// The messages in a message's fields of these numbers, one in the other.
fn within(source: &Source, bytes: Range<u64>, numbers: &[u64]) -> Result<Vec<Range<u64>>> {
    let mut messages = vec![bytes];
    for wanted in numbers {
        let mut inner = Vec::new();
        for message in messages {
            for field in Fields::new(source, message) {
                if let (number, Value::Bytes(bytes)) = field?
                    && number == *wanted
                {
                    inner.push(bytes);
                }
            }
        }
        messages = inner;
    }
    Ok(messages)
}
