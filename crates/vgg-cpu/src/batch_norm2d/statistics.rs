//! Means and sums of squared differences from them, in one sweep over memory.

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::BatchNorm2d;

use super::Chunks;
use crate::Cpu;
use crate::buffer::AlignedVec;
use crate::format::Format;
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// Numbers that stay in the first-level cache between their mean and their squares.
const BLOCK: usize = 4096;

/// Pixels of a block at most: numbers that are added one after the other.
const MOST: usize = 256;

/// Each channel's mean, and the sum of squared differences from it.
///
/// Blocks that the cache holds are swept twice, so that squares are those of differences from the block's
/// mean, and combined by the formula of Chan et al. (1979).
pub(super) fn moments<F: Format>(
    cpu: &Cpu,
    op: &BatchNorm2d,
    x: &[F::Number],
) -> Result<Vec<(f64, f64)>> {
    let (c, chunks) = (op.x().c, Chunks::new(op.count(), op.x().c));
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    needs(op).reserve(cpu, workspace)?;
    let [partials] = workspace.split([chunks.len(c)]);
    cpu.threads.run(|| {
        partials.par_chunks_exact_mut(2 * c).enumerate().for_each(|(chunk, partial)| {
            let rows = chunks.rows(chunk);
            let x = &x[rows.start * c..rows.end * c];
            let (mean, squares) = partial.split_at_mut(c);
            F::run(cpu.isa, Moments::<F> { c, x, mean, squares });
        });
    });
    let channel = |k: usize| {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for (chunk, partial) in partials.chunks_exact(2 * c).enumerate() {
            let n = chunks.rows(chunk).len() as f64;
            let delta = f64::from(partial[k]) - mean;
            mean += delta * n / (count + n);
            squares += f64::from(partial[c + k]) + delta * delta * count * n / (count + n);
            count += n;
        }
        (mean, squares)
    };
    Ok((0..c).map(channel).collect())
}

/// What [`moments`] takes besides its buffers.
pub(super) fn needs(op: &BatchNorm2d) -> Needs {
    let c = op.x().c;
    let workspace = AlignedVec::len_of([Chunks::new(op.count(), c).len(c)]);
    Needs { workspace, ..Needs::default() }
}

/// The moments of `x: [pixels, c]`.
struct Moments<'a, F: Format> {
    c: usize,
    x: &'a [F::Number],
    mean: &'a mut [f32],
    squares: &'a mut [f32],
}

impl<F: Format> Kernel for Moments<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { c, x, mean, squares } = self;
        assert_eq!([mean.len(), squares.len()], [c; 2]);
        assert!(x.len().is_multiple_of(c));
        let block = (BLOCK / c).clamp(1, MOST) * c;
        for (i, x) in x.chunks(block).enumerate() {
            let before = i * (block / c);
            for k in (0..c).step_by(S::LANES) {
                let n = (c - k).min(S::LANES);
                let pixels = (k..x.len()).step_by(c);
                // SAFETY: `n` channels are left from `k` on, of each pixel of `x` and of the moments.
                unsafe {
                    let load = |i: usize| F::load_first(s, x.as_ptr().add(i), n);
                    let (mean, squares) = (mean.as_mut_ptr().add(k), squares.as_mut_ptr().add(k));
                    let old = match before {
                        0 => [s.splat(0.0); 2],
                        _ => [s.load_first(mean, n), s.load_first(squares, n)],
                    };
                    let new = combine(s, [before, x.len() / c], old, pixels, load);
                    s.store_first(mean, n, new[0]);
                    s.store_first(squares, n, new[1]);
                }
            }
        }
    }
}

/// The moments of `before` numbers, which have `old` ones, and of `count` numbers more.
#[inline(always)]
fn combine<S: Simd>(
    s: S,
    [before, count]: [usize; 2],
    [old_mean, old_squares]: [S::V; 2],
    pixels: impl Iterator<Item = usize> + Clone,
    load: impl Fn(usize) -> S::V,
) -> [S::V; 2] {
    // Of differences from the first one, so that a mean far from zero costs no digits.
    let first = pixels.clone().next().map_or(s.splat(0.0), &load);
    let sum = pixels.clone().fold(s.splat(0.0), |sum, i| s.add(sum, s.sub(load(i), first)));
    let mean = s.mul_add(sum, s.splat(1.0 / count as f32), first);
    let squares = pixels.fold(s.splat(0.0), |sum, i| {
        let difference = s.sub(load(i), mean);
        s.mul_add(difference, difference, sum)
    });
    let delta = s.sub(mean, old_mean);
    let share = count as f64 / (before + count) as f64;
    let between = s.splat((before as f64 * share) as f32);
    let squares = s.mul_add(s.mul(delta, delta), between, s.add(old_squares, squares));
    [s.mul_add(delta, s.splat(share as f32), old_mean), squares]
}
