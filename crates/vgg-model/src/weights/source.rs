//! A file of weights, and the tensors found in it, none of whose numbers have been read.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use vgg_tensor::{Error, Result, room_for, zeros};

use super::tensor_name::canonical;
use crate::tensor_file::{PIECE, format_error, io_error};

/// No tensor of a network has more dimensions.
const MAX_RANK: usize = 8;
/// No tensor of a network has a longer name, in bytes.
const MAX_NAME: usize = 200;

/// A file of weights and those beside it that it refers to, read by place: nothing is read that is not
/// in them, so nothing that they say takes more memory than they have bytes.
#[derive(Debug)]
pub(super) struct Source {
    /// The file itself first.
    parts: Vec<Part>,
}

/// One of the files.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Part {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(io_error(path))?;
        let len = file.metadata().map_err(io_error(path))?.len();
        Ok(Self { path: path.into(), file, len })
    }

    fn fill(&self, start: u64, bytes: &mut [u8]) -> Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(io_error(&self.path))?;
        file.read_exact(bytes).map_err(io_error(&self.path))
    }
}

/// The file itself, among the parts of a [`Source`].
pub(super) const ITSELF: usize = 0;

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { parts: vec![Part::open(path)?] })
    }

    /// The number of the file `name` beside this one, which is opened if it is not yet.
    pub(super) fn beside(&mut self, name: &str) -> Result<usize> {
        let path = self.path().with_file_name(name);
        if let Some(known) = self.parts.iter().position(|part| part.path == path) {
            return Ok(known);
        }
        self.parts.push(Part::open(&path)?);
        Ok(self.parts.len() - 1)
    }

    pub(super) fn path(&self) -> &Path {
        &self.parts[ITSELF].path
    }

    pub(super) fn len(&self) -> u64 {
        self.len_of(ITSELF)
    }

    /// Bytes of a part.
    pub(super) fn len_of(&self, part: usize) -> u64 {
        self.parts[part].len
    }

    /// The error of a file that is not as it should be.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        format_error(self.path(), reason.into())
    }

    /// The `len` bytes from `start` on.
    pub(super) fn bytes(&self, start: u64, len: u64) -> Result<Vec<u8>> {
        if start.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(self.error("it is damaged or cut short"));
        }
        let mut bytes = zeros(len as usize)?;
        self.parts[ITSELF].fill(start, &mut bytes)?;
        Ok(bytes)
    }

    /// Up to `most` bytes at the start.
    pub(super) fn head(&self, most: u64) -> Result<Vec<u8>> {
        self.bytes(0, self.len().min(most))
    }

    /// Compares the bytes of the archive's entries that `tensors` are in with their checksums.
    pub(super) fn verify<'a>(&self, tensors: impl Iterator<Item = &'a Located>) -> Result<()> {
        let mut verified = HashSet::new();
        for Located { name, entry, .. } in tensors {
            let Some(entry @ Entry { crc: Some(crc), .. }) = entry else { continue };
            if verified.insert(entry.start) && self.crc(entry)? != *crc {
                let reason = format!("{name} is damaged: its entry's checksum does not match");
                return Err(self.error(reason));
            }
        }
        Ok(())
    }

    /// The CRC-32 of an entry's bytes.
    pub(super) fn crc(&self, entry: &Entry) -> Result<u32> {
        let mut crc = crc32fast::Hasher::new();
        let (mut place, end) = (entry.start, entry.start + entry.len);
        let mut piece = vec![0; PIECE];
        while place < end {
            let bytes = &mut piece[..PIECE.min((end - place) as usize)];
            self.parts[ITSELF].fill(place, bytes)?;
            crc.update(bytes);
            place += bytes.len() as u64;
        }
        Ok(crc.finalize())
    }

    /// The numbers of `tensor`, last dimension innermost.
    pub(super) fn numbers(&self, tensor: &Located) -> Result<Vec<f32>> {
        if tensor.is_left_out {
            return zeros(tensor.span);
        }
        let Located { name, dtype, part, start, span, .. } = tensor;
        let Some(decode) = decoder(*dtype) else {
            let reason =
                format!("{name} is {dtype}, but weights are read as F32, F64, F16 or BF16");
            return Err(self.error(reason));
        };
        let size = bytes_each(*dtype);
        let mut numbers = zeros(*span)?;
        let mut piece = vec![0; PIECE];
        let mut place = *start;
        for numbers in numbers.chunks_mut(PIECE / size) {
            let bytes = &mut piece[..numbers.len() * size];
            self.parts[*part].fill(place, bytes)?;
            decode(bytes, numbers);
            place += bytes.len() as u64;
        }
        tensor.contiguous(numbers)
    }
}

/// A tensor in a file: where its numbers are. All of them are in the file, and not fewer than its
/// dimensions have, unless they are left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located {
    pub(super) name: String,
    /// The name without wrappers, by which it is looked for.
    pub(super) canonical: String,
    pub(super) dims: Vec<usize>,
    dtype: Dtype,
    /// Numbers from one index of a dimension to the next.
    strides: Vec<usize>,
    /// The file that it is in.
    part: usize,
    /// The byte in the file where its first number is.
    start: u64,
    /// Numbers from the first to the last.
    span: usize,
    /// Where its storage is, if that has a checksum of its own.
    entry: Option<Entry>,
    /// Whether it is not in the file, and all its numbers are 0.
    is_left_out: bool,
}

/// A range of numbers of one type in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    /// The file that it is in, by its number in the [`Source`].
    pub(super) part: usize,
    /// The byte in the file where it begins.
    pub(super) start: u64,
    /// Numbers in it, all of which are in the file.
    pub(super) len: usize,
    /// The archive's entry that it is.
    pub(super) entry: Option<Entry>,
}

/// Bytes of an entry of an archive, all of which are in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) len: u64,
    /// Their CRC-32, if the archive has it.
    pub(super) crc: Option<u32>,
}

impl Located {
    /// The tensor that begins `offset` numbers into `storage`.
    ///
    /// # Errors
    /// What is wrong, if it is not within its storage.
    pub(super) fn new(
        name: &str,
        storage: Storage,
        offset: usize,
        dims: &[usize],
        strides: &[usize],
    ) -> Result<Self, String> {
        // Names and shapes are printed; these would fill the screen, or do things to a terminal.
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            let start: String = name.chars().take(80).collect();
            return Err(format!("no network's tensor has such a name: {start:?}"));
        }
        if dims.len() > MAX_RANK {
            return Err(format!("{name} has {} dimensions: no parameter does", dims.len()));
        }
        let shape = format!("{name} has the shape {dims:?}");
        if dims.len() != strides.len() {
            return Err(format!("{shape} and {} strides", strides.len()));
        }
        let len = dims.iter().try_fold(1, |len: usize, dim| len.checked_mul(*dim));
        let last = dims.iter().zip(strides).try_fold(0, |last: usize, (dim, stride)| {
            last.checked_add(dim.saturating_sub(1).checked_mul(*stride)?)
        });
        let span = if len == Some(0) { Some(0) } else { last.and_then(|last| last.checked_add(1)) };
        let end = span.and_then(|span| span.checked_add(offset));
        match (len, span, end) {
            (Some(len), Some(span), Some(end)) if end <= storage.len => {
                if len > span {
                    let repeats = "which repeats numbers: no parameter does";
                    return Err(format!("{shape} with strides {strides:?}, {repeats}"));
                }
                let start = storage.start + (offset * bytes_each(storage.dtype)) as u64;
                let canonical = canonical(name);
                let (name, dims, strides) = (name.into(), dims.into(), strides.into());
                let Storage { dtype, part, entry, .. } = storage;
                let is_left_out = false;
                Ok(Self {
                    name,
                    canonical,
                    dims,
                    dtype,
                    strides,
                    part,
                    start,
                    span,
                    entry,
                    is_left_out,
                })
            }
            _ => {
                let storage = format!("its storage of {} numbers", storage.len);
                Err(format!("{shape}, strides {strides:?} and offset {offset}: beyond {storage}"))
            }
        }
    }

    /// The bias `name` of a layer with so many outputs that adds none.
    pub(super) fn no_bias(name: &str, outputs: usize) -> Self {
        Self {
            name: name.into(),
            canonical: canonical(name),
            dims: vec![outputs],
            dtype: Dtype::F32,
            strides: vec![1],
            part: ITSELF,
            start: 0,
            span: outputs,
            entry: None,
            is_left_out: true,
        }
    }

    /// Whether it is a whole number alone, as how many batches a normalisation has seen: it computes nothing.
    pub(super) fn is_count(&self) -> bool {
        self.dims.is_empty() && decoder(self.dtype).is_none()
    }

    /// Whether both are the same numbers of a file.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.dtype, it.part, it.start, it.is_left_out);
        (place(self), &self.dims, &self.strides) == (place(other), &other.dims, &other.strides)
    }

    /// Orders the numbers that were read, from the first to the last, by the dimensions.
    fn contiguous(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        let plain = contiguous_strides(&self.dims);
        let mut dims = self.dims.iter().zip(&self.strides).zip(&plain);
        if numbers.is_empty() || dims.all(|((dim, stride), plain)| *dim == 1 || stride == plain) {
            return Ok(numbers);
        }
        let mut ordered = room_for(self.dims.iter().product())?;
        gather(&numbers, &self.dims, &self.strides, &mut ordered);
        Ok(ordered)
    }
}

/// Appends the numbers of a tensor that begins with the first of `numbers`.
fn gather(numbers: &[f32], dims: &[usize], strides: &[usize], ordered: &mut Vec<f32>) {
    match (dims.split_first(), strides.split_first()) {
        (Some((dim, dims)), Some((stride, strides))) => {
            (0..*dim).for_each(|i| gather(&numbers[i * stride..], dims, strides, ordered));
        }
        _ => ordered.push(numbers[0]),
    }
}

/// The strides of a tensor whose numbers lie one after another.
pub(super) fn contiguous_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = dims[i].saturating_mul(strides[i]);
    }
    strides
}

/// Bytes of a number.
pub(super) fn bytes_each(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}

type Decode = fn(&[u8], &mut [f32]);

/// Turns a type's bytes into numbers, for the types that weights are stored as.
fn decoder(dtype: Dtype) -> Option<Decode> {
    fn each<const N: usize>(bytes: &[u8], numbers: &mut [f32], number: impl Fn([u8; N]) -> f32) {
        for (out, word) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *out = number(*word);
        }
    }
    match dtype {
        Dtype::F32 => Some(|bytes, numbers| each(bytes, numbers, f32::from_le_bytes)),
        Dtype::F64 => Some(|bytes, numbers| each(bytes, numbers, |x| f64::from_le_bytes(x) as f32)),
        Dtype::F16 => {
            Some(|bytes, numbers| each(bytes, numbers, |x| f16::from_le_bytes(x).to_f32()))
        }
        Dtype::BF16 => {
            Some(|bytes, numbers| each(bytes, numbers, |x| bf16::from_le_bytes(x).to_f32()))
        }
        _ => None,
    }
}
