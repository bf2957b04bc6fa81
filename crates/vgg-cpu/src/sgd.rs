//! Stochastic gradient descent.

use rayon::prelude::*;
use vgg_tensor::spec::Sgd;

use crate::Cpu;
use crate::buffer::Buffer;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work.
const CHUNK: usize = 1 << 16;

/// One step on `len` numbers; see [`vgg_tensor::Command::Sgd`].
pub(crate) fn step(
    cpu: &Cpu,
    settings: &Sgd,
    lr: f32,
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
                cpu.isa.run(Update { settings, lr, w, dw, v: Some(v) });
            });
        }
        None => pairs.for_each(|(w, dw)| cpu.isa.run(Update { settings, lr, w, dw, v: None })),
    });
}

/// A step on some numbers of a parameter.
pub(crate) struct Update<'a> {
    pub(crate) settings: &'a Sgd,
    pub(crate) lr: f32,
    pub(crate) w: &'a mut [f32],
    pub(crate) dw: &'a [f32],
    pub(crate) v: Option<&'a mut [f32]>,
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { settings, lr, w, dw, mut v } = self;
        let Sgd { rate, momentum, weight_decay, nesterov } = *settings;
        let [minus_lr, momentum, decay] =
            [-(rate * lr), momentum, weight_decay].map(|x| s.splat(x));
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
}

/// A vector with zeros for its subnormal numbers.
///
/// The velocity of a weight whose gradient has become zero, as those of a unit that is never active
/// any more, decays to such numbers and then stays one for ever, because 0.9 times the smallest
/// rounds to itself. Arithmetic on them is slower by an order of magnitude.
#[inline(always)]
fn without_subnormals<S: Simd>(s: S, v: S::V) -> S::V {
    let magnitude = s.max(v, s.sub(s.splat(0.0), v));
    // NaN is not below anything, and stays.
    s.keep(!s.gt(s.splat(f32::MIN_POSITIVE), magnitude), v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Isa};

    #[test]
    fn the_velocity_of_a_weight_without_gradient_becomes_zero() {
        let settings = Sgd { momentum: 0.9, ..Sgd::default() };
        let normal = [f32::MIN_POSITIVE, -2.0, f32::INFINITY];
        for isa in Isa::available() {
            let cpu = Cpu::new(Config { threads: Some(1), isa: Some(isa) }).unwrap();
            let [mut w, dw, mut v] = [(); 3].map(|()| Buffer::zeroed(20).unwrap());
            v.f32_mut(20).fill(1.0);
            v.f32_mut(20)[7] = f32::NAN;
            for _ in 0..1000 {
                step(&cpu, &settings, 0.5, 20, &mut w, &dw, Some(&mut v));
            }
            let (nan, zeros): (Vec<f32>, Vec<f32>) = v.f32(20).iter().partition(|x| x.is_nan());
            assert_eq!((nan.len(), zeros), (1, vec![0.0; 19]), "{isa}");
            // What is normal is left alone.
            v.f32_mut(3).copy_from_slice(&normal);
            let still = Sgd { momentum: 1.0, ..settings };
            step(&cpu, &still, 0.5, 3, &mut w, &dw, Some(&mut v));
            assert_eq!(v.f32(3), normal, "{isa}");
        }
    }
}
