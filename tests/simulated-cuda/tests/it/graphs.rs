//! Work that is recorded and replayed.

use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::{
    CUgraphInstantiate_flags, CUresult, CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
    CUstreamCaptureStatus,
};
use cudarc::driver::{CudaGraph, DriverError};

use crate::gpu::{Gpu, Result, code, on_gpu};

fn begin(gpu: &Gpu) {
    gpu.stream.begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
}

fn end(gpu: &Gpu) -> Result<Option<CudaGraph>> {
    gpu.stream.end_capture(CUgraphInstantiate_flags(0))
}

#[test]
fn recorded_work_is_done_when_it_is_replayed() {
    on_gpu(|gpu| {
        let axpy = gpu.axpy();
        let (x, y) = (gpu.upload(&[1.0f32; 10]), gpu.upload(&[0.0f32; 10]));
        begin(&gpu);
        gpu.launch(&axpy, x, y, 3.0, 10).unwrap();
        gpu.launch(&axpy, x, y, 4.0, 10).unwrap();
        let status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE;
        assert_eq!(gpu.stream.capture_status().unwrap(), status);
        let graph = end(&gpu).unwrap().unwrap();
        assert_eq!(gpu.download::<f32>(y, 10).unwrap(), [0.0; 10]);
        // What it reads is what is there when it is replayed.
        graph.launch().unwrap();
        gpu.copy(&gpu.stream, x, y, 40).unwrap();
        graph.launch().unwrap();
        assert_eq!(gpu.download::<f32>(y, 10).unwrap(), [7.0 + 7.0 * 7.0; 10]);
    });
}

/// Does something while work is recorded, and returns its result and that of the recording.
fn while_recording<T>(gpu: &Gpu, what: impl FnOnce() -> Result<T>) -> (Result<T>, Result<bool>) {
    begin(gpu);
    let result = what();
    (result, end(gpu).map(|graph| graph.is_some()))
}

#[test]
fn what_waits_spoils_a_recording() {
    on_gpu(|gpu| {
        let at = gpu.upload(&[1u8]);
        let other = gpu.context.new_stream().unwrap();
        let event = other.record_event(None).unwrap();
        let calls: [&dyn Fn() -> Result; 7] = [
            &|| gpu.stream.synchronize(),
            &|| gpu.context.synchronize(),
            &|| gpu.alloc(1).map(drop),
            &|| gpu.free(at),
            &|| gpu.download::<u8>(at, 1).map(drop),
            &|| event.synchronize(),
            // SAFETY: nobody uses the memory.
            &|| unsafe { result::malloc_sync(1) }.map(drop),
        ];
        for (i, call) in calls.iter().enumerate() {
            let (result, recording) = while_recording(&gpu, call);
            assert_eq!(code(result), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "{i}");
            assert_eq!(code(recording), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "{i}");
        }
        // The device is as before.
        assert_eq!(gpu.download::<u8>(at, 1).unwrap(), [1]);
    });
}

#[test]
fn other_work_does_not_spoil_a_recording() {
    on_gpu(|gpu| {
        let gpu = Arc::new(gpu);
        let (at, elsewhere) = (gpu.upload(&[1u8]), gpu.upload(&[1u8]));
        let other = gpu.context.new_stream().unwrap();
        let (_, recording) = while_recording(&gpu, || {
            gpu.fill(&gpu.stream, at, 2, 1)?;
            // This thread, on another stream, without waiting.
            gpu.fill(&other, elsewhere, 3, 1)?;
            other.record_event(None)?;
            // Another thread, waiting.
            let (context, other) = (gpu.context.clone(), other.clone());
            std::thread::spawn(move || {
                context.bind_to_thread()?;
                other.synchronize()?;
                let mut bytes = [0u8];
                // SAFETY: the memory has this byte, and the host's is written before the return.
                unsafe { result::memcpy_dtoh_async(&mut bytes, elsewhere, other.cu_stream()) }?;
                assert_eq!(bytes, [3]);
                Ok::<_, DriverError>(())
            })
            .join()
            .unwrap()
        });
        assert!(recording.unwrap());
        assert_eq!(gpu.download::<u8>(at, 1).unwrap(), [1]);
    });
}

#[test]
fn only_who_began_a_recording_ends_it() {
    on_gpu(|gpu| {
        begin(&gpu);
        let again = gpu.stream.begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(code(again), CUresult::CUDA_ERROR_ILLEGAL_STATE);
        std::thread::scope(|scope| {
            let result = scope.spawn(|| end(&gpu).map(drop)).join().unwrap();
            assert_eq!(code(result), CUresult::CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        });
        assert!(end(&gpu).unwrap().is_some());
        assert_eq!(code(end(&gpu).map(drop)), CUresult::CUDA_ERROR_ILLEGAL_STATE);
    });
}
