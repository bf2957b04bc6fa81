//! The functions of cuDNN and cuBLAS that the backend calls, under their own names.
//!
//! `cudarc` has them, too, but looks for the libraries by names of its own, whichever comes first:
//! without cuBLAS 13's, and with that of the stub that programs are linked with. So its types are
//! used here, and its search is not. What a library returns or writes is a [`Code`], though: its enums
//! may have more values than those types.

use std::ffi::{c_int, c_uint, c_void};

/// `mod name { fn function(argument: type) -> type; … }`: functions that can be called once the
/// library is loaded.
macro_rules! functions {
    (
        $(#[$doc:meta])*
        mod $library:ident {
            $(use $path:path;)*
            $(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*
        }
    ) => {
        $(#[$doc])*
        #[expect(non_snake_case, reason = "these are the names that the library has")]
        pub(crate) mod $library {
            use std::ffi::{c_int, c_void};
            use std::sync::OnceLock;

            $(use $path;)*

            struct Functions {
                $($name: unsafe extern "C" fn($($type),*) -> $result,)*
                /// As long as it lives, the functions are there.
                _library: libloading::Library,
            }

            static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

            /// Takes the functions of a library, which is kept for good. The first one counts.
            ///
            /// # Errors
            /// If it has not all of them.
            pub(in crate::libraries) fn load(
                library: libloading::Library,
            ) -> Result<(), libloading::Error> {
                let functions = Functions {
                    $(
                        // SAFETY: in a library of this name, the function is of this type, in
                        // which every number that it may return is valid.
                        $name: *unsafe { library.get(stringify!($name)) }?,
                    )*
                    _library: library,
                };
                FUNCTIONS.get_or_init(|| functions);
                Ok(())
            }

            $(
                /// # Safety
                /// As the library's documentation says.
                ///
                /// # Panics
                /// If the library is not loaded: that is checked before a device is opened.
                pub(crate) unsafe fn $name($($argument: $type),*) -> $result {
                    let functions = FUNCTIONS.get().expect("libraries are opened before");
                    // SAFETY: as the caller promises.
                    unsafe { (functions.$name)($($argument),*) }
                }
            )*
        }
    };
}

functions! {
    /// cuBLAS, of which these are the same in versions 12 and 13.
    mod cublas {
        use cudarc::cublas::sys::cublasComputeType_t;
        use cudarc::cublas::sys::cublasGemmAlgo_t;
        use cudarc::cublas::sys::cublasHandle_t;
        use cudarc::cublas::sys::cublasMath_t;
        use cudarc::cublas::sys::cublasOperation_t;
        use cudarc::cublas::sys::cublasPointerMode_t;
        use cudarc::cublas::sys::cublasStatus_t;
        use cudarc::cublas::sys::cudaDataType_t;
        use cudarc::cublas::sys::cudaStream_t;
        use crate::libraries::codes::Code;

        fn cublasCreate_v2(to: *mut cublasHandle_t) -> Code<cublasStatus_t>;
        fn cublasDestroy_v2(handle: cublasHandle_t) -> Code<cublasStatus_t>;
        fn cublasSetStream_v2(handle: cublasHandle_t, stream: cudaStream_t) -> Code<cublasStatus_t>;
        fn cublasSetWorkspace_v2(
            handle: cublasHandle_t,
            workspace: *mut c_void,
            bytes: usize,
        ) -> Code<cublasStatus_t>;
        fn cublasSetPointerMode_v2(
            handle: cublasHandle_t,
            mode: cublasPointerMode_t,
        ) -> Code<cublasStatus_t>;
        fn cublasSetMathMode(handle: cublasHandle_t, mode: cublasMath_t) -> Code<cublasStatus_t>;
        fn cublasGemmEx(
            handle: cublasHandle_t,
            operation_a: cublasOperation_t,
            operation_b: cublasOperation_t,
            m: c_int,
            n: c_int,
            k: c_int,
            alpha: *const c_void,
            a: *const c_void,
            type_a: cudaDataType_t,
            stride_a: c_int,
            b: *const c_void,
            type_b: cudaDataType_t,
            stride_b: c_int,
            beta: *const c_void,
            c: *mut c_void,
            type_c: cudaDataType_t,
            stride_c: c_int,
            compute: cublasComputeType_t,
            algorithm: cublasGemmAlgo_t,
        ) -> Code<cublasStatus_t>;
    }
}

functions! {
    /// cuDNN 9.
    mod cudnn {
        use cudarc::cudnn::sys::cudnnConvolutionBwdDataAlgo_t;
        use cudarc::cudnn::sys::cudnnConvolutionBwdFilterAlgo_t;
        use cudarc::cudnn::sys::cudnnConvolutionDescriptor_t;
        use cudarc::cudnn::sys::cudnnConvolutionFwdAlgo_t;
        use cudarc::cudnn::sys::cudnnConvolutionMode_t;
        use cudarc::cudnn::sys::cudnnDataType_t;
        use cudarc::cudnn::sys::cudnnFilterDescriptor_t;
        use cudarc::cudnn::sys::cudnnHandle_t;
        use cudarc::cudnn::sys::cudnnMathType_t;
        use cudarc::cudnn::sys::cudnnStatus_t;
        use cudarc::cudnn::sys::cudnnTensorDescriptor_t;
        use cudarc::cudnn::sys::cudnnTensorFormat_t;
        use cudarc::cudnn::sys::cudaStream_t;
        use crate::libraries::codes::Code;
        use crate::libraries::proposal::Perf;

        fn cudnnCreate(to: *mut cudnnHandle_t) -> Code<cudnnStatus_t>;
        fn cudnnDestroy(handle: cudnnHandle_t) -> Code<cudnnStatus_t>;
        fn cudnnSetStream(handle: cudnnHandle_t, stream: cudaStream_t) -> Code<cudnnStatus_t>;
        fn cudnnCreateTensorDescriptor(to: *mut cudnnTensorDescriptor_t) -> Code<cudnnStatus_t>;
        fn cudnnSetTensor4dDescriptor(
            tensor: cudnnTensorDescriptor_t,
            format: cudnnTensorFormat_t,
            of: cudnnDataType_t,
            n: c_int,
            c: c_int,
            h: c_int,
            w: c_int,
        ) -> Code<cudnnStatus_t>;
        fn cudnnDestroyTensorDescriptor(tensor: cudnnTensorDescriptor_t) -> Code<cudnnStatus_t>;
        fn cudnnCreateFilterDescriptor(to: *mut cudnnFilterDescriptor_t) -> Code<cudnnStatus_t>;
        fn cudnnSetFilter4dDescriptor(
            filter: cudnnFilterDescriptor_t,
            of: cudnnDataType_t,
            format: cudnnTensorFormat_t,
            k: c_int,
            c: c_int,
            h: c_int,
            w: c_int,
        ) -> Code<cudnnStatus_t>;
        fn cudnnDestroyFilterDescriptor(filter: cudnnFilterDescriptor_t) -> Code<cudnnStatus_t>;
        fn cudnnCreateConvolutionDescriptor(
            to: *mut cudnnConvolutionDescriptor_t,
        ) -> Code<cudnnStatus_t>;
        fn cudnnSetConvolution2dDescriptor(
            convolution: cudnnConvolutionDescriptor_t,
            rows: c_int,
            columns: c_int,
            stride_h: c_int,
            stride_w: c_int,
            dilation_h: c_int,
            dilation_w: c_int,
            mode: cudnnConvolutionMode_t,
            sums: cudnnDataType_t,
        ) -> Code<cudnnStatus_t>;
        fn cudnnSetConvolutionMathType(
            convolution: cudnnConvolutionDescriptor_t,
            math: cudnnMathType_t,
        ) -> Code<cudnnStatus_t>;
        fn cudnnDestroyConvolutionDescriptor(
            convolution: cudnnConvolutionDescriptor_t,
        ) -> Code<cudnnStatus_t>;
        fn cudnnGetConvolutionForwardAlgorithm_v7(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            weight: cudnnFilterDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            sums: cudnnTensorDescriptor_t,
            most: c_int,
            count: *mut c_int,
            found: *mut Perf<cudnnConvolutionFwdAlgo_t>,
        ) -> Code<cudnnStatus_t>;
        fn cudnnGetConvolutionForwardWorkspaceSize(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            weight: cudnnFilterDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            sums: cudnnTensorDescriptor_t,
            algorithm: cudnnConvolutionFwdAlgo_t,
            bytes: *mut usize,
        ) -> Code<cudnnStatus_t>;
        fn cudnnConvolutionForward(
            handle: cudnnHandle_t,
            alpha: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_at: *const c_void,
            weight: cudnnFilterDescriptor_t,
            weight_at: *const c_void,
            convolution: cudnnConvolutionDescriptor_t,
            algorithm: cudnnConvolutionFwdAlgo_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            beta: *const c_void,
            sums: cudnnTensorDescriptor_t,
            sums_at: *mut c_void,
        ) -> Code<cudnnStatus_t>;
        fn cudnnGetConvolutionBackwardDataAlgorithm_v7(
            handle: cudnnHandle_t,
            weight: cudnnFilterDescriptor_t,
            dsums: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dx: cudnnTensorDescriptor_t,
            most: c_int,
            count: *mut c_int,
            found: *mut Perf<cudnnConvolutionBwdDataAlgo_t>,
        ) -> Code<cudnnStatus_t>;
        fn cudnnGetConvolutionBackwardDataWorkspaceSize(
            handle: cudnnHandle_t,
            weight: cudnnFilterDescriptor_t,
            dsums: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dx: cudnnTensorDescriptor_t,
            algorithm: cudnnConvolutionBwdDataAlgo_t,
            bytes: *mut usize,
        ) -> Code<cudnnStatus_t>;
        fn cudnnConvolutionBackwardData(
            handle: cudnnHandle_t,
            alpha: *const c_void,
            weight: cudnnFilterDescriptor_t,
            weight_at: *const c_void,
            dsums: cudnnTensorDescriptor_t,
            dsums_at: *const c_void,
            convolution: cudnnConvolutionDescriptor_t,
            algorithm: cudnnConvolutionBwdDataAlgo_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            beta: *const c_void,
            dx: cudnnTensorDescriptor_t,
            dx_at: *mut c_void,
        ) -> Code<cudnnStatus_t>;
        fn cudnnGetConvolutionBackwardFilterAlgorithm_v7(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            dsums: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dweight: cudnnFilterDescriptor_t,
            most: c_int,
            count: *mut c_int,
            found: *mut Perf<cudnnConvolutionBwdFilterAlgo_t>,
        ) -> Code<cudnnStatus_t>;
        fn cudnnGetConvolutionBackwardFilterWorkspaceSize(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            dsums: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dweight: cudnnFilterDescriptor_t,
            algorithm: cudnnConvolutionBwdFilterAlgo_t,
            bytes: *mut usize,
        ) -> Code<cudnnStatus_t>;
        fn cudnnConvolutionBackwardFilter(
            handle: cudnnHandle_t,
            alpha: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_at: *const c_void,
            dsums: cudnnTensorDescriptor_t,
            dsums_at: *const c_void,
            convolution: cudnnConvolutionDescriptor_t,
            algorithm: cudnnConvolutionBwdFilterAlgo_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            beta: *const c_void,
            dweight: cudnnFilterDescriptor_t,
            dweight_at: *mut c_void,
        ) -> Code<cudnnStatus_t>;
    }
}

functions! {
    /// NCCL, of which these are the same since 2.14. Results are numbers: see [`crate::nccl`].
    mod nccl {
        use super::NcclComm;
        use super::NcclConfig;
        use super::NcclUniqueId;
        use std::ffi::c_char;
        use cudarc::cublas::sys::cudaStream_t;

        fn ncclGetUniqueId(id: *mut NcclUniqueId) -> c_int;
        fn ncclCommInitRankConfig(
            comm: *mut NcclComm,
            ranks: c_int,
            id: NcclUniqueId,
            rank: c_int,
            config: *mut NcclConfig,
        ) -> c_int;
        fn ncclCommGetAsyncError(comm: NcclComm, error: *mut c_int) -> c_int;
        fn ncclCommAbort(comm: NcclComm) -> c_int;
        fn ncclGetErrorString(error: c_int) -> *const c_char;
        fn ncclGetLastError(comm: NcclComm) -> *const c_char;
        fn ncclGroupStart() -> c_int;
        fn ncclGroupEnd() -> c_int;
        fn ncclSend(
            from: *const c_void,
            count: usize,
            kind: c_int,
            to: c_int,
            comm: NcclComm,
            stream: cudaStream_t,
        ) -> c_int;
        fn ncclRecv(
            at: *mut c_void,
            count: usize,
            kind: c_int,
            from: c_int,
            comm: NcclComm,
            stream: cudaStream_t,
        ) -> c_int;
        fn ncclBroadcast(
            from: *const c_void,
            at: *mut c_void,
            count: usize,
            kind: c_int,
            root: c_int,
            comm: NcclComm,
            stream: cudaStream_t,
        ) -> c_int;
    }
}

/// A communicator of NCCL.
pub(crate) type NcclComm = *mut c_void;

/// What ranks find each other by.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NcclUniqueId(pub(crate) [u8; 128]);

/// `ncclConfig_t` as NCCL 2.14 has it. Later ones have more fields, and read as many as the first one says.
#[repr(C)]
pub(crate) struct NcclConfig {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
}

impl NcclConfig {
    /// Calls return before they are done.
    pub(crate) fn non_blocking() -> Self {
        Self { size: size_of::<Self>(), magic: 0xCAFE_BEEF, version: 21_400, blocking: 0 }
    }
}
