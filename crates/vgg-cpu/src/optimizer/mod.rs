//! The optimisers.

mod adamw;
mod sgd;

use rayon::prelude::*;
use vgg_tensor::{Optimizer, Scalars};

use crate::Cpu;
use crate::buffer::Buffer;
use crate::shared::Shared;
use crate::simd::{Kernel, Simd};

/// Numbers of one piece of work.
const CHUNK: usize = 1 << 16;

/// See [`vgg_tensor::Command::Step`].
pub(crate) fn step(
    cpu: &Cpu,
    optimizer: Optimizer<&mut Buffer>,
    scalars: Scalars,
    len: usize,
    weight: &mut Buffer,
    dweight: &Buffer,
) {
    let rates = Rates::new(&optimizer, scalars);
    let optimizer = optimizer.map(|kept| Shared::new(kept.f32_mut(len)));
    let weights = weight.f32_mut(len).par_chunks_mut(CHUNK);
    let pairs = weights.zip(dweight.f32(len).par_chunks(CHUNK)).enumerate();
    cpu.threads.run(|| {
        pairs.for_each(|(chunk, (w, dw))| {
            let numbers = chunk * CHUNK..chunk * CHUNK + w.len();
            // SAFETY: this job alone has these numbers.
            let optimizer = optimizer.map(|kept| unsafe { kept.slice(numbers.clone()) });
            cpu.isa.run(Update { optimizer, rates, w, dw });
        });
    });
}

/// What a step has besides the optimiser's settings.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    lr: f32,
    /// What AdamW's averages are divided by.
    corrections: [f32; 2],
}

impl Rates {
    pub(crate) fn new<U>(optimizer: &Optimizer<U>, Scalars { lr, step }: Scalars) -> Self {
        let corrections = match optimizer {
            Optimizer::Sgd { .. } => [1.0; 2],
            Optimizer::AdamW { spec, .. } => spec.corrections(step + 1),
        };
        Self { lr, corrections }
    }
}

/// A step on some numbers of a parameter.
pub(crate) struct Update<'a> {
    pub(crate) optimizer: Optimizer<&'a mut [f32]>,
    pub(crate) rates: Rates,
    pub(crate) w: &'a mut [f32],
    pub(crate) dw: &'a [f32],
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { optimizer, rates, w, dw } = self;
        match optimizer {
            Optimizer::Sgd { spec, velocity } => sgd::update(s, &spec, rates, w, dw, velocity),
            Optimizer::AdamW { spec, mean, square } => {
                adamw::update(s, &spec, rates, w, dw, mean, square);
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
    use vgg_tensor::spec::{AdamW, Sgd};

    use super::*;
    use crate::{Config, Isa};

    fn on_each(test: impl Fn(Cpu, Isa)) {
        for isa in Isa::available() {
            test(
                Cpu::new(Config { threads: Some(1), isa: Some(isa), ..Config::default() }).unwrap(),
                isa,
            );
        }
    }

    const SCALARS: Scalars = Scalars { lr: 0.5, step: 0 };

    #[test]
    fn the_velocity_of_a_weight_without_gradient_becomes_zero() {
        let normal = [f32::MIN_POSITIVE, -2.0, f32::INFINITY];
        on_each(|cpu, isa| {
            let [mut w, dw, mut v] = [(); 3].map(|()| Buffer::zeroed(20).unwrap());
            let mut steps = |momentum, len, v: &mut Buffer| {
                let spec = Sgd { momentum, ..Sgd::default() };
                let optimizer = Optimizer::Sgd { spec, velocity: Some(v) };
                step(&cpu, optimizer, SCALARS, len, &mut w, &dw);
            };
            v.f32_mut(20).fill(1.0);
            v.f32_mut(20)[7] = f32::NAN;
            for _ in 0..1000 {
                steps(0.9, 20, &mut v);
            }
            let (nan, zeros): (Vec<f32>, Vec<f32>) = v.f32(20).iter().partition(|x| x.is_nan());
            assert_eq!((nan.len(), zeros), (1, vec![0.0; 19]), "{isa}");
            // What is normal is left alone.
            v.f32_mut(3).copy_from_slice(&normal);
            steps(1.0, 3, &mut v);
            assert_eq!(v.f32(3), normal, "{isa}");
        });
    }

    #[test]
    fn the_averages_of_a_weight_without_gradient_become_zero() {
        let spec = AdamW { betas: [0.9, 0.9], ..AdamW::default() };
        on_each(|cpu, isa| {
            let [mut w, dw, mut mean, mut square] = [(); 4].map(|()| Buffer::zeroed(20).unwrap());
            mean.f32_mut(20).fill(-1.0);
            square.f32_mut(20).fill(1.0);
            for _ in 0..1000 {
                let optimizer = Optimizer::AdamW { spec, mean: &mut mean, square: &mut square };
                step(&cpu, optimizer, SCALARS, 20, &mut w, &dw);
            }
            assert_eq!([mean.f32(20), square.f32(20)], [[0.0; 20]; 2], "{isa}");
            assert!(w.f32(20).iter().all(|w| w.is_finite()), "{isa}");
        });
    }
}
