//! Dropout without a stored mask.

use rayon::prelude::*;
use vgg_tensor::{Draw, Shape};

use crate::Cpu;
use crate::buffer::Buffer;

/// See [`vgg_tensor::Backend::dropout`].
pub(crate) fn in_place(cpu: &Cpu, shape: Shape, p: f32, draw: Draw, x: &mut Buffer) {
    // A whole number of Philox blocks, which have four words each.
    const CHUNK: usize = 4096;
    let scale = 1.0 / (1.0 - p);
    let x = x.f32_mut(shape.len());
    cpu.threads.run(|| {
        x.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, x)| {
            for (i, x) in x.chunks_mut(4).enumerate() {
                let words = draw.block((chunk * CHUNK / 4 + i) as u32);
                for (x, word) in x.iter_mut().zip(words) {
                    let kept = Draw::uniform_from(word) >= p;
                    *x = if kept { *x * scale } else { 0.0 };
                }
            }
        });
    });
}
