//! From bytes to feature maps: resize, normalise, channels innermost.

use rayon::prelude::*;
use vgg_tensor::spec::{Normalize, PrepareImages, Taps};

use crate::Cpu;
use crate::buffer::Buffer;

/// See [`vgg_tensor::Backend::prepare_images`].
pub(crate) fn prepare(
    cpu: &Cpu,
    op: &PrepareImages,
    normalize: &Normalize,
    pixels: &Buffer,
    x: &mut Buffer,
) {
    assert_eq!(normalize.channels(), op.x().c, "normalisation for each channel");
    let (from, to) = (op.source(), op.x());
    let pixels = pixels.bytes(from.len());
    let x = x.f32_mut(to.len());
    let columns = (from.w != to.w).then(|| PrepareImages::taps(from.w, to.w));
    let rows = (from.h != to.h).then(|| PrepareImages::taps(from.h, to.h));
    // Each channel's number for each of the 256 bytes, so that a pixel costs a look-up.
    let table: Vec<[f32; 256]> =
        (0..to.c).map(|c| std::array::from_fn(|p| normalize.apply(c, p as u8))).collect();
    cpu.threads.run(|| {
        let images =
            x.par_chunks_exact_mut(to.features()).zip(pixels.par_chunks_exact(from.features()));
        images.for_each_init(
            || (vec![0; from.h * to.w], vec![0; to.w]),
            |(wide, line), (x, pixels)| {
                for (c, plane) in pixels.chunks_exact(from.h * from.w).enumerate() {
                    for (wide, row) in wide.chunks_exact_mut(to.w).zip(plane.chunks_exact(from.w)) {
                        resize_row(row, columns.as_deref(), wide);
                    }
                    for (i, x) in x.chunks_exact_mut(to.w * to.c).enumerate() {
                        mix_rows(wide, i, rows.as_deref(), line);
                        for (x, pixel) in x.iter_mut().skip(c).step_by(to.c).zip(&*line) {
                            *x = table[c][usize::from(*pixel)];
                        }
                    }
                }
            },
        );
    });
}

/// The horizontal pass of one row; without taps, a copy.
fn resize_row(row: &[u8], taps: Option<&[Taps]>, out: &mut [u8]) {
    let Some(taps) = taps else { return out.copy_from_slice(row) };
    for (out, taps) in out.iter_mut().zip(taps) {
        let inputs = &row[taps.first..][..taps.weights.len()];
        let sum: i32 = inputs.iter().zip(&taps.weights).map(|(p, w)| i32::from(*p) * w).sum();
        *out = round(sum);
    }
}

/// Row `i` of the vertical pass; without taps, a copy.
fn mix_rows(plane: &[u8], i: usize, taps: Option<&[Taps]>, out: &mut [u8]) {
    let w = out.len();
    let Some(taps) = taps else { return out.copy_from_slice(&plane[i * w..][..w]) };
    let taps = &taps[i];
    for (j, out) in out.iter_mut().enumerate() {
        let inputs = plane[taps.first * w..].iter().skip(j).step_by(w);
        let sum: i32 = inputs.zip(&taps.weights).map(|(p, w)| i32::from(*p) * w).sum();
        *out = round(sum);
    }
}

/// From fixed point to a byte.
fn round(sum: i32) -> u8 {
    ((sum + Taps::HALF) >> Taps::BITS).clamp(0, 255) as u8
}
