//! Dropout without a stored mask.

use rayon::prelude::*;
use vgg_tensor::{Draw, Shape};

use crate::Cpu;
use crate::buffer::Buffer;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work, a whole number of [`GROUP`]s.
const CHUNK: usize = 4096;
/// Numbers whose random words are drawn at once.
const GROUP: usize = 4 * BLOCKS;
/// Philox blocks, of four words each, that are computed at once.
const BLOCKS: usize = 64;

/// See [`vgg_tensor::Command::Dropout`].
pub(crate) fn in_place(cpu: &Cpu, shape: Shape, p: f32, draw: Draw, x: &mut Buffer) {
    let chunks = x.f32_mut(shape.len()).par_chunks_mut(CHUNK).enumerate();
    cpu.threads.run(|| {
        chunks.for_each(|(i, x)| cpu.isa.run(Piece { p, draw, block: i * CHUNK / 4, x }));
    });
}

/// Some numbers, the first of which is drawn by the first word of a Philox block.
struct Piece<'a> {
    p: f32,
    draw: Draw,
    block: usize,
    x: &'a mut [f32],
}

impl Kernel for Piece<'_> {
    type Output = ();

    // Loops that the compiler turns into vectors.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { p, draw, block, x } = self;
        let scale = 1.0 / (1.0 - p);
        for (i, x) in x.chunks_mut(GROUP).enumerate() {
            let first = (block + i * BLOCKS) as u32;
            let mut words = [[0; 4]; BLOCKS];
            for (words, i) in words.iter_mut().zip(0..) {
                *words = draw.block(first.wrapping_add(i));
            }
            for (x, word) in x.iter_mut().zip(words.as_flattened()) {
                let kept = Draw::uniform_from(*word) >= p;
                *x = if kept { *x * scale } else { 0.0 };
            }
        }
    }
}
