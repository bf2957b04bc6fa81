//! What the GPU itself can do, measured: the two roofs under which everything on it runs.
//!
//! Source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
//! multicore architectures" (Communications of the ACM, 2009).

use std::time::Instant;

use vgg_tensor::{Backend, Content, Result, Shape};

use crate::cublas::{Factor, Matrix};
use crate::error::During;
use crate::memory::Memory;
use crate::{Buffer, Cuda};

/// Each figure is the best of so many runs.
const RUNS: usize = 10;

/// How often the work of a run is ordered, so that ordering and waiting hardly count.
const ORDERS: usize = 8;

/// The memory roof in GB/s: copies of `bytes` within the device, bytes read plus bytes written.
///
/// A size far beyond the second-level cache, such as 1 GiB, makes it that of the memory.
///
/// # Errors
/// [`vgg_tensor::Error::OutOfMemory`] without twice `bytes` to spare.
pub fn copy_bandwidth(cuda: &mut Cuda, bytes: usize) -> Result<f64> {
    let from = Memory::zeroed(&cuda.gpu.stream, bytes)?;
    let mut to = Memory::uninitialised(&cuda.gpu.stream, bytes)?;
    best_rate(cuda, 2 * bytes as u64, |cuda| {
        cuda.gpu.stream.memcpy_dtod(from.slice(), to.slice_mut()).during("a copy")
    })
}

/// The arithmetic roof in GFLOP/s: products of two `side × side` matrices by cuBLAS at the precision
/// of `cuda`. A multiply-add counts as two.
///
/// # Errors
/// [`vgg_tensor::Error::OutOfMemory`] without room for three such matrices.
pub fn product_rate(cuda: &mut Cuda, side: usize) -> Result<f64> {
    let content = Content::Maps(Shape::flat(side, side));
    let storage = cuda.storage;
    // A GPU multiplies zeros at a higher clock.
    let numbers: Vec<f32> =
        (0..content.len()).map(|i| (i * 7919 % 997) as f32 / 498.0 - 1.0).collect();
    let mut buffer = || -> Result<Buffer> {
        let mut buffer = cuda.alloc(content)?;
        cuda.upload(content, &numbers, &mut buffer)?;
        Ok(buffer)
    };
    let (a, b, c) = (buffer()?, buffer()?, buffer()?);
    let matrix =
        |buffer: &Buffer| Matrix::new(buffer.numbers(storage, content.len()), storage, side);
    best_rate(cuda, 2 * (side as u64).pow(3), |cuda| {
        let (a, b, c) = (matrix(&a), matrix(&b), matrix(&c));
        // SAFETY: each buffer has room for its matrix, and no two are the same.
        unsafe { cuda.cublas.multiply("a large product", [side; 3], Factor::One, a, b, c) }
    })
}

/// The best of some runs of `work`, in 10⁹ of `units` a second. A first one only warms up.
fn best_rate(
    cuda: &mut Cuda,
    units: u64,
    mut work: impl FnMut(&mut Cuda) -> Result<()>,
) -> Result<f64> {
    let mut best = f64::INFINITY;
    for run in 0..=RUNS {
        cuda.gpu.synchronize()?;
        let start = Instant::now();
        for _ in 0..ORDERS {
            work(cuda)?;
        }
        cuda.gpu.synchronize()?;
        if run > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(ORDERS as f64 * units as f64 / best / 1e9)
}
