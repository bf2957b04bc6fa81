//! Matrix products. cuBLAS has matrices column after column.

use std::ffi::c_void;

use cudarc::cublas::result::{self, CublasError};
use cudarc::cublas::sys::{
    cublasComputeType_t as Compute, cublasGemmAlgo_t, cublasHandle_t, cublasMath_t,
    cublasOperation_t as Operation, cublasPointerMode_t as PointerMode, cublasSetMathMode,
    cublasSetPointerMode_v2, cublasStatus_t as Status, cudaDataType_t as DataType,
};
use half::{bf16, f16};

use crate::gpu::{Gpu, on_gpu, on_machine};

const N: Operation = Operation::CUBLAS_OP_N;
const T: Operation = Operation::CUBLAS_OP_T;
const C: Operation = Operation::CUBLAS_OP_C;

const F32: DataType = DataType::CUDA_R_32F;

/// A matrix on the device: its address, type, and numbers from one column to the next.
type Matrix = (u64, DataType, i32);

struct Cublas {
    handle: cublasHandle_t,
    compute: Compute,
}

impl Cublas {
    fn new(gpu: &Gpu) -> Self {
        let handle = result::create_handle().unwrap();
        // SAFETY: the handle is valid, and the stream lives as long as the test.
        unsafe { result::set_stream(handle, gpu.stream.cu_stream().cast()) }.unwrap();
        Self { handle, compute: Compute::CUBLAS_COMPUTE_32F }
    }

    fn gemm(
        &self,
        operations: [Operation; 2],
        [m, n, k]: [i32; 3],
        scalars: [*const c_void; 2],
        a: Matrix,
        b: Matrix,
        c: Matrix,
    ) -> Result<(), Status> {
        // SAFETY: the scalars are where the handle's mode says, or are refused; the simulated
        // library checks the rest.
        unsafe {
            result::gemm_ex(
                self.handle,
                operations[0],
                operations[1],
                m,
                n,
                k,
                scalars[0],
                a.0 as *const _,
                a.1,
                a.2,
                b.0 as *const _,
                b.1,
                b.2,
                scalars[1],
                c.0 as *mut _,
                c.1,
                c.2,
                self.compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|CublasError(status)| status)
    }
}

fn host(scalars: &[f32; 2]) -> [*const c_void; 2] {
    [(&raw const scalars[0]).cast(), (&raw const scalars[1]).cast()]
}

/// 256 + 1 in a first part, which is 256 as it is stored, and 1 in another.
#[test]
fn parts_of_a_sum_are_added_as_they_are_stored_unless_that_is_forbidden() {
    on_gpu(|gpu| {
        let cublas = Cublas::new(&gpu);
        let mut terms = [0.0; 64];
        (terms[0], terms[1], terms[40]) = (256.0, 1.0, 1.0);
        let upload = |numbers: [f32; 64]| gpu.upload(&numbers.map(|x| bf16::from_f32(x).to_bits()));
        let half = DataType::CUDA_R_16BF;
        let (a, ones) = ((upload(terms), half, 1), (upload([1.0; 64]), half, 64));
        let product = |of: DataType| {
            let c = (gpu.alloc(4).unwrap(), of, 1);
            cublas.gemm([N, N], [1, 1, 64], host(&[1.0, 0.0]), a, ones, c).unwrap();
            c.0
        };
        let stored = || bf16::from_bits(gpu.download(product(half), 1).unwrap()[0]).to_f32();
        assert_eq!(stored(), 256.0);
        assert_eq!(gpu.download::<f32>(product(F32), 1).unwrap(), [258.0]);
        let exact = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        // SAFETY: the handle is valid.
        unsafe { cublasSetMathMode(cublas.handle, exact) }.result().unwrap();
        assert_eq!(stored(), 258.0);
    });
}

const GAP: f32 = f32::NAN;

/// `[[1, 2], [3, 4]] · [[1, 0, 2], [0, 1, 3]]`, in columns.
const PRODUCT: [f32; 6] = [1.0, 3.0, 2.0, 4.0, 8.0, 18.0];

#[test]
fn matrices_and_their_transposes_with_gaps_between_columns() {
    on_gpu(|gpu| {
        let cublas = Cublas::new(&gpu);
        let a = (gpu.upload(&[1.0, 3.0, GAP, 2.0, 4.0, GAP]), F32, 3);
        let a_rows = (gpu.upload(&[1.0f32, 2.0, 3.0, 4.0]), F32, 2);
        let b = (gpu.upload(&[1.0f32, 0.0, 0.0, 1.0, 2.0, 3.0]), F32, 2);
        let b_rows = (gpu.upload(&[1.0, 0.0, 2.0, GAP, 0.0, 1.0, 3.0, GAP]), F32, 4);
        let ways = [(N, a, N, b), (T, a_rows, N, b), (N, a, T, b_rows), (C, a_rows, C, b_rows)];
        for (of_a, a, of_b, b) in ways {
            // What is there is not read, be it NaN or nothing.
            let c = (gpu.upload(&[GAP; 9]), F32, 3);
            cublas.gemm([of_a, of_b], [2, 3, 2], host(&[1.0, 0.0]), a, b, c).unwrap();
            let columns = gpu.download::<f32>(c.0, 9).unwrap();
            let (columns, _) = columns.as_chunks::<3>();
            let inside: Vec<f32> =
                columns.iter().flat_map(|column| [column[0], column[1]]).collect();
            assert_eq!(inside, PRODUCT);
            assert!(columns.iter().all(|column| column[2].is_nan()), "the gaps stay");

            let c = (gpu.alloc(24).unwrap(), F32, 2);
            cublas.gemm([of_a, of_b], [2, 3, 2], host(&[1.0, 0.0]), a, b, c).unwrap();
            assert_eq!(gpu.download::<f32>(c.0, 6).unwrap(), PRODUCT);
        }
    });
}

#[test]
fn factors_of_the_host_and_of_the_device() {
    on_gpu(|gpu| {
        let cublas = Cublas::new(&gpu);
        let a = (gpu.upload(&[1.0f32, 3.0, 2.0, 4.0]), F32, 2);
        let b = (gpu.upload(&[1.0f32, 0.0, 0.0, 1.0, 2.0, 3.0]), F32, 2);
        let expected = PRODUCT.map(|x| 2.0 * x + 30.0);
        let c = (gpu.upload(&[10.0f32; 6]), F32, 2);
        cublas.gemm([N, N], [2, 3, 2], host(&[2.0, 3.0]), a, b, c).unwrap();
        assert_eq!(gpu.download::<f32>(c.0, 6).unwrap(), expected);

        let c = (gpu.upload(&[10.0f32; 6]), F32, 2);
        let scalars = gpu.upload(&[2.0f32, 3.0]);
        let scalars = [scalars as *const _, (scalars + 4) as *const _];
        let refused = cublas.gemm([N, N], [2, 3, 2], scalars, a, b, c);
        assert_eq!(refused, Err(Status::CUBLAS_STATUS_INVALID_VALUE), "they are not on the host");
        let device = PointerMode::CUBLAS_POINTER_MODE_DEVICE;
        // SAFETY: the handle is valid.
        unsafe { cublasSetPointerMode_v2(cublas.handle, device) }.result().unwrap();
        cublas.gemm([N, N], [2, 3, 2], scalars, a, b, c).unwrap();
        assert_eq!(gpu.download::<f32>(c.0, 6).unwrap(), expected);
    });
}

#[test]
fn tf32_rounds_factors_and_f32_does_not() {
    on_gpu(|gpu| {
        let mut cublas = Cublas::new(&gpu);
        let x = 1.0 + 2.0f32.powi(-11);
        let (a, b) = ((gpu.upload(&[x]), F32, 1), (gpu.upload(&[1.0f32]), F32, 1));
        let c = (gpu.alloc(4).unwrap(), F32, 1);
        for (compute, expected) in
            [(Compute::CUBLAS_COMPUTE_32F, x), (Compute::CUBLAS_COMPUTE_32F_FAST_TF32, 1.0)]
        {
            cublas.compute = compute;
            cublas.gemm([N, N], [1, 1, 1], host(&[1.0, 0.0]), a, b, c).unwrap();
            assert_eq!(gpu.download::<f32>(c.0, 1).unwrap(), [expected]);
        }
    });
}

#[test]
fn halves_make_halves_or_floats() {
    on_gpu(|gpu| {
        let cublas = Cublas::new(&gpu);
        let (f16s, bf16s) = ([f16::from_f32(1.5); 2], [bf16::from_f32(1.5); 2]);
        let f16s = (gpu.upload(&f16s.map(f16::to_bits)), DataType::CUDA_R_16F);
        let bf16s = (gpu.upload(&bf16s.map(bf16::to_bits)), DataType::CUDA_R_16BF);
        for (at, kind) in [f16s, bf16s] {
            let c = (gpu.alloc(4).unwrap(), F32, 1);
            let (row, column) = ((at, kind, 1), (at, kind, 2));
            cublas.gemm([N, N], [1, 1, 2], host(&[1.0, 0.0]), row, column, c).unwrap();
            assert_eq!(gpu.download::<f32>(c.0, 1).unwrap(), [4.5]);
            let c = (c.0, kind, 1);
            cublas.gemm([N, N], [1, 1, 2], host(&[1.0, 0.0]), row, column, c).unwrap();
            let bits = gpu.download::<u16>(c.0, 1).unwrap()[0];
            let widened = match kind {
                DataType::CUDA_R_16F => f16::from_bits(bits).to_f32(),
                _ => bf16::from_bits(bits).to_f32(),
            };
            assert_eq!(widened, 4.5);
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    on_gpu(|gpu| {
        let cublas = Cublas::new(&gpu);
        let at = gpu.upload(&[0.0f32; 6]);
        let [two, three] = [2, 3].map(|stride| (at, F32, stride));
        let half = (at, DataType::CUDA_R_16F, 2);
        let c = (gpu.alloc(24).unwrap(), F32, 2);
        let gemm =
            |operations, sizes, a, b| cublas.gemm(operations, sizes, host(&[1.0, 0.0]), a, b, c);
        let invalid = Err(Status::CUBLAS_STATUS_INVALID_VALUE);
        assert_eq!(gemm([N, N], [3, 2, 2], two, two), invalid, "columns of A have 3 numbers");
        assert_eq!(gemm([N, T], [2, 3, 2], two, two), invalid, "columns of B have 3 numbers");
        assert_eq!(gemm([N, N], [2, 2, 0], two, two), invalid);
        let unsupported = Err(Status::CUBLAS_STATUS_NOT_SUPPORTED);
        assert_eq!(gemm([N, N], [2, 2, 2], half, two), unsupported);
        let fault = Err(Status::CUBLAS_STATUS_EXECUTION_FAILED);
        // There are two columns of 3 numbers, not three. That is seen on the device.
        let _ = gemm([N, N], [2, 2, 3], three, three);
        assert!(gpu.stream.synchronize().is_err());
        assert_eq!(gemm([N, N], [2, 2, 2], two, two), fault);
    });
}

#[test]
fn bf16_takes_ampere() {
    on_machine(&[("VGG_SIMULATED_CAPABILITY", "7.5")], || {
        let gpu = Gpu::new();
        assert_eq!(gpu.context.compute_capability().unwrap(), (7, 5));
        let cublas = Cublas::new(&gpu);
        let a = (gpu.upload(&[0u16]), DataType::CUDA_R_16BF, 1);
        let c = (gpu.alloc(4).unwrap(), F32, 1);
        let refused = cublas.gemm([N, N], [1, 1, 1], host(&[1.0, 0.0]), a, a, c);
        assert_eq!(refused, Err(Status::CUBLAS_STATUS_ARCH_MISMATCH));
        let a = (a.0, DataType::CUDA_R_16F, 1);
        cublas.gemm([N, N], [1, 1, 1], host(&[1.0, 0.0]), a, a, c).unwrap();
    });
}
