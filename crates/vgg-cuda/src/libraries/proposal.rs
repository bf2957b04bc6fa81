//! What cuDNN writes about an algorithm that it proposes.

use std::ffi::c_int;
use std::mem::{align_of, offset_of, size_of};

use cudarc::cudnn::sys;

use super::codes::{Code, Enum};

/// cuDNN has a type of these fields for each of the three directions of a convolution. In this one,
/// every number is valid.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Perf<A: Enum> {
    pub(crate) algorithm: Code<A>,
    pub(crate) status: Code<sys::cudnnStatus_t>,
    pub(crate) time: f32,
    /// Bytes of workspace.
    pub(crate) memory: usize,
    pub(crate) determinism: Code<sys::cudnnDeterminism_t>,
    pub(crate) math: Code<sys::cudnnMathType_t>,
    pub(crate) reserved: [c_int; 3],
}

macro_rules! same_layout {
    ($($theirs:ty, $algorithm:ty;)*) => {$(
        const _: () = {
            type Ours = Perf<$algorithm>;
            assert!(size_of::<Ours>() == size_of::<$theirs>());
            assert!(align_of::<Ours>() == align_of::<$theirs>());
            assert!(offset_of!(Ours, algorithm) == offset_of!($theirs, algo));
            assert!(offset_of!(Ours, status) == offset_of!($theirs, status));
            assert!(offset_of!(Ours, memory) == offset_of!($theirs, memory));
            assert!(offset_of!(Ours, determinism) == offset_of!($theirs, determinism));
            assert!(offset_of!(Ours, math) == offset_of!($theirs, mathType));
        };
    )*};
}

same_layout! {
    sys::cudnnConvolutionFwdAlgoPerf_t, sys::cudnnConvolutionFwdAlgo_t;
    sys::cudnnConvolutionBwdDataAlgoPerf_t, sys::cudnnConvolutionBwdDataAlgo_t;
    sys::cudnnConvolutionBwdFilterAlgoPerf_t, sys::cudnnConvolutionBwdFilterAlgo_t;
}
