//! Adam with decoupled weight decay.

use vgg_tensor::spec::AdamW;

use super::{Rates, without_subnormals};
use crate::simd::Simd;

/// A step on some numbers of a parameter. An average moves towards a new number by a share of the
/// distance: so one of equal numbers is that number.
#[inline(always)]
pub(super) fn update<S: Simd>(
    s: S,
    spec: &AdamW,
    Rates { lr, corrections }: Rates,
    w: &mut [f32],
    dw: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    let AdamW { rate, betas, eps, weight_decay } = *spec;
    let lr = rate * lr;
    let [to_mean, to_square] = betas.map(|beta| s.splat((1.0 - beta) as f32));
    let [minus_lr, scale] =
        [-(lr / corrections[0]), 1.0 / corrections[1].sqrt()].map(|x| s.splat(x));
    let [minus_decay, eps] = [-(lr * weight_decay), eps].map(|x| s.splat(x));
    assert!([dw.len(), mean.len(), square.len()] == [w.len(); 3]);
    for i in (0..w.len()).step_by(S::LANES) {
        let n = (w.len() - i).min(S::LANES);
        // SAFETY: `n` numbers are left from `i` on in all slices, which are equally long.
        unsafe {
            let weight = s.load_first(w.as_ptr().add(i), n);
            let g = s.load_first(dw.as_ptr().add(i), n);
            let mean = toward(s, to_mean, mean.as_mut_ptr().add(i), n, g);
            let squared = s.mul(g, g);
            let square = toward(s, to_square, square.as_mut_ptr().add(i), n, squared);
            let root = s.mul_add(s.sqrt(square), scale, eps);
            let decayed = s.mul_add(minus_decay, weight, weight);
            let stepped = s.mul_add(minus_lr, s.div(mean, root), decayed);
            s.store_first(w.as_mut_ptr().add(i), n, stepped);
        }
    }
}

/// Moves the first `n` averages at `x` by a share of the way to new numbers.
///
/// A function and not a closure, which would be compiled without the instructions of `S`.
///
/// # Safety
/// There are `n` numbers at `x`, and no more than lanes.
#[inline(always)]
unsafe fn toward<S: Simd>(s: S, share: S::V, x: *mut f32, n: usize, new: S::V) -> S::V {
    // SAFETY: as the caller promises.
    unsafe {
        let old = s.load_first(x, n);
        let average = without_subnormals(s, s.mul_add(share, s.sub(new, old), old));
        s.store_first(x, n, average);
        average
    }
}
