//! Order within streams and between them.

use cudarc::driver::result;
use cudarc::driver::sys::CUresult;

use crate::gpu::{Gpu, code, on_gpu, on_machine};

#[test]
fn a_stream_keeps_its_order() {
    on_gpu(|gpu| {
        let axpy = gpu.axpy();
        let (x, y) = (gpu.upload(&[1.0f32; 100]), gpu.upload(&[0.0f32; 100]));
        for step in 1..=20 {
            gpu.launch(&axpy, x, y, 1.0, 100).unwrap();
            gpu.launch(&axpy, y, y, 1.0, 100).unwrap();
            let expected = f32::powi(2.0, step + 1) - 2.0;
            assert_eq!(gpu.download::<f32>(y, 100).unwrap(), [expected; 100]);
        }
    });
}

/// Writes on one stream and reads on another: for each trial, whether that read the new value.
fn order_of_two_streams(gpu: &Gpu, waits: bool) -> Vec<bool> {
    let other = gpu.context.new_stream().unwrap();
    let (from, to) = (gpu.upload(&[0u8]), gpu.upload(&[0u8]));
    gpu.stream.synchronize().unwrap();
    (1..=40)
        .map(|value| {
            gpu.fill(&gpu.stream, from, value, 1).unwrap();
            if waits {
                other.join(&gpu.stream).unwrap();
            }
            gpu.copy(&other, to, from, 1).unwrap();
            other.synchronize().unwrap();
            gpu.download::<u8>(to, 1).unwrap() == [value]
        })
        .collect()
}

#[test]
fn streams_that_do_not_wait_come_in_any_order() {
    let settings: [&[_]; 3] =
        ["1", "2", "1"].map(|seed| &*vec![("VGG_SIMULATED_SEED", seed)].leak());
    let told = settings.map(|settings| {
        on_machine(settings, || {
            let order = order_of_two_streams(&Gpu::new(), false);
            assert!(order.contains(&true) && order.contains(&false), "{order:?}");
            println!("order: {order:?}");
        })
    });
    let [first, second, third] = told.map(|told| {
        told.map(|told| told.lines().find(|line| line.contains("order: ")).unwrap().to_owned())
    });
    if first.is_some() {
        assert_ne!(first, second, "another seed is another order");
        assert_eq!(first, third, "a seed is an order");
    }
}

#[test]
fn a_stream_waits_for_an_event() {
    for seed in ["1", "2", "3"] {
        on_machine(&[("VGG_SIMULATED_SEED", seed)], || {
            assert_eq!(order_of_two_streams(&Gpu::new(), true), [true; 40]);
        });
    }
}

#[test]
fn an_event_is_done_when_the_work_before_it_is() {
    on_gpu(|gpu| {
        let at = gpu.upload(&[0u8]);
        let event = gpu.context.new_event(None).unwrap();
        assert!(event.is_complete(), "never recorded");
        let mut not_ready = 0;
        for _ in 0..40 {
            gpu.fill(&gpu.stream, at, 1, 1).unwrap();
            event.record(&gpu.stream).unwrap();
            not_ready += u32::from(!event.try_is_complete().unwrap());
            event.synchronize().unwrap();
            assert!(event.is_complete());
        }
        assert!(not_ready > 0, "work is done late");
        let later = gpu.stream.record_event(None).unwrap();
        assert!(event.elapsed_ms(&later).unwrap() > 0.0);
    });
}

#[test]
fn a_wait_is_for_the_last_recording_before_it() {
    on_gpu(|gpu| {
        let other = gpu.context.new_stream().unwrap();
        let event = gpu.stream.record_event(None).unwrap();
        other.wait(&event).unwrap();
        event.record(&other).unwrap();
        gpu.stream.wait(&event).unwrap();
        gpu.stream.synchronize().unwrap();
    });
}

#[test]
fn a_stream_that_is_gone_is_refused() {
    on_gpu(|gpu| {
        let other = gpu.context.new_stream().unwrap();
        let stale = other.cu_stream();
        drop(other);
        // SAFETY: the simulated driver follows no handles.
        let result = unsafe { result::stream::synchronize(stale) };
        assert_eq!(code(result), CUresult::CUDA_ERROR_INVALID_HANDLE);
    });
}
