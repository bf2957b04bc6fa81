//! Convolutions: one row of three pixels with two channels, a kernel of three taps, padding.

use std::ffi::c_void;

use cudarc::cudnn::result::{self, CudnnError};
use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm,
    cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm, cudnnConvolutionDescriptor_t,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionFwdAlgoPerf_t as Proposal,
    cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION, cudnnDataType_t as DataType,
    cudnnFilterDescriptor_t, cudnnHandle_t, cudnnMathType_t as Math, cudnnStatus_t as Status,
    cudnnTensorDescriptor_t, cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
};

use crate::gpu::{Gpu, on_gpu, on_machine};

const X: [f32; 6] = [1.0, 0.0, 2.0, 1.0, 3.0, 0.0];
const WEIGHT: [f32; 6] = [10.0, 1.0, 20.0, 2.0, 30.0, 3.0];
const DY: [f32; 3] = [1.0, 0.0, 2.0];

const PRECOMPUTED: ForwardAlgorithm =
    ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
const PLAIN: ForwardAlgorithm = ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
const DATA: DataAlgorithm = DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
const FILTER: FilterAlgorithm = FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;

struct Cudnn {
    handle: cudnnHandle_t,
    x: cudnnTensorDescriptor_t,
    weight: cudnnFilterDescriptor_t,
    convolution: cudnnConvolutionDescriptor_t,
    y: cudnnTensorDescriptor_t,
}

/// A place and bytes.
type Workspace = (u64, usize);

fn status<T>(result: Result<T, CudnnError>) -> Result<T, Status> {
    result.map_err(|CudnnError(status)| status)
}

impl Cudnn {
    fn new(gpu: &Gpu, of: DataType) -> Self {
        let tensor = |c| {
            let tensor = result::create_tensor_descriptor().unwrap();
            // SAFETY: the descriptor is valid.
            unsafe { result::set_tensor4d_descriptor(tensor, CUDNN_TENSOR_NHWC, of, [1, c, 1, 3]) }
                .unwrap();
            tensor
        };
        let handle = result::create_handle().unwrap();
        let weight = result::create_filter_descriptor().unwrap();
        let convolution = result::create_convolution_descriptor().unwrap();
        // SAFETY: handle and descriptors are valid, and the stream lives as long as the test.
        unsafe {
            result::set_stream(handle, gpu.stream.cu_stream().cast()).unwrap();
            result::set_filter4d_descriptor(weight, of, CUDNN_TENSOR_NHWC, [1, 2, 1, 3]).unwrap();
            let sums = DataType::CUDNN_DATA_FLOAT;
            result::set_convolution2d_descriptor(
                convolution,
                0,
                1,
                1,
                1,
                1,
                1,
                CUDNN_CROSS_CORRELATION,
                sums,
            )
            .unwrap();
        }
        Self { handle, x: tensor(2), weight, convolution, y: tensor(1) }
    }

    fn set_math(&self, math: Math) {
        // SAFETY: the descriptor is valid.
        unsafe { result::set_convolution_math_type(self.convolution, math) }.unwrap();
    }

    fn proposals(&self) -> Result<Vec<Proposal>, Status> {
        let mut found: Vec<Proposal> = Vec::with_capacity(8);
        let mut count = 0;
        // SAFETY: there is room for so many.
        status(unsafe {
            result::get_convolution_forward_algorithm(
                self.handle,
                self.x,
                self.weight,
                self.convolution,
                self.y,
                8,
                &raw mut count,
                found.as_mut_ptr(),
            )
        })?;
        // SAFETY: that many were written.
        unsafe { found.set_len(count as usize) };
        Ok(found)
    }

    /// What an algorithm needs.
    fn workspace(&self, gpu: &Gpu) -> Workspace {
        // SAFETY: handle and descriptors are valid.
        let bytes = unsafe {
            result::get_convolution_forward_workspace_size(
                self.handle,
                self.x,
                self.weight,
                self.convolution,
                self.y,
                PRECOMPUTED,
            )
        };
        let bytes = bytes.unwrap();
        (gpu.alloc(bytes).unwrap(), bytes)
    }

    fn forward(
        &self,
        algorithm: ForwardAlgorithm,
        [alpha, beta]: [f32; 2],
        x: u64,
        weight: u64,
        y: u64,
        workspace: Workspace,
    ) -> Result<(), Status> {
        // SAFETY: handle and descriptors are valid; the simulated library checks the memory.
        status(unsafe {
            result::convolution_forward(
                self.handle,
                pointer(&alpha),
                self.x,
                x as *const _,
                self.weight,
                weight as *const _,
                self.convolution,
                algorithm,
                workspace.0 as *mut _,
                workspace.1,
                pointer(&beta),
                self.y,
                y as *mut _,
            )
        })
    }

    fn backward_filter(
        &self,
        algorithm: FilterAlgorithm,
        x: u64,
        dy: u64,
        dweight: u64,
        workspace: Workspace,
    ) -> Result<(), Status> {
        // SAFETY: as above.
        status(unsafe {
            result::convolution_backward_filter(
                self.handle,
                pointer(&1.0),
                self.x,
                x as *const _,
                self.y,
                dy as *const _,
                self.convolution,
                algorithm,
                workspace.0 as *mut _,
                workspace.1,
                pointer(&0.0),
                self.weight,
                dweight as *mut _,
            )
        })
    }
}

fn pointer(scalar: &f32) -> *const c_void {
    (&raw const *scalar).cast()
}

#[test]
fn forward() {
    on_gpu(|gpu| {
        let cudnn = Cudnn::new(&gpu, DataType::CUDNN_DATA_FLOAT);
        let (x, weight) = (gpu.upload(&X), gpu.upload(&WEIGHT));
        let workspace = cudnn.workspace(&gpu);
        let y = gpu.alloc(12).unwrap();
        for before in [f32::NAN, 1.0] {
            // Nothing is read of y, which is nothing at first.
            cudnn.forward(PRECOMPUTED, [1.0, 0.0], x, weight, y, workspace).unwrap();
            assert_eq!(gpu.download::<f32>(y, 3).unwrap(), [83.0, 142.0, 81.0]);
            gpu.copy(&gpu.stream, y, gpu.upload(&[before; 3]), 12).unwrap();
        }
        cudnn.forward(PLAIN, [2.0, 3.0], x, weight, y, (0, 0)).unwrap();
        assert_eq!(gpu.download::<f32>(y, 3).unwrap(), [169.0, 287.0, 165.0]);
    });
}

#[test]
fn both_gradients() {
    on_gpu(|gpu| {
        let cudnn = Cudnn::new(&gpu, DataType::CUDNN_DATA_FLOAT);
        let (x, weight, dy) = (gpu.upload(&X), gpu.upload(&WEIGHT), gpu.upload(&DY));
        let (dx, dweight) = (gpu.upload(&[f32::NAN; 6]), gpu.upload(&[f32::NAN; 6]));
        let workspace = cudnn.workspace(&gpu);
        let (at, bytes) = (workspace.0 as *mut _, workspace.1);
        // SAFETY: handle and descriptors are valid, and the memory is what they say.
        unsafe {
            result::convolution_backward_data(
                cudnn.handle,
                pointer(&1.0),
                cudnn.weight,
                weight as *const _,
                cudnn.y,
                dy as *const _,
                cudnn.convolution,
                DATA,
                at,
                bytes,
                pointer(&0.0),
                cudnn.x,
                dx as *mut _,
            )
            .unwrap();
        }
        cudnn.backward_filter(FILTER, x, dy, dweight, workspace).unwrap();
        assert_eq!(gpu.download::<f32>(dx, 6).unwrap(), [20.0, 2.0, 50.0, 5.0, 40.0, 4.0]);
        assert_eq!(gpu.download::<f32>(dweight, 6).unwrap(), [4.0, 2.0, 7.0, 0.0, 2.0, 1.0]);
    });
}

#[test]
fn sums_differ_from_run_to_run_where_it_is_said() {
    on_gpu(|gpu| {
        let cudnn = Cudnn::new(&gpu, DataType::CUDNN_DATA_FLOAT);
        let (x, dy) = (gpu.upload(&X), gpu.upload(&DY));
        let (dweight, workspace) = (gpu.alloc(24).unwrap(), cudnn.workspace(&gpu));
        let always_the_same = |algorithm| {
            let runs = [(); 20].map(|()| {
                cudnn.backward_filter(algorithm, x, dy, dweight, workspace).unwrap();
                gpu.download::<u32>(dweight, 6).unwrap()
            });
            runs.iter().all(|run| *run == runs[0])
        };
        assert!(always_the_same(FILTER));
        assert!(!always_the_same(FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0));
    });
}

#[test]
fn proposals_begin_with_what_cannot_be_used() {
    on_gpu(|gpu| {
        let cudnn = Cudnn::new(&gpu, DataType::CUDNN_DATA_FLOAT);
        let statuses = |cudnn: &Cudnn| {
            let proposals = cudnn.proposals().unwrap();
            proposals
                .iter()
                .map(|proposal| (proposal.status, proposal.mathType))
                .collect::<Vec<_>>()
        };
        let conversion = Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
        let first = statuses(&cudnn);
        assert_eq!(first[0], (Status::CUDNN_STATUS_NOT_SUPPORTED, conversion));
        cudnn.set_math(Math::CUDNN_FMA_MATH);
        assert!(statuses(&cudnn).iter().all(|(_, math)| *math == Math::CUDNN_FMA_MATH));
        let unsupported = ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD;
        let (x, weight) = (gpu.upload(&X), gpu.upload(&WEIGHT));
        let y = gpu.alloc(12).unwrap();
        let refused = cudnn.forward(unsupported, [1.0, 0.0], x, weight, y, (0, 0));
        assert_eq!(refused, Err(Status::CUDNN_STATUS_NOT_SUPPORTED));
    });
}

#[test]
fn math_that_rounds_and_math_that_does_not() {
    on_gpu(|gpu| {
        let cudnn = Cudnn::new(&gpu, DataType::CUDNN_DATA_FLOAT);
        let numbers = [1.0 + 2.0f32.powi(-11), 0.0, 1.0 + 2.0f32.powi(-11), 0.0, 1e-9, 0.0];
        let (x, weight) = (gpu.upload(&numbers), gpu.upload(&[0.0f32, 0.0, 1.0, 0.0, 0.0, 0.0]));
        let y = gpu.alloc(12).unwrap();
        let of = |math| {
            cudnn.set_math(math);
            cudnn.forward(PLAIN, [1.0, 0.0], x, weight, y, (0, 0)).unwrap();
            gpu.download::<f32>(y, 3).unwrap()
        };
        assert_eq!(of(Math::CUDNN_FMA_MATH), [numbers[0], numbers[0], 1e-9]);
        let tf32 = of(Math::CUDNN_DEFAULT_MATH);
        assert_eq!(tf32[..2], [1.0; 2]);
        assert!((tf32[2] / 1e-9 - 1.0).abs() < 1e-3);
        assert_eq!(of(Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION), [1.0, 1.0, 0.0]);
    });
}

#[test]
fn wrong_memory_is_refused() {
    on_gpu(|gpu| {
        let cudnn = Cudnn::new(&gpu, DataType::CUDNN_DATA_FLOAT);
        let memory = gpu.upload(&[0.0f32; 256]);
        let [x, weight, y] = [0, 256, 512].map(|offset| memory + offset);
        let (at, bytes) = cudnn.workspace(&gpu);
        let forward = |x, y, workspace| {
            cudnn.forward(PRECOMPUTED, [1.0, 0.0], x, weight, y, workspace).unwrap_err()
        };
        let insufficient = Status::CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
        assert_eq!(forward(x, y, (at, bytes - 1)), insufficient);
        assert_eq!(forward(x, y, (0, bytes)), Status::CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
        assert_eq!(forward(x, x + 16, (at, bytes)), Status::CUDNN_STATUS_BAD_PARAM, "overlap");
        assert_eq!(forward(x, weight, (at, bytes)), Status::CUDNN_STATUS_BAD_PARAM, "overlap");
        assert_eq!(forward(x, y, (x, bytes)), Status::CUDNN_STATUS_BAD_PARAM, "overlap");
        let misaligned = Status::CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
        assert_eq!(forward(x + 4, y, (at, bytes)), misaligned);
        // A workspace that is smaller than was said is seen on the device.
        let short = gpu.alloc(bytes - 256).unwrap();
        let _ = cudnn.forward(PRECOMPUTED, [1.0, 0.0], x, weight, y, (short, bytes));
        assert!(gpu.stream.synchronize().is_err());
    });
}

#[test]
fn bf16_takes_ampere() {
    on_machine(&[("VGG_SIMULATED_CAPABILITY", "7.5")], || {
        let gpu = Gpu::new();
        let bf16 = Cudnn::new(&gpu, DataType::CUDNN_DATA_BFLOAT16);
        assert_eq!(bf16.proposals().err(), Some(Status::CUDNN_STATUS_NOT_SUPPORTED));
        let f16 = Cudnn::new(&gpu, DataType::CUDNN_DATA_HALF);
        assert!(f16.proposals().is_ok());
    });
}

#[test]
fn sizes_beyond_32_bits_are_refused() {
    on_gpu(|_| {
        let tensor = result::create_tensor_descriptor().unwrap();
        for sides in [[i32::MAX; 4], [2, 1 << 10, 1 << 10, 1 << 10]] {
            let of = DataType::CUDNN_DATA_FLOAT;
            // SAFETY: the descriptor is valid.
            let result =
                unsafe { result::set_tensor4d_descriptor(tensor, CUDNN_TENSOR_NHWC, of, sides) };
            assert_eq!(status(result), Err(Status::CUDNN_STATUS_NOT_SUPPORTED));
        }
    });
}
