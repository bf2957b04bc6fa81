//! Stochastic gradient descent.

use vgg_tensor::spec::Sgd;

use super::{Rates, without_subnormals};
use crate::simd::Simd;

/// A step on some numbers of a parameter.
#[inline(always)]
pub(super) fn update<S: Simd>(
    s: S,
    spec: &Sgd,
    Rates { lr, .. }: Rates,
    w: &mut [f32],
    dw: &[f32],
    mut v: Option<&mut [f32]>,
) {
    let Sgd { rate, momentum, weight_decay, nesterov } = *spec;
    let [minus_lr, momentum, decay] = [-(rate * lr), momentum, weight_decay].map(|x| s.splat(x));
    assert_eq!(w.len(), dw.len());
    if let Some(v) = &v {
        assert_eq!(w.len(), v.len());
    }
    for i in (0..w.len()).step_by(S::LANES) {
        let n = (w.len() - i).min(S::LANES);
        // SAFETY: `n` numbers are left from `i` on in all slices, which are equally long.
        unsafe {
            let weight = s.load_first(w.as_ptr().add(i), n);
            let mut g = s.mul_add(decay, weight, s.load_first(dw.as_ptr().add(i), n));
            if let Some(v) = &mut v {
                let v = v.as_mut_ptr().add(i);
                let velocity = s.mul_add(momentum, s.load_first(v, n), g);
                let velocity = without_subnormals(s, velocity);
                s.store_first(v, n, velocity);
                g = if nesterov { s.mul_add(momentum, velocity, g) } else { velocity };
            }
            s.store_first(w.as_mut_ptr().add(i), n, s.mul_add(minus_lr, g, weight));
        }
    }
}
