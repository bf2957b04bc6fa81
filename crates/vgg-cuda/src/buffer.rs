//! What [`crate::Cuda`] keeps numbers in.
//!
//! - Activations and their gradients have channels innermost, `[n, h, w, c]`, in the precision's
//!   storage type.
//! - Weights lie as `[c_out, kh, kw, c_in]` and `[out, h, w, c]`, in `f32`. Where products take
//!   factors of another type, a copy of that type follows them; whoever writes the weights writes
//!   the copy.
//! - Vectors are `f32`, bytes are bytes, and weights in `f16` for inference are `f16` alone; those that
//!   are stored as factors are as in training.

use vgg_tensor::spec::WeightType;
use vgg_tensor::{Content, Shape};

use crate::memory::{Address, Memory};
use crate::precision::Storage;

/// Device memory of a [`crate::Cuda`].
pub struct Buffer {
    pub(crate) memory: Memory,
}

impl Buffer {
    /// Its beginning, with room for `bytes`.
    ///
    /// # Panics
    /// If it has less.
    #[track_caller]
    pub(crate) fn room(&self, bytes: usize) -> Address {
        let len = self.memory.len();
        assert!(bytes <= len, "a buffer of {len} bytes where {bytes} are needed");
        self.memory.address()
    }

    /// `len` numbers.
    #[track_caller]
    pub(crate) fn numbers(&self, storage: Storage, len: usize) -> Address {
        self.room(storage.bytes() * len)
    }

    /// A vector, or a weight's gradient or velocity: `len` numbers in `f32`.
    #[track_caller]
    pub(crate) fn f32(&self, len: usize) -> Address {
        self.numbers(Storage::F32, len)
    }

    /// A weight of `len` numbers.
    #[track_caller]
    pub(crate) fn weight(&self, storage: Storage, len: usize) -> Weight {
        let numbers = self.room(weight_bytes(storage, len));
        match storage {
            Storage::F32 => Weight { numbers, factors: numbers, copy: Address::NULL },
            Storage::Bf16 | Storage::F16 => {
                let copy = numbers.add(copy_offset(len));
                Weight { numbers, factors: copy, copy }
            }
        }
    }
}

/// A weight in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    /// Its numbers, in `f32`.
    pub(crate) numbers: Address,
    /// What products take for it.
    pub(crate) factors: Address,
    /// The copy that has to be written with the numbers, or nothing.
    pub(crate) copy: Address,
}

/// The copy begins where vector instructions like it.
const fn copy_offset(len: usize) -> usize {
    (4 * len).next_multiple_of(16)
}

const fn weight_bytes(storage: Storage, len: usize) -> usize {
    match storage {
        Storage::F32 => 4 * len,
        Storage::Bf16 | Storage::F16 => copy_offset(len) + storage.bytes() * len,
    }
}

/// Bytes of a buffer for `content`.
pub(crate) const fn bytes(storage: Storage, content: Content) -> usize {
    let len = content.len();
    match content {
        Content::Bytes(_) => len,
        Content::Vector(_) => 4 * len,
        Content::Maps(_) => storage.bytes() * len,
        Content::LinearWeight { weight_type: WeightType::F16, .. } => 2 * len,
        Content::LinearWeight { .. } | Content::ConvWeight { .. } => weight_bytes(storage, len),
    }
}

/// Of what type a parameter's copy is: biases have none.
pub(crate) const fn storage_of_copy(storage: Storage, content: Content) -> Storage {
    match content {
        Content::Vector(_) => Storage::F32,
        _ => storage,
    }
}

/// How `content` is stored, and as what maps it is laid out.
///
/// # Panics
/// For bytes, which are copied as they are.
pub(crate) fn layout(storage: Storage, content: Content) -> (Storage, Shape) {
    match content {
        Content::Bytes(_) => panic!("bytes have no layout"),
        Content::Vector(len) => (Storage::F32, Shape::flat(len, 1)),
        Content::Maps(shape) => (storage, shape),
        Content::ConvWeight { c_out, c_in, kernel } => {
            (Storage::F32, Shape::new(c_out, c_in, kernel, kernel))
        }
        Content::LinearWeight { out_features, c, h, w, weight_type } => {
            let storage = match weight_type {
                WeightType::F32 | WeightType::Factors => Storage::F32,
                WeightType::F16 => Storage::F16,
            };
            (storage, Shape::new(out_features, c, h, w))
        }
    }
}
