//! Matrix products by cuBLAS.

use std::sync::Arc;

use cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasHandle_t, cublasMath_t, cublasOperation_t,
    cublasPointerMode_t, cudaDataType_t,
};
use cudarc::driver::CudaStream;
use vgg_tensor::Result;

use crate::Precision;
use crate::error::During;
use crate::libraries::cublas::{
    cublasCreate_v2, cublasDestroy_v2, cublasGemmEx, cublasSetMathMode, cublasSetPointerMode_v2,
    cublasSetStream_v2, cublasSetWorkspace_v2,
};
use crate::memory::{Address, Memory};
use crate::precision::Storage;

/// What cuBLAS recommends for Hopper, its greediest. With a workspace of its own it would allocate
/// while a graph is captured.
const WORKSPACE: usize = 32 << 20;

/// A matrix in memory, row after row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) at: Address,
    pub(crate) storage: Storage,
    /// Numbers from one row to the next.
    pub(crate) stride: usize,
    /// Whether its transpose is meant.
    pub(crate) transposed: bool,
}

impl Matrix {
    /// A matrix whose rows have `columns` numbers.
    pub(crate) const fn new(at: Address, storage: Storage, columns: usize) -> Self {
        Self { at, storage, stride: columns, transposed: false }
    }

    /// Its transpose.
    pub(crate) const fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// What products are multiplied by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Factor {
    One,
    /// The first of two numbers on the device. The second one is zero.
    At(Address),
}

/// cuBLAS on a stream.
pub(crate) struct Cublas {
    handle: cublasHandle_t,
    compute: cublasComputeType_t,
    _workspace: Memory,
}

impl Cublas {
    pub(crate) fn new(stream: &Arc<CudaStream>, precision: Precision) -> Result<Self> {
        const OP: &str = "starting cuBLAS";
        let workspace = Memory::uninitialised(stream, WORKSPACE)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: there is room for the handle.
        unsafe { cublasCreate_v2(&raw mut handle) }.result().during(OP)?;
        let compute = match precision {
            Precision::Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let cublas = Self { handle, compute, _workspace: workspace };
        // SAFETY: the handle is valid, and the stream and the workspace live as long as it does.
        unsafe {
            cublasSetStream_v2(handle, stream.cu_stream().cast()).result().during(OP)?;
            // Otherwise a sum may be cut into parts, which are added in the type of the result. (What
            // tf32 is about follows from the type that is computed with.)
            let exact = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
            cublasSetMathMode(handle, exact).result().during(OP)?;
            let workspace = cublas._workspace.address().as_ptr().cast_mut();
            cublasSetWorkspace_v2(handle, workspace, WORKSPACE).result().during(OP)?;
        }
        Ok(cublas)
    }

    /// `c = factor · a · b`, where `c` is `m × n` and `k` is what is summed over. Sums are `f32` to
    /// the end, whatever the matrices are.
    ///
    /// # Safety
    /// The matrices are in memory of the device, which they fit into, and `c` is in no other's.
    pub(crate) unsafe fn multiply(
        &self,
        op: &'static str,
        [m, n, k]: [usize; 3],
        factor: Factor,
        a: Matrix,
        b: Matrix,
        c: Matrix,
    ) -> Result<()> {
        let (one, zero) = (1.0f32, 0.0f32);
        let (mode, alpha, beta) = match factor {
            Factor::One => {
                let host = cublasPointerMode_t::CUBLAS_POINTER_MODE_HOST;
                (host, (&raw const one).cast(), (&raw const zero).cast())
            }
            Factor::At(at) => {
                let device = cublasPointerMode_t::CUBLAS_POINTER_MODE_DEVICE;
                (device, at.as_ptr(), at.add(4).as_ptr())
            }
        };
        // cuBLAS has matrices column after column: it sees the transposes of ours, and computes
        // the transpose of the product, `bᵀ · aᵀ`.
        let transposed = |matrix: Matrix| match matrix.transposed {
            true => cublasOperation_t::CUBLAS_OP_T,
            false => cublasOperation_t::CUBLAS_OP_N,
        };
        let int = |size: usize| i32::try_from(size).unwrap_or(i32::MAX); // cuBLAS refuses that one
        // SAFETY: the handle is valid; the scalars are where the mode says, and those on the host
        // are read before the call returns; the rest is as the caller promises.
        unsafe {
            cublasSetPointerMode_v2(self.handle, mode).result().during(op)?;
            cublasGemmEx(
                self.handle,
                transposed(b),
                transposed(a),
                int(n),
                int(m),
                int(k),
                alpha,
                b.at.as_ptr(),
                data_type(b.storage),
                int(b.stride),
                a.at.as_ptr(),
                data_type(a.storage),
                int(a.stride),
                beta,
                c.at.as_ptr().cast_mut(),
                data_type(c.storage),
                int(c.stride),
                self.compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .result()
        .during(op)
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody uses it any more.
        if let Err(error) = unsafe { cublasDestroy_v2(self.handle) }.result() {
            log::debug!("cuBLAS does not close: {error}");
        }
    }
}

const fn data_type(storage: Storage) -> cudaDataType_t {
    match storage {
        Storage::F32 => cudaDataType_t::CUDA_R_32F,
        Storage::Bf16 => cudaDataType_t::CUDA_R_16BF,
        Storage::F16 => cudaDataType_t::CUDA_R_16F,
    }
}
