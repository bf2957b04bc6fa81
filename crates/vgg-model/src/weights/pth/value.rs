//! The values that a pickle makes.

use safetensors::Dtype;

pub(super) type Id = u32;

/// A result whose error is the reason.
pub(super) type Result<T> = std::result::Result<T, String>;

/// A value that a pickle made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    /// A number that no length or offset is.
    Float,
    Text(String),
    Bytes,
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Box<StorageRef>),
    Tensor(Box<TensorRef>),
    Object(Box<Object>),
}

/// What a function or class that is not known here was to make.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// The function or class.
    pub(super) of: Id,
    /// Pairs that were put into it as into a dictionary.
    pub(super) items: Vec<(Id, Id)>,
    /// Its attributes, most often a dictionary.
    pub(super) state: Option<Id>,
}

/// What a pickle imports.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// `_rebuild_tensor` and its second version, whose further arguments do not matter here.
    RebuildTensor,
    /// `_rebuild_parameter`, or `Parameter` itself: its first argument, a tensor.
    Parameter,
    /// `_rebuild_from_type_v2`, of a tensor's subclass: a function and its arguments, which make it.
    RebuildFromType,
    Storage(Dtype),
    /// Any other, by its name, which is never followed.
    Other(Box<str>),
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Self {
        match (module, name) {
            ("collections", "OrderedDict") => return Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                return Global::RebuildTensor;
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => return Global::Parameter,
            ("torch._tensor", "_rebuild_from_type_v2") => return Global::RebuildFromType,
            _ => {}
        }
        let storage = (module == "torch").then(|| name.strip_suffix("Storage")).flatten();
        Global::Storage(match storage {
            Some("Float") => Dtype::F32,
            Some("Double") => Dtype::F64,
            Some("Half") => Dtype::F16,
            Some("BFloat16") => Dtype::BF16,
            // Counters and masks beside the weights.
            Some("Long") => Dtype::I64,
            Some("Int") => Dtype::I32,
            Some("Short") => Dtype::I16,
            Some("Char") => Dtype::I8,
            Some("Byte") => Dtype::U8,
            Some("Bool") => Dtype::BOOL,
            _ => return Global::Other(shortened(&format!("{module}.{name}")).into()),
        })
    }
}

/// How the names begin of what makes tensors, of which those of weights are known here.
pub(super) const MAKES_TENSORS: &str = "torch._utils._rebuild_";

/// Why an object is no weights, where those must be.
pub(super) fn refused(name: &str) -> String {
    // Sparse, quantised, complex, without numbers.
    let makes_tensors = name.starts_with(MAKES_TENSORS)
        || (name.starts_with("torch.") && name.ends_with("Storage"));
    let is_array =
        name.ends_with("multiarray._reconstruct") || name.ends_with("numeric._frombuffer");
    let what = match makes_tensors {
        true => "it has a tensor of a kind that no network here has",
        false if is_array => {
            "its arrays are NumPy's, which are not read: write them to safetensors"
        }
        false => "this file is not only weights, as of a `state_dict()`",
    };
    format!("it asks to run `{name}`: {what}; nothing was run")
}

/// A range of a storage, by its key in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StorageRef {
    pub(super) dtype: Dtype,
    /// A [`Value::Text`].
    pub(super) key: Id,
    /// Numbers in the whole storage.
    pub(super) len: usize,
    /// The part of it that is meant, where old files say so: first number, and how many.
    pub(super) view: Option<(usize, usize)>,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRef {
    pub(super) storage: StorageRef,
    pub(super) offset: usize,
    pub(super) dims: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Value {
    /// What it is, in a word.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a truth value",
            Value::Int(_) | Value::Float => "a number",
            Value::Text(_) => "a text",
            Value::Bytes => "bytes",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Global(_) => "a function",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
            Value::Object(_) => "an object",
        }
    }
}

/// A name to be printed: of a file's contents, not more than a line.
fn shortened(name: &str) -> String {
    const MOST: usize = 80;
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MOST).collect()
}
