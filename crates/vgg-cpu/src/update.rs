//! What gradients and weights go through besides the optimiser: sums, averages, a limited norm.

use rayon::prelude::*;
use vgg_tensor::{Content, clip_factor};

use crate::Cpu;
use crate::buffer::Buffer;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work.
const CHUNK: usize = 1 << 16;

/// Numbers whose squares are added up in `f32`.
const RUN: usize = 1 << 10;

/// See [`vgg_tensor::Command::Scale`].
pub(crate) fn scale(cpu: &Cpu, len: usize, alpha: f32, x: &Buffer, y: &mut Buffer) {
    add_up(cpu, len, alpha, x, None, y);
}

/// See [`vgg_tensor::Command::Blend`].
pub(crate) fn blend(cpu: &Cpu, len: usize, alpha: f32, x: &Buffer, beta: f32, y: &mut Buffer) {
    add_up(cpu, len, alpha, x, Some(beta), y);
}

fn add_up(cpu: &Cpu, len: usize, alpha: f32, x: &Buffer, beta: Option<f32>, y: &mut Buffer) {
    let (x, y) = (x.f32(len).par_chunks(CHUNK), y.f32_mut(len).par_chunks_mut(CHUNK));
    cpu.threads.run(|| x.zip(y).for_each(|(x, y)| cpu.isa.run(Blend { alpha, x, beta, y })));
}

/// See [`vgg_tensor::Command::ClipGradients`]. What pads a weight's panels is zero in its gradient,
/// too.
pub(crate) fn clip(cpu: &Cpu, max_norm: f32, mut gradients: Vec<(Content, &mut Buffer)>) {
    let squares = |(content, gradient): &(Content, &mut Buffer)| {
        let chunks = gradient.f32(cpu.len(*content)).par_chunks(CHUNK);
        let sums: Vec<f64> = chunks.map(|chunk| cpu.isa.run(Squares(chunk))).collect();
        sums.iter().sum::<f64>()
    };
    let factor = cpu.threads.run(|| clip_factor(max_norm, gradients.iter().map(squares).sum()));
    if factor == 1.0 {
        return;
    }
    for (content, gradient) in &mut gradients {
        let chunks = gradient.f32_mut(cpu.len(*content)).par_chunks_mut(CHUNK);
        cpu.threads.run(|| chunks.for_each(|y| cpu.isa.run(Scale { factor, y })));
    }
}

/// `alpha · x`, and `beta · y` if there is a `beta`.
struct Blend<'a> {
    alpha: f32,
    x: &'a [f32],
    beta: Option<f32>,
    y: &'a mut [f32],
}

impl Kernel for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { alpha, x, beta, y } = self;
        assert_eq!(x.len(), y.len());
        let a = s.splat(alpha);
        for i in (0..y.len()).step_by(S::LANES) {
            let n = (y.len() - i).min(S::LANES);
            // SAFETY: `n` numbers are left from `i` on in both slices, which are equally long.
            unsafe {
                let (x, y) = (s.load_first(x.as_ptr().add(i), n), y.as_mut_ptr().add(i));
                let kept = match beta {
                    None => s.splat(0.0),
                    Some(beta) => s.mul(s.splat(beta), s.load_first(y, n)),
                };
                s.store_first(y, n, s.mul_add(a, x, kept));
            }
        }
    }
}

struct Scale<'a> {
    factor: f32,
    y: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { factor, y } = self;
        let factor = s.splat(factor);
        for i in (0..y.len()).step_by(S::LANES) {
            let n = (y.len() - i).min(S::LANES);
            // SAFETY: `n` numbers are left from `i` on.
            unsafe {
                let y = y.as_mut_ptr().add(i);
                s.store_first(y, n, s.mul(factor, s.load_first(y, n)));
            }
        }
    }
}

/// The sum of squares. Short runs are added up in `f32`, one lane each, and these sums in `f64`.
struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let mut sum = 0.0;
        for run in self.0.chunks(RUN) {
            let mut lanes = s.splat(0.0);
            for i in (0..run.len()).step_by(S::LANES) {
                let n = (run.len() - i).min(S::LANES);
                // SAFETY: `n` numbers are left from `i` on.
                let x = unsafe { s.load_first(run.as_ptr().add(i), n) };
                lanes = s.mul_add(x, x, lanes);
            }
            let mut each = [0.0f32; 16];
            assert!(S::LANES <= each.len());
            // SAFETY: there is room for all lanes.
            unsafe { s.store(each.as_mut_ptr(), lanes) };
            sum += each[..S::LANES].iter().map(|x| f64::from(*x)).sum::<f64>();
        }
        sum
    }
}
