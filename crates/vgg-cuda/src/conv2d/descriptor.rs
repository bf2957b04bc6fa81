//! cuDNN's descriptions of tensors, filters and convolutions.

use std::ffi::c_int;

use cudarc::cudnn::sys;
use vgg_tensor::Shape;
use vgg_tensor::spec::Conv2d;

use crate::libraries::CudnnError;
use crate::libraries::cudnn::{
    cudnnCreateConvolutionDescriptor, cudnnCreateFilterDescriptor, cudnnCreateTensorDescriptor,
    cudnnDestroyConvolutionDescriptor, cudnnDestroyFilterDescriptor, cudnnDestroyTensorDescriptor,
    cudnnSetConvolution2dDescriptor, cudnnSetConvolutionMathType, cudnnSetFilter4dDescriptor,
    cudnnSetTensor4dDescriptor,
};
use crate::precision::Storage;

/// A descriptor that is destroyed when it is dropped.
macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $create:path, $destroy:path) => {
        $(#[$doc])*
        pub(super) struct $name($raw);

        impl $name {
            /// One that describes nothing yet.
            fn empty() -> Result<Self, CudnnError> {
                let mut raw = std::ptr::null_mut();
                // SAFETY: there is room for the descriptor.
                unsafe { $create(&raw mut raw) }.result()?;
                Ok(Self(raw))
            }

            pub(super) const fn raw(&self) -> $raw {
                self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: it was created, and is destroyed only here.
                if let Err(error) = unsafe { $destroy(self.0) }.result() {
                    log::debug!("a cuDNN descriptor is not destroyed: {error}");
                }
            }
        }
    };
}

owned!(
    /// Maps, channels innermost.
    Tensor,
    sys::cudnnTensorDescriptor_t,
    cudnnCreateTensorDescriptor,
    cudnnDestroyTensorDescriptor
);
owned!(
    /// A weight `[c_out, kh, kw, c_in]`.
    Filter,
    sys::cudnnFilterDescriptor_t,
    cudnnCreateFilterDescriptor,
    cudnnDestroyFilterDescriptor
);
owned!(
    /// Padding, stride, and what is computed with.
    Convolution,
    sys::cudnnConvolutionDescriptor_t,
    cudnnCreateConvolutionDescriptor,
    cudnnDestroyConvolutionDescriptor
);

const FORMAT: sys::cudnnTensorFormat_t = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;

impl Tensor {
    pub(super) fn new(storage: Storage, shape: Shape) -> Result<Self, CudnnError> {
        let tensor = Self::empty()?;
        let [n, c, h, w] = dims(shape);
        // SAFETY: it was created above.
        unsafe { cudnnSetTensor4dDescriptor(tensor.0, FORMAT, data_type(storage), n, c, h, w) }
            .result()?;
        Ok(tensor)
    }
}

impl Filter {
    pub(super) fn new(
        storage: Storage,
        c_out: usize,
        c_in: usize,
        kernel: usize,
    ) -> Result<Self, CudnnError> {
        let filter = Self::empty()?;
        let [k, c, h, w] = dims(Shape::new(c_out, c_in, kernel, kernel));
        // SAFETY: it was created above.
        unsafe { cudnnSetFilter4dDescriptor(filter.0, data_type(storage), FORMAT, k, c, h, w) }
            .result()?;
        Ok(filter)
    }
}

impl Convolution {
    pub(super) fn new(op: &Conv2d) -> Result<Self, CudnnError> {
        let convolution = Self::empty()?;
        let [padding, stride] = [op.padding(), op.stride()].map(int);
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let sums = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        // SAFETY: it was created above.
        unsafe {
            cudnnSetConvolution2dDescriptor(
                convolution.0,
                padding,
                padding,
                stride,
                stride,
                1,
                1,
                mode,
                sums,
            )
        }
        .result()?;
        Ok(convolution)
    }

    pub(super) fn set_math(&self, math: sys::cudnnMathType_t) -> Result<(), CudnnError> {
        // SAFETY: it was created and is not destroyed.
        unsafe { cudnnSetConvolutionMathType(self.0, math) }.result()
    }
}

const fn data_type(storage: Storage) -> sys::cudnnDataType_t {
    match storage {
        Storage::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        Storage::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        Storage::F16 => sys::cudnnDataType_t::CUDNN_DATA_HALF,
    }
}

/// In the order that cuDNN wants them in, whatever the format.
fn dims(Shape { n, c, h, w }: Shape) -> [c_int; 4] {
    [n, c, h, w].map(int)
}

/// What is too large for cuDNN becomes what it refuses.
fn int(size: usize) -> c_int {
    c_int::try_from(size).unwrap_or(-1)
}
