//! The functions of `libcublas.so.12` and `.13`, which are the same.

use std::ffi::{c_int, c_uint};

use cudarc::cublas::sys::cublasStatus_t as Status;
use cudarc::cublas::sys::{
    cublasComputeType_t as Compute, cublasGemmAlgo_t, cublasMath_t as Math,
    cublasOperation_t as Operation, cublasPointerMode_t as PointerMode, cudaDataType as DataType,
    libraryPropertyType,
};
use vgg_ptx::Memory as _;

use crate::driver::order as driver_order;
use crate::ffi::{Handle, Host, Out};
use crate::memory::Memory;
use crate::numbers::{Type, round_to_tf32};
use crate::state::{self, Blas, Result, State};
use crate::work::Task;

/// Its version behind that of CUDA.
const VERSION: [c_int; 2] = [4, 5];

/// Terms of a sum that are added up together, as where many multiprocessors share a product.
const PART: usize = 32;

fn version(state: &State) -> [c_int; 3] {
    [state.settings.toolkit, VERSION[0], VERSION[1]]
}

/// Where a factor of a product comes from.
#[derive(Clone, Copy)]
enum Scalar {
    Host(f32),
    Device(u64),
}

/// A matrix, column after column.
#[derive(Clone, Copy)]
struct Matrix {
    at: u64,
    kind: Type,
    rows: usize,
    columns: usize,
    stride: usize,
}

macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) |$state:ident| $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> Status {
            let panicked = Status::CUBLAS_STATUS_INTERNAL_ERROR;
            state::call(Status::CUBLAS_STATUS_SUCCESS, panicked, |$state| $body)
        }
    )*};
}

fn needed<T>(option: Option<T>) -> Result<T, Status> {
    option.ok_or(Status::CUBLAS_STATUS_INVALID_VALUE)
}

fn known(state: &mut State, handle: Handle) -> Result<&mut Blas, Status> {
    state.blas.get_mut(&handle).ok_or(Status::CUBLAS_STATUS_NOT_INITIALIZED)
}

functions! {
    fn cublasCreate_v2(to: Out<Handle>) |state| {
        state.check_context().map_err(|_| Status::CUBLAS_STATUS_NOT_INITIALIZED)?;
        let handle = state.new_handle();
        state.blas.insert(handle, Blas { stream: 0, scalars_on_device: false, reduced_sums: true });
        needed(to.put(handle))
    }

    fn cublasDestroy_v2(handle: Handle) |state| {
        known(state, handle)?;
        state.blas.remove(&handle);
        Ok(())
    }

    fn cublasGetVersion_v2(handle: Handle, version: Out<c_int>) |state| {
        known(state, handle)?;
        let [major, minor, patch] = self::version(state);
        needed(version.put(10_000 * major + 100 * minor + patch))
    }

    fn cublasGetProperty(which: libraryPropertyType, value: Out<c_int>) |state| {
        needed(value.put(version(state)[which as usize % 3]))
    }

    fn cublasSetStream_v2(handle: Handle, stream: Handle) |state| {
        known(state, handle)?.stream = stream;
        Ok(())
    }

    fn cublasSetWorkspace_v2(handle: Handle, workspace: u64, bytes: usize) |state| {
        known(state, handle)?;
        let room = state.memory.allocations.get(&workspace).is_some_and(|(size, _)| *size >= bytes);
        if room && workspace.is_multiple_of(256) {
            Ok(())
        } else {
            Err(Status::CUBLAS_STATUS_INVALID_VALUE)
        }
    }

    fn cublasSetPointerMode_v2(handle: Handle, mode: PointerMode) |state| {
        let device = PointerMode::CUBLAS_POINTER_MODE_DEVICE;
        known(state, handle)?.scalars_on_device = mode == device;
        Ok(())
    }

    // A mode and flags, so that it need not be one of those that have names.
    fn cublasSetMathMode(handle: Handle, mode: c_uint) |state| {
        let forbids = Math::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION as c_uint;
        if mode & !forbids > Math::CUBLAS_TF32_TENSOR_OP_MATH as c_uint {
            return Err(Status::CUBLAS_STATUS_INVALID_VALUE);
        }
        known(state, handle)?.reduced_sums = mode & forbids == 0;
        Ok(())
    }

    fn cublasGemmEx(
        handle: Handle,
        operation_a: Operation,
        operation_b: Operation,
        m: c_int,
        n: c_int,
        k: c_int,
        alpha: Host,
        a: u64,
        type_a: DataType,
        stride_a: c_int,
        b: u64,
        type_b: DataType,
        stride_b: c_int,
        beta: Host,
        c: u64,
        type_c: DataType,
        stride_c: c_int,
        compute: Compute,
        _algorithm: cublasGemmAlgo_t,
    ) |state| {
        let Blas { stream, scalars_on_device, reduced_sums } = *known(state, handle)?;
        let sizes = [m, n, k, stride_a, stride_b, stride_c];
        if sizes.iter().any(|size| *size <= 0) {
            return Err(Status::CUBLAS_STATUS_INVALID_VALUE);
        }
        let [m, n, k, stride_a, stride_b, stride_c] = sizes.map(|size| size as usize);
        let scalar = |at: Host| match scalars_on_device {
            true => Ok(Scalar::Device(at.address() as u64)),
            false => {
                state.check_host(at).map_err(|_| Status::CUBLAS_STATUS_INVALID_VALUE)?;
                needed(at.f32()).map(Scalar::Host)
            }
        };
        let (alpha, beta) = (scalar(alpha)?, scalar(beta)?);
        let [type_a, type_b, type_c] = [type_a, type_b, type_c].map(kind);
        let (type_a, type_b, type_c) = (type_a?, type_b?, type_c?);
        // Factors are of one type, and the product of the same or wider.
        if type_a != type_b || type_c != type_a && type_c != Type::F32 {
            return Err(Status::CUBLAS_STATUS_NOT_SUPPORTED);
        }
        if type_a == Type::Bf16 && state.settings.capability.0 < 8 {
            return Err(Status::CUBLAS_STATUS_ARCH_MISMATCH);
        }
        let tf32 = match compute {
            Compute::CUBLAS_COMPUTE_32F | Compute::CUBLAS_COMPUTE_32F_PEDANTIC => false,
            Compute::CUBLAS_COMPUTE_32F_FAST_TF32 => type_a == Type::F32,
            _ => return Err(Status::CUBLAS_STATUS_NOT_SUPPORTED),
        };
        // Conjugates of real numbers are themselves.
        let transposed = |operation| operation != Operation::CUBLAS_OP_N;
        let matrix = |at, kind, stride, rows, columns, transposed| match transposed {
            true => Matrix { at, kind, rows: columns, columns: rows, stride },
            false => Matrix { at, kind, rows, columns, stride },
        };
        let a = matrix(a, type_a, stride_a, m, k, transposed(operation_a));
        let b = matrix(b, type_b, stride_b, k, n, transposed(operation_b));
        let c = matrix(c, type_c, stride_c, m, n, false);
        if [a, b, c].iter().any(|matrix| matrix.stride < matrix.rows) {
            return Err(Status::CUBLAS_STATUS_INVALID_VALUE);
        }
        let transposed = [operation_a, operation_b].map(transposed);
        let part = if reduced_sums { PART } else { k };
        let product = Product { a, b, c, transposed, k, part, alpha, beta, tf32 };
        driver_order(state, stream, Task::run(move |memory, _| {
            if let Err(error) = product.compute(memory) {
                memory.fail(&format!("cublasGemmEx: {error}"));
            }
        }))
        .map_err(|_| Status::CUBLAS_STATUS_EXECUTION_FAILED)
    }
}

fn kind(of: DataType) -> Result<Type, Status> {
    match of {
        DataType::CUDA_R_32F => Ok(Type::F32),
        DataType::CUDA_R_16F => Ok(Type::F16),
        DataType::CUDA_R_16BF => Ok(Type::Bf16),
        _ => Err(Status::CUBLAS_STATUS_NOT_SUPPORTED),
    }
}

#[derive(Clone, Copy)]
struct Product {
    a: Matrix,
    b: Matrix,
    c: Matrix,
    transposed: [bool; 2],
    k: usize,
    /// Terms that are added up before they are rounded to the type of `c`.
    part: usize,
    alpha: Scalar,
    beta: Scalar,
    tf32: bool,
}

impl Product {
    fn compute(&self, memory: &mut Memory) -> Result<(), vgg_ptx::MemoryError> {
        let scalar = |memory: &Memory, scalar| match scalar {
            Scalar::Host(value) => Ok(value),
            Scalar::Device(at) => {
                memory.device.download(at, 4).map(|bytes| Type::F32.decode(&bytes)[0])
            }
        };
        let (alpha, beta) = (scalar(memory, self.alpha)?, scalar(memory, self.beta)?);
        let factors = |memory: &Memory, matrix: &Matrix| {
            let numbers = matrix.read(memory)?;
            let rounded = numbers.iter().map(|x| if self.tf32 { round_to_tf32(*x) } else { *x });
            Ok(rounded.map(f64::from).collect::<Vec<_>>())
        };
        let a = transposed(factors(memory, &self.a)?, &self.a, self.transposed[0]);
        let b = transposed(factors(memory, &self.b)?, &self.b, self.transposed[1]);
        let (m, n, k) = (self.c.rows, self.c.columns, self.k);
        // What is not asked for is not read: it may be anything.
        let before = if beta == 0.0 { vec![0.0; m * n] } else { self.c.read(memory)? };
        let mut sums = vec![0.0f64; m];
        for j in 0..n {
            sums.fill(0.0);
            for l in 0..k {
                if l > 0 && l % self.part == 0 {
                    self.c.kind.round(&mut sums);
                }
                let factor = b[j * k + l];
                for (sum, a) in sums.iter_mut().zip(&a[l * m..(l + 1) * m]) {
                    *sum += a * factor;
                }
            }
            let column: Vec<f32> = (0..m)
                .map(|i| (f64::from(alpha) * sums[i]) as f32 + beta * before[j * m + i])
                .collect();
            let at = self.c.at + (j * self.c.stride * self.c.kind.bytes()) as u64;
            memory.device.write(at, &self.c.kind.encode(&column))?;
        }
        Ok(())
    }
}

impl Matrix {
    /// Its numbers, column after column without gaps.
    fn read(&self, memory: &Memory) -> Result<Vec<f32>, vgg_ptx::MemoryError> {
        let mut numbers = Vec::new();
        for column in 0..self.columns {
            let at = self.at + (column * self.stride * self.kind.bytes()) as u64;
            let bytes = memory.device.download(at, self.rows * self.kind.bytes())?;
            numbers.extend(self.kind.decode(&bytes));
        }
        Ok(numbers)
    }
}

/// The numbers of the matrix that is meant.
fn transposed(numbers: Vec<f64>, stored: &Matrix, transposed: bool) -> Vec<f64> {
    if !transposed {
        return numbers;
    }
    let (rows, columns) = (stored.rows, stored.columns);
    (0..rows)
        .flat_map(|i| (0..columns).map(move |j| (i, j)))
        .map(|(i, j)| numbers[j * rows + i])
        .collect()
}
