//! Kernels as NVRTC 12.0.140 compiles them with `--gpu-architecture=compute_75 --std=c++17`
//! (`fixtures/*.cu` beside their PTX).

use vgg_ptx::{DeviceMemory, Fault, Module};

use crate::harness::{bytes, floats};

const REDUCE: &str = include_str!("../fixtures/block_reduce.ptx");

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37) % 101) as f32 - 50.0).collect()
}

/// A parameter struct: 8-byte values first, then 4-byte ones.
fn pack(wide: &[u64], narrow: &[u32]) -> Vec<u8> {
    let wide = wide.iter().flat_map(|v| v.to_le_bytes());
    wide.chain(narrow.iter().flat_map(|v| v.to_le_bytes())).collect()
}

#[test]
fn block_reduce_sums() {
    let module = Module::parse(REDUCE).unwrap();
    let kernel = module.kernel("block_reduce").unwrap();
    assert_eq!(kernel.static_shared_bytes(), 128);
    let x = ramp(1000);
    for seed in 0..5 {
        let mut memory = DeviceMemory::new();
        let (x_at, out) = (memory.upload(&bytes(&x)), memory.upload(&[0; 4]));
        kernel
            .launch([3, 1, 1], [128, 1, 1], 0, &pack(&[x_at, out, 1000], &[]), &mut memory, seed)
            .unwrap();
        // Small integers: every order of summation is exact.
        assert_eq!(floats(&memory.download(out, 4).unwrap()), [x.iter().sum::<f32>()]);
    }
}

fn block_max(name: &str, seed: u64) -> Result<Vec<f32>, vgg_ptx::LaunchError> {
    let module = Module::parse(REDUCE).unwrap();
    let mut memory = DeviceMemory::new();
    let (x, out) = (memory.upload(&bytes(&ramp(200))), memory.alloc(8));
    let kernel = module.kernel(name).unwrap();
    kernel.launch([2, 1, 1], [128, 1, 1], 512, &pack(&[x, out], &[200]), &mut memory, seed)?;
    Ok(floats(&memory.download(out, 8).unwrap()))
}

#[test]
fn dynamic_shared_memory_and_barriers() {
    let x = ramp(200);
    let max = |part: &[f32]| part.iter().copied().fold(f32::MIN, f32::max);
    for seed in 0..5 {
        assert_eq!(block_max("block_max", seed).unwrap(), [max(&x[..128]), max(&x[128..])]);
    }
}

#[test]
fn a_missing_barrier_is_a_race_or_an_uninitialised_read() {
    for seed in 0..5 {
        let fault = block_max("block_max_racy", seed).unwrap_err().fault;
        assert!(matches!(fault, Fault::Race { .. } | Fault::Uninitialised { .. }), "{fault}");
    }
}

/// Philox4x32-10, written again from the paper.
fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let wide = |m: u32, v: u32| (u64::from(m) * u64::from(v), m.wrapping_mul(v));
        let ((p0, lo0), (p1, lo1)) = (wide(0xD251_1F53, c[0]), wide(0xCD9E_8D57, c[2]));
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], lo1, (p0 >> 32) as u32 ^ c[3] ^ k[1], lo0];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

#[test]
fn philox_matches_the_papers_known_answer() {
    assert_eq!(philox([0; 4], [0; 2]), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
}

#[test]
fn dropout_calls_a_device_function() {
    let module = Module::parse(include_str!("../fixtures/dropout_philox.ptx")).unwrap();
    let kernel = module.kernel("dropout_philox").unwrap();
    let (n, seed, step, threshold, scale) =
        (301u64, 0x1234_5678_9ABC_DEF0u64, 7u64, 1u32 << 31, 2.0f32);
    let x = ramp(n as usize);
    let mut memory = DeviceMemory::new();
    let (x_at, y, mask) = (memory.upload(&bytes(&x)), memory.alloc(1204), memory.alloc(301));
    let params = pack(&[x_at, y, mask, n, seed, step], &[threshold, scale.to_bits()]);
    kernel.launch([2, 1, 1], [64, 1, 1], 0, &params, &mut memory, 3).unwrap();
    let y = floats(&memory.download(y, 1204).unwrap());
    let mask = memory.download(mask, 301).unwrap();
    for i in 0..n as usize {
        let counter = [i as u32 / 4, 0, step as u32, 0];
        let keep = philox(counter, [seed as u32, (seed >> 32) as u32])[i % 4] < threshold;
        assert_eq!(
            (mask[i] == 1, y[i]),
            (keep, if keep { x[i] * scale } else { 0.0 }),
            "element {i}"
        );
    }
}

#[test]
fn axpy_loads_vectors() {
    let module = Module::parse(include_str!("../fixtures/axpy_float4.ptx")).unwrap();
    let kernel = module.kernel("axpy_float4").unwrap();
    let (x, y) = (ramp(103), ramp(103).into_iter().rev().collect::<Vec<_>>());
    let mut memory = DeviceMemory::new();
    let (x_at, y_at) = (memory.upload(&bytes(&x)), memory.upload(&bytes(&y)));
    let params = |x_at| pack(&[x_at, y_at], &[0.1f32.to_bits(), 103]);
    kernel.launch([1; 3], [32, 1, 1], 0, &params(x_at), &mut memory, 1).unwrap();
    let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| 0.1f32.mul_add(*x, *y)).collect();
    assert_eq!(floats(&memory.download(y_at, 412).unwrap()), expected);

    let error =
        kernel.launch([1; 3], [32, 1, 1], 0, &params(x_at + 4), &mut memory, 1).unwrap_err();
    assert!(matches!(error.fault, Fault::Misaligned { bytes: 16, .. }), "{error}");
}

#[test]
fn softmax_uses_constants_and_special_functions() {
    let module = Module::parse(include_str!("../fixtures/softmax_row.ptx")).unwrap();
    let kernel = module.kernel("softmax_row").unwrap();
    let (rows, classes) = (3, 45);
    let logits: Vec<f32> = ramp(rows * classes).iter().map(|v| v / 10.0).collect();
    let labels = [3u8, 44, 0];
    let mut memory = DeviceMemory::new();
    let (x, l) = (memory.upload(&bytes(&logits)), memory.upload(&labels));
    let (loss, dx) = (memory.alloc(rows * 4), memory.alloc(rows * classes * 4));
    kernel
        .launch([3, 1, 1], [32, 1, 1], 0, &pack(&[x, l, loss, dx], &[45]), &mut memory, 9)
        .unwrap();
    let loss = floats(&memory.download(loss, rows * 4).unwrap());
    let dx = floats(&memory.download(dx, rows * classes * 4).unwrap());
    for row in 0..rows {
        let z: Vec<f64> =
            logits[row * classes..][..classes].iter().map(|&v| f64::from(v)).collect();
        let sum: f64 = z.iter().map(|v| v.exp()).sum();
        let label = usize::from(labels[row]);
        assert!((f64::from(loss[row]) - (sum.ln() - z[label])).abs() < 4e-6);
        for c in 0..classes {
            let expected = z[c].exp() / sum - f64::from(u8::from(c == label));
            assert!(
                (f64::from(dx[row * classes + c]) - expected).abs() < 4e-7,
                "row {row}, class {c}"
            );
        }
    }
}
