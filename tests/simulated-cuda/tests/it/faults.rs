//! What goes wrong on the device: told, and for good.

use cudarc::driver::sys::CUresult;

use crate::gpu::{Gpu, code, on_gpu};

/// A launch of `axpy` fails with this code, and so does every later call.
#[track_caller]
fn fails(gpu: &Gpu, x: u64, y: u64, n: u32, expected: CUresult) {
    // Ordering it may, but need not, tell.
    let _ = gpu.launch(&gpu.axpy(), x, y, 1.0, n);
    for _ in 0..2 {
        assert_eq!(code(gpu.stream.synchronize()), expected);
    }
    assert_eq!(code(gpu.alloc(1)), expected);
    assert_eq!(code(gpu.context.synchronize()), expected);
}

#[track_caller]
fn tells(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.is_empty() || told.contains(part), "{told}");
    }
}

#[test]
fn an_access_out_of_bounds() {
    let told = on_gpu(|gpu| {
        let (x, y) = (gpu.upload(&[0.0f32; 10]), gpu.upload(&[0.0f32; 11]));
        fails(&gpu, x, y, 11, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
    tells(&told, &["axpy, PTX line ", "thread [10, 0, 0]", "past the end of an allocation of 40"]);
}

#[test]
fn a_read_of_what_nobody_wrote() {
    let told = on_gpu(|gpu| {
        let (x, y) = (gpu.upload(&[0.0f32; 10]), gpu.alloc(40).unwrap());
        fails(&gpu, x, y, 10, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
    tells(&told, &["is not initialised"]);
}

#[test]
fn a_use_after_free() {
    let told = on_gpu(|gpu| {
        let (x, y) = (gpu.upload(&[0.0f32; 10]), gpu.upload(&[0.0f32; 10]));
        // Before it is freed, it can be used, whenever that is done.
        gpu.launch(&gpu.axpy(), x, y, 1.0, 10).unwrap();
        gpu.free(x).unwrap();
        gpu.stream.synchronize().unwrap();
        fails(&gpu, x, y, 10, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
    tells(&told, &["out of bounds"]);
}

#[test]
fn a_misaligned_access() {
    let told = on_gpu(|gpu| {
        let (x, y) = (gpu.upload(&[0.0f32; 10]), gpu.upload(&[0.0f32; 10]));
        fails(&gpu, x + 2, y, 9, CUresult::CUDA_ERROR_MISALIGNED_ADDRESS);
    });
    tells(&told, &["misaligned"]);
}

#[test]
fn a_download_of_what_nobody_wrote() {
    let told = on_gpu(|gpu| {
        let at = gpu.alloc(8).unwrap();
        gpu.fill(&gpu.stream, at, 0, 7).unwrap();
        let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
        assert_eq!(code(gpu.download::<u8>(at, 8)), illegal);
        assert_eq!(code(gpu.stream.synchronize()), illegal);
    });
    tells(&told, &["copying from the device", "byte 7 of an allocation of 8"]);
}

/// Nothing happens on the device, so that all goes on.
#[test]
fn a_launch_that_cannot_begin() {
    on_gpu(|gpu| {
        let axpy = gpu.axpy();
        let (x, y) = (gpu.upload(&[1.0f32; 300]), gpu.upload(&[0.0f32; 300]));
        let shapes = [
            [0, 64, 0],
            [1, 0, 0],
            [2, 257, 0], // its .maxntid is 256
            [1, u32::MAX, 0],
            [1, 64, (48 << 10) + 1],
        ];
        for shape in shapes {
            let result = gpu.launch_shape(&axpy, shape, x, y, 1.0, 300);
            assert_eq!(code(result), CUresult::CUDA_ERROR_INVALID_VALUE, "{shape:?}");
        }
        gpu.launch_shape(&axpy, [2, 256, 48 << 10], x, y, 1.0, 300).unwrap();
        assert_eq!(gpu.download::<f32>(y, 300).unwrap(), [1.0; 300]);
    });
}
