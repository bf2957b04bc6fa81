//! What the simulated machine has, and what it has not.

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, result};
use cudarc::nvrtc::Ptx;
use cudarc::{cublas, cudnn, driver};

use crate::gpu::{Gpu, code, on_machine, without};

/// Whether the driver, cuDNN and cuBLAS are there.
fn present() -> [bool; 3] {
    // SAFETY: loading them runs their initialisers, as loading any library does.
    unsafe {
        [
            driver::sys::is_culib_present(),
            cudnn::sys::is_culib_present(),
            cublas::sys::is_culib_present(),
        ]
    }
}

#[test]
fn each_library_can_be_missing() {
    for (i, missing) in ["libcuda.", "libcudnn.", "libcublas."].into_iter().enumerate() {
        let told = without(&[missing], || println!("present: {:?}", present()));
        let mut expected = [true; 3];
        expected[i] = false;
        let expected = format!("present: {expected:?}");
        assert!(told.is_none_or(|told| told.contains(&expected)), "{missing}");
    }
}

#[test]
fn all_libraries_are_there() {
    on_machine(&[], || {
        assert_eq!(present(), [true; 3]);
        assert_eq!(cudnn::result::get_version() / 10_000, 9);
    });
}

#[test]
fn a_driver_before_cuda_12_refuses_the_ptx() {
    on_machine(&[("VGG_SIMULATED_DRIVER", "11080")], || {
        let gpu = Gpu::new();
        let module = gpu.context.load_module(Ptx::from_src(include_str!("axpy.ptx")));
        assert_eq!(code(module), CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    });
}

#[test]
fn ptx_that_is_none_is_refused_with_its_line() {
    let told = on_machine(&[], || {
        let gpu = Gpu::new();
        let module = gpu.context.load_module(Ptx::from_src("\n.version 8.0\n.nonsense"));
        assert_eq!(code(module), CUresult::CUDA_ERROR_INVALID_PTX);
        let module = gpu.context.load_module(Ptx::from_src(include_str!("axpy.ptx"))).unwrap();
        assert_eq!(code(module.load_function("axpby")), CUresult::CUDA_ERROR_NOT_FOUND);
    });
    assert!(told.is_none_or(|told| told.contains("PTX line 3")));
}

#[test]
fn ptx_for_a_later_gpu_is_refused() {
    on_machine(&[("VGG_SIMULATED_CAPABILITY", "7.5")], || {
        let gpu = Gpu::new();
        let load = |target: &str| {
            let text = include_str!("axpy.ptx").replace("sm_75", target);
            gpu.context.load_module(Ptx::from_src(text))
        };
        assert_eq!(code(load("sm_80")), CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
        load("sm_75").unwrap();
    });
}

#[test]
fn several_devices_or_none() {
    on_machine(&[("VGG_SIMULATED_DEVICES", "2")], || {
        assert_eq!(CudaContext::device_count().unwrap(), 2);
        assert_eq!(CudaContext::new(1).unwrap().name().unwrap(), "Simulated GPU");
        assert_eq!(code(CudaContext::new(2)), CUresult::CUDA_ERROR_INVALID_DEVICE);
    });
}

#[test]
fn no_device() {
    on_machine(&[("VGG_SIMULATED_DEVICES", "0")], || {
        assert_eq!(code(CudaContext::new(0)), CUresult::CUDA_ERROR_NO_DEVICE);
    });
}

#[test]
fn nothing_works_before_the_driver_is_initialised_and_a_context_is_current() {
    on_machine(&[], || {
        assert_eq!(code(result::mem_get_info()), CUresult::CUDA_ERROR_NOT_INITIALIZED);
        let gpu = Gpu::new();
        assert!(result::mem_get_info().is_ok());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| code(result::mem_get_info())).join().unwrap();
            assert_eq!(other, CUresult::CUDA_ERROR_INVALID_CONTEXT);
        });
        drop(gpu);
    });
}

/// Each has its own streams and memory.
#[test]
fn devices_are_apart() {
    on_machine(&[("VGG_SIMULATED_DEVICES", "2")], || {
        let [first, second] = [0, 1].map(|device| CudaContext::new(device).unwrap());
        assert_ne!(first.uuid().unwrap(), second.uuid().unwrap());
        let streams = [&first, &second].map(|context| context.new_stream().unwrap());
        first.bind_to_thread().unwrap();
        // SAFETY: a wrong use of memory of the simulated GPU is reported.
        let alloc = |stream: usize| unsafe { result::malloc_async(streams[stream].cu_stream(), 8) };
        let at = alloc(0).unwrap();
        assert_eq!(code(alloc(1)), CUresult::CUDA_ERROR_INVALID_CONTEXT);
        assert!(first.mem_get_info().unwrap() < second.mem_get_info().unwrap());
        second.bind_to_thread().unwrap();
        let to = alloc(1).unwrap();
        // SAFETY: as above.
        let copied = unsafe { result::memcpy_dtod_async(to, at, 8, streams[1].cu_stream()) };
        assert_eq!(code(copied), CUresult::CUDA_ERROR_INVALID_VALUE);
    });
}
