//! Stochastic gradient descent.

use rayon::prelude::*;
use vgg_tensor::spec::Sgd;

use crate::Cpu;
use crate::buffer::Buffer;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work.
const CHUNK: usize = 1 << 16;

/// One step on `len` numbers; see [`vgg_tensor::Backend::sgd`].
pub(crate) fn step(
    cpu: &Cpu,
    settings: &Sgd,
    len: usize,
    weight: &mut Buffer,
    dweight: &Buffer,
    velocity: Option<&mut Buffer>,
) {
    let weight = weight.f32_mut(len).par_chunks_mut(CHUNK);
    let pairs = weight.zip(dweight.f32(len).par_chunks(CHUNK));
    cpu.threads.run(|| match velocity {
        Some(velocity) => {
            let velocity = velocity.f32_mut(len).par_chunks_mut(CHUNK);
            pairs.zip(velocity).for_each(|((w, dw), v)| {
                cpu.isa.run(Update { settings, w, dw, v: Some(v) });
            });
        }
        None => pairs.for_each(|(w, dw)| cpu.isa.run(Update { settings, w, dw, v: None })),
    });
}

/// A step on some numbers of a parameter.
pub(crate) struct Update<'a> {
    pub(crate) settings: &'a Sgd,
    pub(crate) w: &'a mut [f32],
    pub(crate) dw: &'a [f32],
    pub(crate) v: Option<&'a mut [f32]>,
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { settings, w, dw, mut v } = self;
        let Sgd { lr, momentum, weight_decay, nesterov } = *settings;
        let [minus_lr, momentum, decay] = [-lr, momentum, weight_decay].map(|x| s.splat(x));
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
                    s.store_first(v, n, velocity);
                    g = if nesterov { s.mul_add(momentum, velocity, g) } else { velocity };
                }
                s.store_first(w.as_mut_ptr().add(i), n, s.mul_add(minus_lr, g, weight));
            }
        }
    }
}
