//! Dropout without a stored mask.

use rayon::prelude::*;
use vgg_tensor::{Draw, Shape};

use crate::Cpu;
use crate::buffer::Buffer;
use crate::format::Format;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work, a whole number of [`GROUP`]s.
const CHUNK: usize = 4096;
/// Numbers whose random words are drawn at once.
const GROUP: usize = 4 * BLOCKS;
/// Philox blocks, of four words each, that are computed at once.
const BLOCKS: usize = 64;

/// See [`vgg_tensor::Command::Dropout`].
pub(crate) fn in_place<F: Format>(cpu: &Cpu, shape: Shape, p: f32, draw: Draw, x: &mut Buffer) {
    let chunks = x.maps_mut::<F>(shape.len()).par_chunks_mut(CHUNK).enumerate();
    cpu.threads.run(|| {
        chunks.for_each(|(i, x)| F::run(cpu.isa, Piece::<F> { p, draw, block: i * CHUNK / 4, x }));
    });
}

/// Some numbers, the first of which is drawn by the first word of a Philox block.
struct Piece<'a, F: Format> {
    p: f32,
    draw: Draw,
    block: usize,
    x: &'a mut [F::Number],
}

impl<F: Format> Kernel for Piece<'_, F> {
    type Output = ();

    // Loops that the compiler turns into vectors.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, draw, block, x } = self;
        let scale = 1.0 / (1.0 - p);
        for (i, x) in x.chunks_mut(GROUP).enumerate() {
            let first = (block + i * BLOCKS) as u32;
            let mut words = [[0; 4]; BLOCKS];
            for (words, i) in words.iter_mut().zip(0..) {
                *words = draw.block(first.wrapping_add(i));
            }
            let mut scaled = [0.0; GROUP];
            let scaled = &mut scaled[..x.len()];
            for (scaled, (x, word)) in scaled.iter_mut().zip(x.iter().zip(words.as_flattened())) {
                let kept = Draw::uniform_from(*word) >= p;
                *scaled = if kept { F::widen(*x) * scale } else { 0.0 };
            }
            F::round_all(s, scaled, x);
        }
    }
}
