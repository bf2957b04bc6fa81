//! Device memory, pinned memory, and copies between them.

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult};

use crate::gpu::{Gpu, code, on_gpu, on_machine};

#[test]
fn what_is_uploaded_is_downloaded() {
    on_gpu(|gpu| {
        let at = gpu.upload(&[1.5f32, -2.0, 3.0]);
        assert_eq!(gpu.download::<f32>(at, 3).unwrap(), [1.5, -2.0, 3.0]);
        assert_eq!(gpu.download::<f32>(at + 4, 2).unwrap(), [-2.0, 3.0]);
        gpu.fill(&gpu.stream, at + 4, 0, 4).unwrap();
        // SAFETY: the memory has this word.
        unsafe { sys::cuMemsetD32Async(at + 8, 4.0f32.to_bits(), 1, gpu.stream.cu_stream()) }
            .result()
            .unwrap();
        assert_eq!(gpu.download::<f32>(at, 3).unwrap(), [1.5, 0.0, 4.0]);
    });
}

#[test]
fn memory_runs_out() {
    on_machine(&[("VGG_SIMULATED_MEMORY", "1000")], || {
        let gpu = Gpu::new();
        assert_eq!(gpu.context.mem_get_info().unwrap(), (1000, 1000));
        let at = gpu.alloc(600).unwrap();
        assert_eq!(gpu.context.mem_get_info().unwrap(), (400, 1000));
        assert_eq!(code(gpu.alloc(401)), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(code(gpu.alloc(usize::MAX)), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        // That is no fault of the device.
        gpu.free(at).unwrap();
        gpu.alloc(1000).unwrap();
    });
}

#[test]
fn copies_outside_of_allocations_are_refused() {
    on_gpu(|gpu| {
        let at = gpu.upload(&[0u8; 16]);
        let refused = CUresult::CUDA_ERROR_INVALID_VALUE;
        assert_eq!(code(gpu.download::<u8>(at, 17)), refused);
        assert_eq!(code(gpu.download::<u8>(at + 16, 1)), refused);
        assert_eq!(code(gpu.fill(&gpu.stream, at, 0, usize::MAX)), refused);
        assert_eq!(code(gpu.copy(&gpu.stream, at, at + 8, 9)), refused);
        assert_eq!(code(gpu.free(at + 8)), refused);
        gpu.free(at).unwrap();
        assert_eq!(code(gpu.free(at)), refused);
        assert_eq!(code(gpu.download::<u8>(at, 1)), refused);
    });
}

/// They are not followed, which would end the process.
#[test]
fn device_memory_is_not_taken_for_the_hosts() {
    on_gpu(|gpu| {
        let at = gpu.upload(&[0u8; 16]);
        let host = at as *mut _;
        let stream = gpu.stream.cu_stream();
        // SAFETY: the simulated driver refuses such an address.
        unsafe {
            let up = sys::cuMemcpyHtoDAsync_v2(at, host, 16, stream);
            assert_eq!(up, CUresult::CUDA_ERROR_INVALID_VALUE);
            let down = sys::cuMemcpyDtoHAsync_v2(host, at, 16, stream);
            assert_eq!(down, CUresult::CUDA_ERROR_INVALID_VALUE);
        }
    });
}

/// Copies a byte up through memory that is overwritten right after, and waits for that or not.
fn arrivals(gpu: &Gpu, waits: bool) -> Vec<bool> {
    let to = gpu.upload(&[0u8]);
    // SAFETY: any byte is one.
    let mut pinned = unsafe { gpu.context.alloc_pinned_with_flags::<u8>(1, 0) }.unwrap();
    (1..=40)
        .map(|value| {
            pinned.as_mut_slice().unwrap()[0] = value;
            let from = pinned.as_slice().unwrap();
            // SAFETY: the memory lives. That it is overwritten early is what is tried here.
            unsafe { result::memcpy_htod_async(to, from, gpu.stream.cu_stream()) }.unwrap();
            if waits {
                gpu.stream.record_event(None).unwrap().synchronize().unwrap();
            }
            pinned.as_mut_slice().unwrap()[0] = 0;
            gpu.download::<u8>(to, 1).unwrap() == [value]
        })
        .collect()
}

#[test]
fn pinned_memory_is_read_when_the_copy_is_done() {
    on_gpu(|gpu| {
        assert!(arrivals(&gpu, false).contains(&false));
        assert_eq!(arrivals(&gpu, true), [true; 40]);
    });
}

#[test]
fn pinned_memory_is_written_when_the_copy_is_done() {
    on_gpu(|gpu| {
        let from = gpu.upload(&[0u8]);
        // SAFETY: any byte is one.
        let mut pinned = unsafe { gpu.context.alloc_pinned_with_flags::<u8>(1, 0) }.unwrap();
        let mut early = 0;
        for value in 1..=40 {
            gpu.fill(&gpu.stream, from, value, 1).unwrap();
            let to = pinned.as_mut_slice().unwrap();
            // SAFETY: the memory lives until the stream has been waited for.
            unsafe { result::memcpy_dtoh_async(to, from, gpu.stream.cu_stream()) }.unwrap();
            early += u32::from(pinned.as_slice().unwrap()[0] != value);
            gpu.stream.synchronize().unwrap();
            assert_eq!(pinned.as_slice().unwrap()[0], value);
        }
        assert!(early > 0);
    });
}
