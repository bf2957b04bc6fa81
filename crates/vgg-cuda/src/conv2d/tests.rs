//! Our descriptors against cuDNN's own opinion of them.
//!
//! Its descriptors work where there is no GPU. The real library is large and not part of this
//! project: an environment variable says where it is.
#![expect(clippy::print_stdout, reason = "tests say which cuDNN they asked, or that there is none")]

use std::env;
use std::error::Error;
use std::ffi::c_int;
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;

use cudarc::cudnn::sys;
use cudarc::cudnn::sys::cudnnDataType_t::{self as Type, *};
use cudarc::cudnn::sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
use vgg_simulated_cuda::Libraries;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};
use vgg_tensor::{Content, Shape};
use vgg_testkit::cases;

use super::descriptor::{Convolution, Filter, Tensor};
use crate::libraries::codes::Code;
use crate::libraries::cudnn::{
    cudnnCreateTensorDescriptor, cudnnSetConvolution2dDescriptor, cudnnSetConvolutionMathType,
    cudnnSetFilter4dDescriptor, cudnnSetTensor4dDescriptor,
};
use crate::precision::Storage;
use crate::{Precision, buffer};

/// The folder of the real `libcudnn.so.9` and the libraries that it opens: after `pip install
/// --no-deps --target DIR nvidia-cudnn-cu12`, it is `DIR/nvidia/cudnn/lib`.
const REAL: &str = "VGG_CUDNN_DIR";

/// Set in a process that was started for one test, with the folder of its cuDNN in
/// `LD_LIBRARY_PATH`.
const STARTED: &str = "VGG_CUDNN_TEST";

macro_rules! path {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name))
    };
}

#[test]
fn the_real_cudnn_understands_our_descriptors() {
    if !has_real(path!(the_real_cudnn_understands_our_descriptors)) {
        return;
    }
    let mut count = 0;
    let mut check = |op: &Conv2d| {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            agrees(precision.storage(), op)
                .unwrap_or_else(|error| panic!("{op:?} in {}: {error:?}", precision.name()));
            count += 1;
        }
    };
    cases::conv2d::table().iter().for_each(&mut check);
    cases::for_random(cases::conv2d::random(), |op| check(&op));
    layers_of_vgg().iter().for_each(&mut check);
    println!("{count} convolutions are what they are to us");
}

#[test]
fn the_real_cudnn_refuses_what_we_expect() {
    if has_real(path!(the_real_cudnn_refuses_what_we_expect)) {
        check_refusals();
    }
}

/// So that what the other tests run on is no more lenient than the real one.
#[test]
fn the_simulated_cudnn_refuses_the_same() {
    let libraries = Libraries::all().expect("the simulated libraries are built");
    if has_cudnn(libraries.folder(), path!(the_simulated_cudnn_refuses_the_same)) {
        check_refusals();
    }
}

/// Whether this process has the real cuDNN. If not, runs the test of this path in one that has, or
/// says that there is none.
fn has_real(test: &str) -> bool {
    match env::var_os(REAL) {
        Some(folder) => has_cudnn(folder.as_ref(), test),
        None => {
            println!("skipped: {REAL} does not say where the real cuDNN is");
            false
        }
    }
}

/// Whether this process has the cuDNN of the folder. If not, runs the test of this path in one that
/// has: the dynamic linker looks where the environment said when a process was started.
fn has_cudnn(folder: &Path, test: &str) -> bool {
    if env::var_os(STARTED).is_some() {
        let [_, cudnn, _] = crate::libraries();
        cudnn.check().unwrap_or_else(|error| panic!("{error}"));
        println!("cuDNN {}", cudnn.version.unwrap_or_default());
        return true;
    }
    let (_, name) = test.split_once("::").expect("a path begins with the crate's name");
    let output = Command::new(env::current_exe().expect("this test"))
        .args([name, "--exact", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .env(STARTED, "1")
        .output()
        .expect("this test can be started");
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("{stdout}");
    assert!(output.status.success(), "{name} with {folder:?}: {}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "{name} did not run");
    false
}

/// The convolutions of Simonyan & Zisserman 2014, table 1, columns A to E, on 224×224: of full width
/// on colour images, and of a quarter of it on gray ones.
fn layers_of_vgg() -> Vec<Conv2d> {
    // The side of the maps, and the channels in and out.
    const STAGES: [[usize; 3]; 9] = [
        [224, 3, 64],
        [224, 64, 64],
        [112, 64, 128],
        [112, 128, 128],
        [56, 128, 256],
        [56, 256, 256],
        [28, 256, 512],
        [28, 512, 512],
        [14, 512, 512],
    ];
    let mut convolutions = Vec::new();
    for [side, c_in, c_out] in STAGES {
        for kernel in [3, 1] {
            for (n, c_in, c_out) in [(64, c_in, c_out), (128, (c_in / 4).max(1), c_out / 4)] {
                let x = Shape::new(n, c_in, side, side);
                let op = Conv2d::new(x, c_out, kernel, kernel / 2, ConvEpilogue::BiasRelu);
                convolutions.push(op.expect("a convolution"));
            }
        }
    }
    convolutions
}

/// Passes if cuDNN takes a convolution's descriptors, finds the outputs' shape that we find, and
/// needs the memory that we give it.
fn agrees(storage: Storage, op: &Conv2d) -> Result<(), Box<dyn Error>> {
    let (x, y) = (Tensor::new(storage, op.x())?, Tensor::new(storage, op.conv_y())?);
    let weight = Filter::new(storage, op.c_out(), op.x().c, op.kernel())?;
    let convolution = Convolution::new(op)?;

    let Shape { n, c, h, w } = op.conv_y();
    assert_eq!(output(&convolution, &x, &weight)?, [n, c, h, w].map(|side| side as c_int));
    for (tensor, shape) in [(&x, op.x()), (&y, op.conv_y())] {
        let mut bytes = 0;
        // SAFETY: the descriptor is valid, and `bytes` lives.
        unsafe { sys::cudnnGetTensorSizeInBytes(tensor.raw(), &raw mut bytes) }.result()?;
        assert_eq!(bytes, buffer::bytes(storage, Content::Maps(shape)));
    }
    let mut bytes = 0;
    // SAFETY: as above.
    unsafe { sys::cudnnGetFilterSizeInBytes(weight.raw(), &raw mut bytes) }.result()?;
    assert_eq!(bytes, storage.bytes() * op.weight().len());
    Ok(())
}

/// The shape of a convolution's output.
fn output(
    convolution: &Convolution,
    x: &Tensor,
    weight: &Filter,
) -> Result<[c_int; 4], Box<dyn Error>> {
    let [mut n, mut c, mut h, mut w] = [0; 4];
    // SAFETY: the descriptors are valid, and the numbers live.
    unsafe {
        sys::cudnnGetConvolution2dForwardOutputDim(
            convolution.raw(),
            x.raw(),
            weight.raw(),
            &raw mut n,
            &raw mut c,
            &raw mut h,
            &raw mut w,
        )
    }
    .result()?;
    Ok([n, c, h, w])
}

type Status = Code<sys::cudnnStatus_t>;

/// What a status is about, without the details that versions of cuDNN differ in.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    BadParameter,
    NotSupported,
}
use Answer::{BadParameter, Done, NotSupported};

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        match status.number() / 1000 {
            0 => Done,
            2 => BadParameter,
            3 => NotSupported,
            _ => panic!("{status:?}"),
        }
    }
}

/// Passes if cuDNN answers as listed here. Those that are done show that the others are refused for
/// what is wrong with them.
fn check_refusals() {
    let most = c_int::MAX;
    let tensors = [
        ([2, 3, 4, 5], Done),
        ([0, 3, 4, 5], BadParameter),
        ([2, 0, 4, 5], BadParameter),
        ([2, 3, 0, 5], BadParameter),
        ([2, 3, 4, 0], BadParameter),
        ([-1, 3, 4, 5], BadParameter), // what we make of sizes above 31 bits
        ([2, 3, 4, -1], BadParameter),
        ([most, 1, 1, 1], Done),
        ([most, 2, 1, 1], NotSupported),
        ([1 << 15, 1 << 8, 1 << 8, 1], NotSupported),
    ];
    for of in [CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16] {
        for (dims, expected) in &tensors {
            assert_eq!(Answer::from(tensor(of, *dims)), *expected, "{dims:?}");
        }
    }
    let filters = [
        ([2, 3, 3, 3], Done),
        ([0, 3, 3, 3], BadParameter),
        ([2, 0, 3, 3], BadParameter),
        ([2, 3, 0, 3], BadParameter),
        ([2, 3, 3, -1], BadParameter),
    ];
    for of in [CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16] {
        for (dims, expected) in &filters {
            assert_eq!(Answer::from(filter(of, *dims)), *expected, "{dims:?}");
        }
    }
    let convolutions = [
        ([0, 0], [1, 1], Done),
        ([0, 3], [4, 2], Done),
        ([-1, 0], [1, 1], BadParameter),
        ([0, -1], [1, 1], BadParameter),
        ([0, 0], [0, 1], BadParameter),
        ([0, 0], [1, -1], BadParameter),
    ];
    for (padding, stride, expected) in convolutions {
        let answer = Answer::from(convolution(padding, stride));
        assert_eq!(answer, expected, "padding {padding:?}, stride {stride:?}");
    }
    // SAFETY: no descriptor is refused before anything is read or written.
    let missing: [Status; 4] = unsafe {
        [
            cudnnSetTensor4dDescriptor(null_mut(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 1),
            cudnnSetFilter4dDescriptor(null_mut(), CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, 1, 1, 1, 1),
            cudnnSetConvolutionMathType(null_mut(), sys::cudnnMathType_t::CUDNN_FMA_MATH),
            cudnnCreateTensorDescriptor(null_mut()),
        ]
    };
    for status in missing {
        assert_eq!(Answer::from(status), BadParameter);
    }
}

/// The status of describing a tensor.
fn tensor(of: Type, [n, c, h, w]: [c_int; 4]) -> Status {
    let some = Tensor::new(Storage::F32, Shape::new(1, 1, 1, 1)).expect("a descriptor");
    // SAFETY: the descriptor is valid.
    unsafe { cudnnSetTensor4dDescriptor(some.raw(), CUDNN_TENSOR_NHWC, of, n, c, h, w) }
}

/// The status of describing a filter.
fn filter(of: Type, [k, c, h, w]: [c_int; 4]) -> Status {
    let some = Filter::new(Storage::F32, 1, 1, 1).expect("a descriptor");
    // SAFETY: the descriptor is valid.
    unsafe { cudnnSetFilter4dDescriptor(some.raw(), of, CUDNN_TENSOR_NHWC, k, c, h, w) }
}

/// The status of describing a convolution.
fn convolution([rows, columns]: [c_int; 2], [down, across]: [c_int; 2]) -> Status {
    let op = Conv2d::new(Shape::new(1, 1, 1, 1), 1, 1, 0, ConvEpilogue::Bias);
    let some = Convolution::new(&op.expect("a convolution")).expect("a descriptor");
    let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
    // SAFETY: the descriptor is valid.
    unsafe {
        cudnnSetConvolution2dDescriptor(
            some.raw(),
            rows,
            columns,
            down,
            across,
            1,
            1,
            mode,
            CUDNN_DATA_FLOAT,
        )
    }
}
