//! Resizing and normalising by their definition.

use vgg_tensor::spec::{Normalize, PrepareImages, Taps};

use crate::Real;

pub(super) fn forward<T: Real>(
    op: &PrepareImages,
    normalize: &Normalize,
    pixels: &[u8],
    x: &mut [T],
) {
    let (source, target) = (op.source(), op.x());
    for map in 0..target.n * target.c {
        let pixels = &pixels[map * source.h * source.w..][..source.h * source.w];
        let rows: Vec<u8> =
            pixels.chunks_exact(source.w).flat_map(|row| resize(row, target.w)).collect();
        for j in 0..target.w {
            let column: Vec<u8> = rows.iter().skip(j).step_by(target.w).copied().collect();
            for (i, pixel) in resize(&column, target.h).into_iter().enumerate() {
                let number = normalize.apply(map % target.c, pixel);
                x[(map * target.h + i) * target.w + j] = T::from(number);
            }
        }
    }
}

/// One row or column, enlarged or shrunk. Left alone if it has its length already.
fn resize(line: &[u8], len: usize) -> Vec<u8> {
    if line.len() == len {
        return line.to_vec();
    }
    let pixel = |taps: &Taps| {
        let inputs = &line[taps.first..];
        let sum: i32 = taps.weights.iter().zip(inputs).map(|(w, x)| w * i32::from(*x)).sum();
        ((sum + Taps::HALF) >> Taps::BITS).clamp(0, 255) as u8
    };
    PrepareImages::taps(line.len(), len).iter().map(pixel).collect()
}
