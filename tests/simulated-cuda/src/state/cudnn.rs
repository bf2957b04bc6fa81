//! What cuDNN keeps.

use std::collections::HashMap;

use cudarc::cudnn::sys::cudnnMathType_t;

use crate::ffi::Handle;
use crate::numbers::Type;

/// What cuDNN knows.
#[derive(Default)]
pub(crate) struct Dnn {
    /// The stream of each handle.
    pub(crate) handles: HashMap<Handle, Handle>,
    pub(crate) tensors: HashMap<Handle, Option<Tensor>>,
    pub(crate) filters: HashMap<Handle, Option<Filter>>,
    pub(crate) convolutions: HashMap<Handle, Option<Convolution>>,
}

/// Maps `[n, h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) kind: Type,
    pub(crate) n: usize,
    pub(crate) c: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Tensor {
    pub(crate) fn bytes(&self) -> usize {
        self.kind.bytes() * self.n * self.c * self.h * self.w
    }
}

/// A weight `[k, h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) kind: Type,
    pub(crate) k: usize,
    pub(crate) c: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Filter {
    pub(crate) fn bytes(&self) -> usize {
        self.kind.bytes() * self.k * self.c * self.h * self.w
    }
}

/// Padding and stride, of rows and columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) padding: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) math: cudnnMathType_t,
}
