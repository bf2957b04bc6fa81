//! The enums of cuDNN and cuBLAS, as the libraries give them.
//!
//! A library can be newer than the types here, and have more values: what it returns or writes is a
//! number, until it is found to be one of those that are known.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use cudarc::cublas::sys::cublasStatus_t;
use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionFwdAlgo_t,
    cudnnDeterminism_t, cudnnMathType_t, cudnnStatus_t,
};

/// An enum of a library.
pub(crate) trait Enum: Copy + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// What it is, for messages.
    const NAME: &'static str;
    /// The values that are known.
    const KNOWN: &'static [Self];

    fn number(self) -> u32;
}

/// An enum by which functions say whether they succeeded: zero is success.
pub(crate) trait Answer: Enum {}

impl Answer for cudnnStatus_t {}
impl Answer for cublasStatus_t {}

/// A value of an enum as a library gives it, perhaps one that is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Code<E>(u32, PhantomData<E>);

impl<E: Enum> Code<E> {
    #[cfg(test)]
    pub(crate) const fn new(number: u32) -> Self {
        Self(number, PhantomData)
    }

    #[cfg(test)]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The value, if it is known.
    pub(crate) fn known(self) -> Option<E> {
        E::KNOWN.iter().copied().find(|known| known.number() == self.0)
    }
}

impl<E: Answer> Code<E> {
    /// Passes if it says so.
    pub(crate) const fn result(self) -> Result<(), Failure<E>> {
        match self.0 {
            0 => Ok(()),
            _ => Err(Failure(self)),
        }
    }
}

/// The library's name of the value, or its number if it is not known.
impl<E: Enum> fmt::Debug for Code<E> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.known() {
            Some(known) => write!(f, "{known:?}"),
            None => write!(f, "{} {}", E::NAME, self.0),
        }
    }
}

/// A function of a library has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure<E: Enum>(Code<E>);

pub(crate) type CudnnError = Failure<cudnnStatus_t>;
pub(crate) type CublasError = Failure<cublasStatus_t>;

impl<E: Enum> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<E: Enum> Error for Failure<E> {}

/// `type "name" { VALUE, … }`: the known values of enums.
macro_rules! known {
    ($($enum:ident $name:literal { $($value:ident),* $(,)? })*) => {$(
        impl Enum for $enum {
            const NAME: &'static str = $name;
            const KNOWN: &'static [Self] = &[$(Self::$value),*];

            fn number(self) -> u32 {
                self as u32
            }
        }
    )*};
}

known! {
    cublasStatus_t "status" {
        CUBLAS_STATUS_SUCCESS,
        CUBLAS_STATUS_NOT_INITIALIZED,
        CUBLAS_STATUS_ALLOC_FAILED,
        CUBLAS_STATUS_INVALID_VALUE,
        CUBLAS_STATUS_ARCH_MISMATCH,
        CUBLAS_STATUS_MAPPING_ERROR,
        CUBLAS_STATUS_EXECUTION_FAILED,
        CUBLAS_STATUS_INTERNAL_ERROR,
        CUBLAS_STATUS_NOT_SUPPORTED,
        CUBLAS_STATUS_LICENSE_ERROR,
    }
    cudnnStatus_t "status" {
        CUDNN_STATUS_SUCCESS,
        CUDNN_STATUS_NOT_INITIALIZED,
        CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH,
        CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH,
        CUDNN_STATUS_DEPRECATED,
        CUDNN_STATUS_LICENSE_ERROR,
        CUDNN_STATUS_RUNTIME_IN_PROGRESS,
        CUDNN_STATUS_RUNTIME_FP_OVERFLOW,
        CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED,
        CUDNN_STATUS_BAD_PARAM,
        CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
        CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
        CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
        CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND,
        CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT,
        CUDNN_STATUS_BAD_PARAM_STREAM_MISMATCH,
        CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
        CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES,
        CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE,
        CUDNN_STATUS_BAD_PARAM_CUDA_GRAPH_MISMATCH,
        CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
        CUDNN_STATUS_NOT_SUPPORTED,
        CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN,
        CUDNN_STATUS_NOT_SUPPORTED_SHAPE,
        CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE,
        CUDNN_STATUS_NOT_SUPPORTED_LAYOUT,
        CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER,
        CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART,
        CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
        CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING,
        CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE,
        CUDNN_STATUS_NOT_SUPPORTED_SHARED_MEMORY_INSUFFICIENT,
        CUDNN_STATUS_NOT_SUPPORTED_PADDING,
        CUDNN_STATUS_NOT_SUPPORTED_BAD_LAUNCH_PARAM,
        CUDNN_STATUS_NOT_SUPPORTED_CUDA_GRAPH_NATIVE_API,
        CUDNN_STATUS_INTERNAL_ERROR,
        CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED,
        CUDNN_STATUS_INTERNAL_ERROR_UNEXPECTED_VALUE,
        CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED,
        CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,
        CUDNN_STATUS_INTERNAL_ERROR_BAD_LAUNCH_PARAM,
        CUDNN_STATUS_INTERNAL_ERROR_TEXTURE_CREATION_FAILED,
        CUDNN_STATUS_EXECUTION_FAILED,
        CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER,
        CUDNN_STATUS_EXECUTION_FAILED_CUBLAS,
        CUDNN_STATUS_EXECUTION_FAILED_CUDART,
        CUDNN_STATUS_EXECUTION_FAILED_CURAND,
        CUDNN_STATUS_INVALID_VALUE,
    }
    cudnnConvolutionFwdAlgo_t "algorithm" {
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_DIRECT,
        CUDNN_CONVOLUTION_FWD_ALGO_FFT,
        CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING,
        CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD,
        CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED,
    }
    cudnnConvolutionBwdDataAlgo_t "algorithm" {
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED,
    }
    cudnnConvolutionBwdFilterAlgo_t "algorithm" {
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING,
    }
    cudnnMathType_t "math" {
        CUDNN_DEFAULT_MATH,
        CUDNN_TENSOR_OP_MATH,
        CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
        CUDNN_FMA_MATH,
    }
    cudnnDeterminism_t "determinism" {
        CUDNN_NON_DETERMINISTIC,
        CUDNN_DETERMINISTIC,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_library_says_is_told_by_its_number() {
        let of = |number| Code::<cudnnStatus_t>::new(number).result().map_err(|e| e.to_string());
        assert_eq!(of(0), Ok(()));
        assert_eq!(of(3000), Err("CUDNN_STATUS_NOT_SUPPORTED".into()));
        assert_eq!(of(3014), Err("status 3014".into()));
        assert_eq!(of(u32::MAX), Err("status 4294967295".into()));
        let of = |number| Code::<cublasStatus_t>::new(number).result().map_err(|e| e.to_string());
        assert_eq!(of(0), Ok(()));
        assert_eq!(of(13), Err("CUBLAS_STATUS_EXECUTION_FAILED".into()));
        assert_eq!(of(17), Err("status 17".into()));
    }
}
