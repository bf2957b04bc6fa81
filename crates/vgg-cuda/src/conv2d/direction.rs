//! What cuDNN computes of a convolution: the sums, and the gradients of both of their factors.

use std::cell::OnceCell;
use std::ffi::c_int;

use cudarc::cudnn::sys;

use super::algorithm::Algorithm;
use super::cudnn::Convolution;
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

/// What a direction computes from or to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    X,
    Weight,
    /// The sums, or their gradient.
    Sums,
}

/// One of the three, each of which has algorithms and functions of its own.
pub(super) trait Direction {
    /// For messages.
    const NAME: &'static str;
    /// The factors, and what comes of them.
    const OPERANDS: [Operand; 3];
    type Algorithm: Enum;

    /// Where a convolution keeps how it is computed.
    fn slot(convolution: &Convolution) -> &OnceCell<Algorithm<Self::Algorithm>>;

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

    /// Computes `to` from two factors, the operands in their order.
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

/// The sums, from `x` and `weight`.
pub(super) struct Forward;

impl Direction for Forward {
    const NAME: &'static str = "a convolution";
    const OPERANDS: [Operand; 3] = [Operand::X, Operand::Weight, Operand::Sums];
    type Algorithm = sys::cudnnConvolutionFwdAlgo_t;

    fn slot(convolution: &Convolution) -> &OnceCell<Algorithm<Self::Algorithm>> {
        &convolution.forward
    }

    unsafe fn propose(
        call: Call,
        most: c_int,
        count: *mut c_int,
        found: *mut Perf<Self::Algorithm>,
    ) -> Result<(), CudnnError> {
        let Call { handle, x, weight, sums, convolution } = call;
        // SAFETY: as the caller promises.
        unsafe {
            cudnnGetConvolutionForwardAlgorithm_v7(
                handle,
                x,
                weight,
                convolution,
                sums,
                most,
                count,
                found,
            )
        }
        .result()
    }

    unsafe fn workspace(call: Call, algorithm: Self::Algorithm) -> Result<usize, CudnnError> {
        let Call { handle, x, weight, sums, convolution } = call;
        let mut bytes = 0;
        // SAFETY: as the caller promises.
        unsafe {
            cudnnGetConvolutionForwardWorkspaceSize(
                handle,
                x,
                weight,
                convolution,
                sums,
                algorithm,
                &raw mut bytes,
            )
        }
        .result()?;
        Ok(bytes)
    }

    unsafe fn compute(
        call: Call,
        algorithm: Self::Algorithm,
        [x, weight]: [Address; 2],
        to: Address,
        workspace: Workspace,
    ) -> Result<(), CudnnError> {
        // SAFETY: as the caller promises.
        unsafe {
            cudnnConvolutionForward(
                call.handle,
                (&raw const ONE).cast(),
                call.x,
                x.as_ptr(),
                call.weight,
                weight.as_ptr(),
                call.convolution,
                algorithm,
                workspace.at.as_ptr().cast_mut(),
                workspace.bytes,
                (&raw const ZERO).cast(),
                call.sums,
                to.as_ptr().cast_mut(),
            )
        }
        .result()
    }
}

/// `x`'s gradient, from `weight` and that of the sums.
pub(super) struct BackwardData;

impl Direction for BackwardData {
    const NAME: &'static str = "a convolution's input gradient";
    const OPERANDS: [Operand; 3] = [Operand::Weight, Operand::Sums, Operand::X];
    type Algorithm = sys::cudnnConvolutionBwdDataAlgo_t;

    fn slot(convolution: &Convolution) -> &OnceCell<Algorithm<Self::Algorithm>> {
        &convolution.backward_data
    }

    unsafe fn propose(
        call: Call,
        most: c_int,
        count: *mut c_int,
        found: *mut Perf<Self::Algorithm>,
    ) -> Result<(), CudnnError> {
        let Call { handle, x, weight, sums, convolution } = call;
        // SAFETY: as the caller promises.
        unsafe {
            cudnnGetConvolutionBackwardDataAlgorithm_v7(
                handle,
                weight,
                sums,
                convolution,
                x,
                most,
                count,
                found,
            )
        }
        .result()
    }

    unsafe fn workspace(call: Call, algorithm: Self::Algorithm) -> Result<usize, CudnnError> {
        let Call { handle, x, weight, sums, convolution } = call;
        let mut bytes = 0;
        // SAFETY: as the caller promises.
        unsafe {
            cudnnGetConvolutionBackwardDataWorkspaceSize(
                handle,
                weight,
                sums,
                convolution,
                x,
                algorithm,
                &raw mut bytes,
            )
        }
        .result()?;
        Ok(bytes)
    }

    unsafe fn compute(
        call: Call,
        algorithm: Self::Algorithm,
        [weight, dsums]: [Address; 2],
        to: Address,
        workspace: Workspace,
    ) -> Result<(), CudnnError> {
        // SAFETY: as the caller promises.
        unsafe {
            cudnnConvolutionBackwardData(
                call.handle,
                (&raw const ONE).cast(),
                call.weight,
                weight.as_ptr(),
                call.sums,
                dsums.as_ptr(),
                call.convolution,
                algorithm,
                workspace.at.as_ptr().cast_mut(),
                workspace.bytes,
                (&raw const ZERO).cast(),
                call.x,
                to.as_ptr().cast_mut(),
            )
        }
        .result()
    }
}

/// `weight`'s gradient, from `x` and the gradient of the sums, in the storage type.
pub(super) struct BackwardFilter;

impl Direction for BackwardFilter {
    const NAME: &'static str = "a convolution's weight gradient";
    const OPERANDS: [Operand; 3] = [Operand::X, Operand::Sums, Operand::Weight];
    type Algorithm = sys::cudnnConvolutionBwdFilterAlgo_t;

    fn slot(convolution: &Convolution) -> &OnceCell<Algorithm<Self::Algorithm>> {
        &convolution.backward_filter
    }

    unsafe fn propose(
        call: Call,
        most: c_int,
        count: *mut c_int,
        found: *mut Perf<Self::Algorithm>,
    ) -> Result<(), CudnnError> {
        let Call { handle, x, weight, sums, convolution } = call;
        // SAFETY: as the caller promises.
        unsafe {
            cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                handle,
                x,
                sums,
                convolution,
                weight,
                most,
                count,
                found,
            )
        }
        .result()
    }

    unsafe fn workspace(call: Call, algorithm: Self::Algorithm) -> Result<usize, CudnnError> {
        let Call { handle, x, weight, sums, convolution } = call;
        let mut bytes = 0;
        // SAFETY: as the caller promises.
        unsafe {
            cudnnGetConvolutionBackwardFilterWorkspaceSize(
                handle,
                x,
                sums,
                convolution,
                weight,
                algorithm,
                &raw mut bytes,
            )
        }
        .result()?;
        Ok(bytes)
    }

    unsafe fn compute(
        call: Call,
        algorithm: Self::Algorithm,
        [x, dsums]: [Address; 2],
        to: Address,
        workspace: Workspace,
    ) -> Result<(), CudnnError> {
        // SAFETY: as the caller promises.
        unsafe {
            cudnnConvolutionBackwardFilter(
                call.handle,
                (&raw const ONE).cast(),
                call.x,
                x.as_ptr(),
                call.sums,
                dsums.as_ptr(),
                call.convolution,
                algorithm,
                workspace.at.as_ptr().cast_mut(),
                workspace.bytes,
                (&raw const ZERO).cast(),
                call.weight,
                to.as_ptr().cast_mut(),
            )
        }
        .result()
    }
}
