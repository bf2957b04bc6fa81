//! Descriptors.

use std::ffi::c_int;

use cudarc::cudnn::sys::cudnnStatus_t as Status;
use cudarc::cudnn::sys::{
    cudnnConvolutionMode_t as ConvolutionMode, cudnnDataType_t as DataType, cudnnMathType_t,
    cudnnTensorFormat_t as Format,
};

use super::{functions, needed, size};
use crate::ffi::{Handle, Out};
use crate::numbers::Type;
use crate::state::{Convolution, Filter, Result, State, Tensor};

pub(super) fn tensor(state: &State, handle: Handle) -> Result<Tensor, Status> {
    state.dnn.tensors.get(&handle).copied().flatten().ok_or(Status::CUDNN_STATUS_BAD_PARAM)
}

pub(super) fn filter(state: &State, handle: Handle) -> Result<Filter, Status> {
    state.dnn.filters.get(&handle).copied().flatten().ok_or(Status::CUDNN_STATUS_BAD_PARAM)
}

pub(super) fn convolution(state: &State, handle: Handle) -> Result<Convolution, Status> {
    state.dnn.convolutions.get(&handle).copied().flatten().ok_or(Status::CUDNN_STATUS_BAD_PARAM)
}

/// Only channels innermost are computed here.
fn kind(format: Format, of: DataType) -> Result<Type, Status> {
    if format != Format::CUDNN_TENSOR_NHWC {
        return Err(Status::CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
    }
    match of {
        DataType::CUDNN_DATA_FLOAT => Ok(Type::F32),
        DataType::CUDNN_DATA_HALF => Ok(Type::F16),
        DataType::CUDNN_DATA_BFLOAT16 => Ok(Type::Bf16),
        _ => Err(Status::CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE),
    }
}

/// cuDNN counts numbers with 32 bits.
fn check_len(sides: [usize; 4]) -> Result<(), Status> {
    let len = sides.iter().fold(1, |len: usize, side| len.saturating_mul(*side));
    if len > i32::MAX as usize { Err(Status::CUDNN_STATUS_NOT_SUPPORTED) } else { Ok(()) }
}

functions! {
    fn cudnnCreateTensorDescriptor(to: Out<Handle>) |state| {
        let handle = state.new_handle();
        state.dnn.tensors.insert(handle, None);
        needed(to.put(handle))
    }

    fn cudnnSetTensor4dDescriptor(
        handle: Handle,
        format: Format,
        of: DataType,
        n: c_int,
        c: c_int,
        h: c_int,
        w: c_int,
    ) |state| {
        let kind = kind(format, of)?;
        let tensor = Tensor { kind, n: size(n)?, c: size(c)?, h: size(h)?, w: size(w)? };
        check_len([tensor.n, tensor.c, tensor.h, tensor.w])?;
        let place = state.dnn.tensors.get_mut(&handle).ok_or(Status::CUDNN_STATUS_BAD_PARAM)?;
        *place = Some(tensor);
        Ok(())
    }

    fn cudnnDestroyTensorDescriptor(handle: Handle) |state| {
        state.dnn.tensors.remove(&handle).map(drop).ok_or(Status::CUDNN_STATUS_BAD_PARAM)
    }

    fn cudnnCreateFilterDescriptor(to: Out<Handle>) |state| {
        let handle = state.new_handle();
        state.dnn.filters.insert(handle, None);
        needed(to.put(handle))
    }

    fn cudnnSetFilter4dDescriptor(
        handle: Handle,
        of: DataType,
        format: Format,
        k: c_int,
        c: c_int,
        h: c_int,
        w: c_int,
    ) |state| {
        let kind = kind(format, of)?;
        let filter = Filter { kind, k: size(k)?, c: size(c)?, h: size(h)?, w: size(w)? };
        check_len([filter.k, filter.c, filter.h, filter.w])?;
        let place = state.dnn.filters.get_mut(&handle).ok_or(Status::CUDNN_STATUS_BAD_PARAM)?;
        *place = Some(filter);
        Ok(())
    }

    fn cudnnDestroyFilterDescriptor(handle: Handle) |state| {
        state.dnn.filters.remove(&handle).map(drop).ok_or(Status::CUDNN_STATUS_BAD_PARAM)
    }

    fn cudnnCreateConvolutionDescriptor(to: Out<Handle>) |state| {
        let handle = state.new_handle();
        state.dnn.convolutions.insert(handle, None);
        needed(to.put(handle))
    }

    fn cudnnSetConvolution2dDescriptor(
        handle: Handle,
        rows: c_int,
        columns: c_int,
        stride_h: c_int,
        stride_w: c_int,
        dilation_h: c_int,
        dilation_w: c_int,
        mode: ConvolutionMode,
        sums: DataType,
    ) |state| {
        let stride = [size(stride_h)?, size(stride_w)?];
        if rows < 0 || columns < 0 {
            return Err(Status::CUDNN_STATUS_BAD_PARAM);
        }
        let plain = [dilation_h, dilation_w] == [1; 2];
        let correlation = mode == ConvolutionMode::CUDNN_CROSS_CORRELATION;
        if !plain || !correlation || sums != DataType::CUDNN_DATA_FLOAT {
            return Err(Status::CUDNN_STATUS_NOT_SUPPORTED);
        }
        let padding = [rows as usize, columns as usize];
        let math = cudnnMathType_t::CUDNN_DEFAULT_MATH;
        let place = state.dnn.convolutions.get_mut(&handle);
        *place.ok_or(Status::CUDNN_STATUS_BAD_PARAM)? = Some(Convolution { padding, stride, math });
        Ok(())
    }

    fn cudnnSetConvolutionMathType(handle: Handle, math: cudnnMathType_t) |state| {
        let place = state.dnn.convolutions.get_mut(&handle).and_then(Option::as_mut);
        place.ok_or(Status::CUDNN_STATUS_BAD_PARAM)?.math = math;
        Ok(())
    }

    fn cudnnDestroyConvolutionDescriptor(handle: Handle) |state| {
        state.dnn.convolutions.remove(&handle).map(drop).ok_or(Status::CUDNN_STATUS_BAD_PARAM)
    }
}
