//! Dropout: the very mask that the definition draws.

use proptest::prelude::*;
use vgg_tensor::{Backend, Command, Content, Draw, Result, Scalars, Shape};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

/// Dropout of numbers that are not zero.
pub struct DropoutTrial {
    shape: Shape,
    p: f32,
    draw: Draw,
    x: Vec<f32>,
    arithmetic: Arithmetic,
}

impl DropoutTrial {
    /// On random numbers.
    pub fn new(n: usize, features: usize, p: f32, draw: Draw, arithmetic: Arithmetic) -> Self {
        let shape = Shape::flat(n, features);
        let x = inputs::uniform(1, shape.len(), 0.5).into_iter().map(|x| x + 1.0).collect();
        Self { shape, p, draw, x: arithmetic.stored(x), arithmetic }
    }
}

impl Trial for DropoutTrial {
    fn name(&self) -> String {
        format!("dropout of {} with p = {}, {:?}", self.shape, self.p, self.draw)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (shape, p, Draw { seed, stream, step }) = (self.shape, self.p, self.draw);
        let x = bench.uploaded(Content::Maps(shape), &self.x)?;
        let scalars = Scalars { step, ..Scalars::default() };
        bench.run_with(scalars, Command::Dropout { shape, p, seed, stream, x: &x })?;
        let y = bench.downloaded(&x)?;
        let mask = y.iter().map(|y| if *y == 0.0 { 0.0 } else { 1.0 }).collect();
        Ok(vec![("mask", mask), ("y", y)])
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let largest = max_norm(&self.x) / (1.0 - f64::from(self.p));
        // `1 − p` is rounded, and the smaller it is the more that means.
        let computed = tolerance(1.0, 1, largest / (1.0 - f64::from(self.p)));
        vec![Tolerance::default(), stored(computed, self.arithmetic)]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        let draw = Draw { seed: 1, stream: 2, step: 3 };
        let far = Draw { seed: u64::MAX, stream: u32::MAX, step: 1 << 33 };
        [
            (1, 1, 0.5, draw),
            (3, 17, 0.5, draw),
            (5, 33, 0.3, far),
            (2, 4096, 0.5, far),
            (1, 4099, 0.5, draw),
            (3, 85, 0.25, far),
            (7, 10, 0.0, draw),
            (4, 129, 0.99, draw),
            // as likely as one of the numbers drawn
            (2, 19, draw.uniform(7), draw),
        ]
        .map(|(n, features, p, draw)| Self::new(n, features, p, draw, arithmetic))
        .into()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        let draw = (any::<u64>(), any::<u32>(), any::<u64>());
        let trials = (1..9usize, 1..600usize, 0.0..0.95f32, draw);
        cases::for_random(trials, |(n, features, p, (seed, stream, step))| {
            check(Self::new(n, features, p, Draw { seed, stream, step }, arithmetic));
        });
    }
}
