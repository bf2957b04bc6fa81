//! What the machine itself can do, measured: the two roofs under which every kernel runs.
//!
//! Source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
//! multicore architectures" (Communications of the ACM, 2009).

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use vgg_tensor::Result;

use crate::Cpu;
use crate::buffer::AlignedVec;
use crate::simd::{Kernel, Simd};

/// Each figure is the best of so many runs: other work on the machine can only make one worse.
const RUNS: usize = 10;

/// The arithmetic roof in GFLOP/s: fused multiply-adds on registers alone, independent of each
/// other, on all threads at once with the instruction set of `cpu`. A multiply-add counts as two.
///
/// ```
/// let cpu = vgg_cpu::Cpu::new(vgg_cpu::Config::default())?;
/// assert!(vgg_cpu::roofline::fma_peak(&cpu) > 0.0);
/// # Ok::<(), vgg_tensor::Error>(())
/// ```
pub fn fma_peak(cpu: &Cpu) -> f64 {
    // Enough chains to hide the latency, but no more than there are registers: 6 are right for the
    // portable code, whose vectors may be two registers, 8 for NEON, whose vectors are two and whose
    // multiply-add overwrites what it adds to, 12 and 16 for the others.
    let rates = [chains::<6>(cpu), chains::<8>(cpu), chains::<12>(cpu), chains::<16>(cpu)];
    rates.into_iter().fold(0.0, f64::max)
}

/// GFLOP/s with `N` chains of multiply-adds a thread.
fn chains<const N: usize>(cpu: &Cpu) -> f64 {
    let flop = 2 * N * STEPS * cpu.isa.lanes() * cpu.threads.count();
    let work = || drop(rayon::broadcast(|_| cpu.isa.run(Chains::<N>)));
    cpu.threads.run(|| best_rate(flop, work))
}

/// Multiply-adds of a chain: some milliseconds, far more than it takes to wake a thread.
const STEPS: usize = 1 << 21;

/// `N` chains of multiply-adds that do not depend on each other.
struct Chains<const N: usize>;

impl<const N: usize> Kernel for Chains<N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // The compiler must neither know the numbers nor find that chains are alike. Each chain
        // goes to 2, so that no number becomes denormal or infinite.
        let [a, b] = black_box([0.5, 1.0]).map(|x| s.splat(x));
        let mut chains: [S::V; N] = black_box(std::array::from_fn(|i| s.splat(i as f32)));
        for _ in 0..STEPS {
            for chain in &mut chains {
                *chain = s.mul_add(*chain, a, b);
            }
        }
        black_box(chains);
    }
}

/// The memory roof in GB/s: a copy of 256 MiB on all threads, bytes read plus bytes written.
///
/// # Errors
/// [`vgg_tensor::Error::OutOfMemory`] without 512 MiB to spare.
pub fn copy_bandwidth(cpu: &Cpu) -> Result<f64> {
    const LEN: usize = 1 << 26; // far beyond the caches
    let mut from = AlignedVec::zeroed(LEN)?;
    // A load is held up by a store before it whose address differs by whole pages, so that the two
    // buffers must not begin at the same place in a page.
    const HALF_PAGE: usize = 512;
    let mut to = AlignedVec::zeroed(LEN + HALF_PAGE)?;
    from.as_f32_mut().fill(1.0); // pages that were never written may all be the same one
    let (from, to) = (&from.as_f32()[..LEN], &mut to.as_f32_mut()[HALF_PAGE..][..LEN]);
    let share = LEN.div_ceil(cpu.threads.count());
    let mut rate = |piece| {
        best_rate(2 * size_of::<f32>() * LEN, || {
            let shares = to.par_chunks_mut(share).zip(from.par_chunks(share));
            shares.for_each(|(to, from)| {
                let pieces = to.chunks_mut(piece).zip(from.chunks(piece));
                pieces.for_each(|(to, from)| to.copy_from_slice(from));
            });
        })
    };
    // The system copies a large piece in another way than a small one, past the caches perhaps;
    // which is faster differs between machines.
    Ok(cpu.threads.run(|| rate(1 << 10).max(rate(LEN))))
}

/// The best of some runs of `work`, in 10⁹ of `units` a second. A first one only warms up.
fn best_rate(units: usize, mut work: impl FnMut()) -> f64 {
    work();
    let seconds = (0..RUNS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    units as f64 / seconds.fold(f64::INFINITY, f64::min) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Isa};

    #[test]
    fn every_instruction_set_and_thread_count_has_its_roofs() {
        for isa in Isa::available() {
            for threads in [1, 3] {
                let cpu = Cpu::new(Config {
                    threads: Some(threads),
                    isa: Some(isa),
                    ..Config::default()
                })
                .unwrap();
                let peak = fma_peak(&cpu);
                assert!(peak.is_finite() && peak > 0.0, "{isa}, {threads} threads: {peak}");
            }
        }
    }
}
