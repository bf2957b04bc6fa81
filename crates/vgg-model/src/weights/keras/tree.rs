//! The groups and arrays of an HDF5 file, none of whose numbers are read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, FloatingPointLayout, FormatError, Layout,
};
use safetensors::Dtype;

use crate::weights::source::{Entry, ITSELF, Source, Storage, bytes_each};

/// Bytes of groups, headers and attributes that are read of a file: hundreds of times what a network's
/// has. What a file makes the reader do, in time and in memory, it pays for with bytes that are read,
/// so groups that are within themselves, or are said to be huge, end here.
const MOST_READ: u64 = 32 << 20;
/// More groups within groups than a network has.
const MOST_DEEP: usize = 16;
/// More groups and arrays than a network has.
const MOST_OBJECTS: usize = 20_000;

/// What a file has.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) groups: Vec<Group>,
    pub(super) arrays: Vec<Array>,
    /// The network's layers as JSON, if the file says them.
    pub(super) config: Option<String>,
}

/// A group, by the names that lead to it, with slashes between them.
pub(super) struct Group {
    pub(super) path: String,
    /// What Keras 3 says that its layer is called.
    pub(super) name: Option<String>,
    /// What Keras 1 and 2 say is in it, in the network's order: layers, or a layer's arrays.
    pub(super) order: Vec<String>,
}

/// An array, by the names that lead to it.
pub(super) struct Array {
    pub(super) path: String,
    pub(super) dims: Vec<usize>,
    /// Where its numbers are, or why they cannot be read.
    pub(super) storage: Result<Storage, String>,
}

impl Tree {
    /// Of a file, or of an archive's entry.
    pub(super) fn read(source: &Source, entry: Option<&Entry>) -> Result<Self, String> {
        let (start, len) = entry.map_or((0, source.len()), |entry| (entry.start, entry.len));
        let file = File::open(source.path()).map_err(|error| error.to_string())?;
        let bytes = Bytes { file, start, len, left: AtomicU64::new(MOST_READ) };
        let file = hdf5_pure::File::from_source(bytes).map_err(refused)?;
        let mut tree = Self::default();
        let place = |dataset: &Dataset| place(dataset, start, len, entry);
        tree.walk(&file.root(), String::new(), 0, &place)?;
        Ok(tree)
    }

    fn walk(
        &mut self,
        group: &hdf5_pure::Group,
        path: String,
        depth: usize,
        place: &impl Fn(&Dataset) -> Result<(Vec<usize>, Result<Storage, String>), String>,
    ) -> Result<(), String> {
        if depth > MOST_DEEP {
            return Err(format!("its groups are more than {MOST_DEEP} deep: it is of no network"));
        }
        let attributes = group.attrs().map_err(refused)?;
        let texts = |name| attributes.get(name).and_then(AttrValue::as_strings);
        let text = |name| attributes.get(name).and_then(AttrValue::as_str).map(str::to_owned);
        if path.is_empty() {
            self.config = text("model_config");
        }
        let order = texts("layer_names").or(texts("weight_names")).unwrap_or_default().to_vec();
        let within = |name: &str| match path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        for (name, dataset) in group.iter_datasets().map_err(refused)? {
            let (dims, storage) = place(&dataset)?;
            self.arrays.push(Array { path: within(&name), dims, storage });
        }
        for (name, child) in group.iter_groups().map_err(refused)? {
            // What training keeps.
            if path.is_empty() && (name == "optimizer_weights" || name == "optimizer") {
                continue;
            }
            self.walk(&child, within(&name), depth + 1, place)?;
        }
        self.groups.push(Group { path, name: text("name"), order });
        match self.groups.len() + self.arrays.len() > MOST_OBJECTS {
            true => {
                Err(format!("it has more than {MOST_OBJECTS} groups and arrays: no network does"))
            }
            false => Ok(()),
        }
    }
}

/// What the reader says, in which there may be names of the file: as much as can be printed.
fn refused(error: hdf5_pure::Error) -> String {
    let said = error.to_string();
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("damaged, or no HDF5 file as Keras writes it: {said}")
}

/// An array's dimensions, and where its numbers are.
fn place(
    dataset: &Dataset,
    start: u64,
    len: u64,
    entry: Option<&Entry>,
) -> Result<(Vec<usize>, Result<Storage, String>), String> {
    let dims = dataset.shape().map_err(refused)?;
    let dims: Option<Vec<usize>> = dims.into_iter().map(|dim| dim.try_into().ok()).collect();
    let dims = dims.ok_or("it has an array larger than memory can be")?;
    let storage = storage(dataset, &dims, len).map(|(dtype, place, numbers)| Storage {
        part: ITSELF,
        dtype,
        start: start + place,
        len: numbers,
        entry: entry.copied(),
    });
    Ok((dims, storage))
}

/// Type, place and count of an array's numbers, all of which are in the file's `len` bytes.
fn storage(dataset: &Dataset, dims: &[usize], len: u64) -> Result<(Dtype, u64, usize), String> {
    let dtype = number_type(dataset)?;
    let numbers = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let bytes = numbers.and_then(|numbers| numbers.checked_mul(bytes_each(dtype)));
    let numbers = numbers.zip(bytes).ok_or("is larger than memory can be")?;
    match dataset.layout().map_err(refused)? {
        Layout::Contiguous { address: Some(place), size } => {
            let (numbers, bytes) = (numbers.0, numbers.1 as u64);
            let end = place.checked_add(bytes).filter(|end| *end <= len && size >= bytes);
            match end {
                Some(_) => Ok((dtype, place, numbers)),
                None => Err(format!("has the shape {dims:?}, beyond its bytes: it is damaged")),
            }
        }
        Layout::Contiguous { address: None, .. } => Err("has no numbers in the file".into()),
        _ => Err(
            "is compressed or in pieces, which is not read: `h5repack -l CONTI -f NONE FILE NEW` \
                  writes a file whose arrays are not"
                .into(),
        ),
    }
}

fn number_type(dataset: &Dataset) -> Result<Dtype, String> {
    const HALF: FloatingPointLayout = FloatingPointLayout {
        bit_offset: 0,
        bit_precision: 16,
        exponent_location: 10,
        exponent_size: 5,
        mantissa_location: 0,
        mantissa_size: 10,
        exponent_bias: 15,
    };
    const BRAIN: FloatingPointLayout = FloatingPointLayout {
        exponent_location: 7,
        exponent_size: 8,
        mantissa_size: 7,
        exponent_bias: 127,
        ..HALF
    };
    let datatype = dataset.datatype().map_err(refused)?;
    let (dtype, byte_order) = match datatype {
        Datatype::FloatingPoint { size, byte_order, layout } => {
            let dtype = match (size, layout) {
                (2, HALF) => Dtype::F16,
                (2, BRAIN) => Dtype::BF16,
                (4, FloatingPointLayout::IEEE754_BINARY32) => Dtype::F32,
                (8, FloatingPointLayout::IEEE754_BINARY64) => Dtype::F64,
                _ => {
                    return Err(format!(
                        "has floating-point numbers of {size} bytes of another kind"
                    ));
                }
            };
            (dtype, byte_order)
        }
        Datatype::FixedPoint { size, byte_order, layout } => {
            let dtype = match (size, layout.signed) {
                (1, true) => Dtype::I8,
                (1, false) => Dtype::U8,
                (2, true) => Dtype::I16,
                (2, false) => Dtype::U16,
                (4, true) => Dtype::I32,
                (4, false) => Dtype::U32,
                (8, true) => Dtype::I64,
                (8, false) => Dtype::U64,
                _ => return Err(format!("has integers of {size} bytes")),
            };
            (dtype, byte_order)
        }
        // NumPy's bfloat16 of a package of its own, which HDF5 does not know.
        Datatype::Opaque { size: 2, .. } => {
            let attributes = dataset.attrs().map_err(refused)?;
            let said = attributes.get("dtype").and_then(AttrValue::as_str);
            return match said == Some("bfloat16") {
                true => Ok(Dtype::BF16),
                false => Err("has no numbers, but bytes of an unknown meaning".into()),
            };
        }
        _ => return Err("has no numbers".into()),
    };
    match byte_order == DatatypeByteOrder::LittleEndian || bytes_each(dtype) == 1 {
        true => Ok(dtype),
        false => Err("is big-endian, which is not read: h5py writes it as `\"<f4\"`".into()),
    }
}

/// The bytes of a file, or of an archive's entry, as far as the reader may read them.
struct Bytes {
    file: File,
    start: u64,
    len: u64,
    left: AtomicU64,
}

impl Bytes {
    /// Whether the bytes are there, and there may be so many more.
    fn take(&self, offset: u64, len: usize) -> Result<(), FormatError> {
        let len = len as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(FormatError::Source("it is cut short".into()));
        }
        let take = |left: u64| left.checked_sub(len.max(1));
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let too_much = || FormatError::Source("its groups have more bytes than a network's".into());
        taken.map(drop).map_err(|_| too_much())
    }

    fn fill(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start + offset))
            .and_then(|_| file.read_exact(bytes))
            .map_err(|error| FormatError::Source(error.to_string()))
    }
}

impl hdf5_pure::Source for Bytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.take(offset, bytes.len())?;
        self.fill(offset, bytes)
    }

    /// Nothing is made room for that may not be read.
    fn read_exact_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        self.take(offset, len)?;
        let mut bytes = vec![0; len];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }
}
