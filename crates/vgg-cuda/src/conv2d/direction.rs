//! What cuDNN computes of a convolution: the sums, and the gradients of both of their factors.

use std::cell::OnceCell;
use std::ffi::c_int;

use cudarc::cudnn::sys;
use vgg_tensor::spec::Conv2d;

use super::algorithm::Algorithm;
use crate::libraries::cudnn::{
    cudnnConvolutionBackwardData, cudnnConvolutionBackwardFilter, cudnnConvolutionForward,
    cudnnGetConvolutionBackwardDataAlgorithm_v7, cudnnGetConvolutionBackwardDataWorkspaceSize,
    cudnnGetConvolutionBackwardFilterAlgorithm_v7, cudnnGetConvolutionBackwardFilterWorkspaceSize,
    cudnnGetConvolutionForwardAlgorithm_v7, cudnnGetConvolutionForwardWorkspaceSize,
};
use crate::libraries::{CudnnError, Enum, Perf};
use crate::memory::Address;

/// A handle and descriptors, all valid.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) handle: sys::cudnnHandle_t,
    pub(super) x: sys::cudnnTensorDescriptor_t,
    pub(super) weight: sys::cudnnFilterDescriptor_t,
    pub(super) sums: sys::cudnnTensorDescriptor_t,
    pub(super) convolution: sys::cudnnConvolutionDescriptor_t,
}

/// Memory that a call may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workspace {
    pub(super) at: Address,
    pub(super) bytes: usize,
}

/// How the directions of a convolution are computed that it was used in.
#[derive(Default)]
pub(super) struct Algorithms {
    forward: Decided<Forward>,
    backward_data: Decided<BackwardData>,
    backward_filter: Decided<BackwardFilter>,
}

type Decided<D> = OnceCell<Algorithm<<D as Direction>::Algorithm>>;

/// How many numbers a convolution's operands have.
struct Lens {
    x: usize,
    weight: usize,
    sums: usize,
}

impl Lens {
    fn of(op: &Conv2d) -> Self {
        Self { x: op.x().len(), weight: op.weight().len(), sums: op.conv_y().len() }
    }
}

/// One of the three, each of which has algorithms and functions of its own.
pub(super) trait Direction: Sized {
    /// For messages.
    const NAME: &'static str;
    type Algorithm: Enum;

    /// How many numbers the factors have, and what comes of them.
    fn lens(op: &Conv2d) -> [usize; 3];

    /// Where it is kept how the direction is computed.
    fn decided(algorithms: &Algorithms) -> &Decided<Self>;

    /// cuDNN's proposals, best first: at most `most` into `found`, and their number into `count`.
    ///
    /// # Safety
    /// The call is valid, and `found` has room.
    unsafe fn propose(
        call: Call,
        most: c_int,
        count: *mut c_int,
        found: *mut Perf<Self::Algorithm>,
    ) -> Result<(), CudnnError>;

    /// Bytes of workspace that an algorithm needs.
    ///
    /// # Safety
    /// The call is valid.
    unsafe fn workspace(call: Call, algorithm: Self::Algorithm) -> Result<usize, CudnnError>;

    /// Computes `to` from two factors.
    ///
    /// # Safety
    /// The call is valid; the addresses are of memory that the tensors fit into, `to` in no other's;
    /// the workspace suffices.
    unsafe fn compute(
        call: Call,
        algorithm: Self::Algorithm,
        factors: [Address; 2],
        to: Address,
        workspace: Workspace,
    ) -> Result<(), CudnnError>;
}

/// Products are multiplied by one and nothing of the output is kept.
static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

/// A direction: its factors and what comes of them as fields of [`Call`], in the order in which
/// cuDNN's functions take them.
macro_rules! direction {
    (
        $(#[$doc:meta])*
        $name:ident: $a:ident, $b:ident => $to:ident,
        $message:literal, $slot:ident, $algorithm:path,
        $propose:path, $workspace:path, $compute:path
    ) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Direction for $name {
            const NAME: &'static str = $message;
            type Algorithm = $algorithm;

            fn lens(op: &Conv2d) -> [usize; 3] {
                let lens = Lens::of(op);
                [lens.$a, lens.$b, lens.$to]
            }

            fn decided(algorithms: &Algorithms) -> &Decided<Self> {
                &algorithms.$slot
            }

            unsafe fn propose(
                call: Call,
                most: c_int,
                count: *mut c_int,
                found: *mut Perf<Self::Algorithm>,
            ) -> Result<(), CudnnError> {
                let Call { handle, convolution, .. } = call;
                // SAFETY: as the caller promises.
                unsafe {
                    $propose(handle, call.$a, call.$b, convolution, call.$to, most, count, found)
                }
                .result()
            }

            unsafe fn workspace(
                call: Call,
                algorithm: Self::Algorithm,
            ) -> Result<usize, CudnnError> {
                let Call { handle, convolution, .. } = call;
                let mut bytes = 0;
                let room = &raw mut bytes;
                // SAFETY: as the caller promises.
                unsafe {
                    $workspace(handle, call.$a, call.$b, convolution, call.$to, algorithm, room)
                }
                .result()?;
                Ok(bytes)
            }

            unsafe fn compute(
                call: Call,
                algorithm: Self::Algorithm,
                [a, b]: [Address; 2],
                to: Address,
                workspace: Workspace,
            ) -> Result<(), CudnnError> {
                // SAFETY: as the caller promises.
                unsafe {
                    $compute(
                        call.handle,
                        (&raw const ONE).cast(),
                        call.$a,
                        a.as_ptr(),
                        call.$b,
                        b.as_ptr(),
                        call.convolution,
                        algorithm,
                        workspace.at.as_ptr().cast_mut(),
                        workspace.bytes,
                        (&raw const ZERO).cast(),
                        call.$to,
                        to.as_ptr().cast_mut(),
                    )
                }
                .result()
            }
        }
    };
}

direction!(
    /// The sums, from `x` and `weight`.
    Forward: x, weight => sums,
    "a convolution", forward, sys::cudnnConvolutionFwdAlgo_t,
    cudnnGetConvolutionForwardAlgorithm_v7,
    cudnnGetConvolutionForwardWorkspaceSize,
    cudnnConvolutionForward
);
direction!(
    /// `x`'s gradient, from `weight` and that of the sums.
    BackwardData: weight, sums => x,
    "a convolution's input gradient", backward_data, sys::cudnnConvolutionBwdDataAlgo_t,
    cudnnGetConvolutionBackwardDataAlgorithm_v7,
    cudnnGetConvolutionBackwardDataWorkspaceSize,
    cudnnConvolutionBackwardData
);
direction!(
    /// `weight`'s gradient, from `x` and the gradient of the sums, in the storage type.
    BackwardFilter: x, sums => weight,
    "a convolution's weight gradient", backward_filter, sys::cudnnConvolutionBwdFilterAlgo_t,
    cudnnGetConvolutionBackwardFilterAlgorithm_v7,
    cudnnGetConvolutionBackwardFilterWorkspaceSize,
    cudnnConvolutionBackwardFilter
);
