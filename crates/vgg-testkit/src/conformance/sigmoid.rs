//! The logistic sigmoid.

use proptest::prelude::*;
use vgg_tensor::{Backend, Command, Content, Result, Shape};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

/// An exponential, an addition and a division, each of a few roundings of numbers of up to 1.
const C: f64 = 2.0;

/// A sigmoid and its gradient.
pub struct SigmoidTrial {
    shape: Shape,
    x: Vec<f32>,
    /// Outputs to compute the gradient from.
    y: Vec<f32>,
    dy: Vec<f32>,
    arithmetic: Arithmetic,
}

impl SigmoidTrial {
    /// On given numbers; `y` is the sigmoid of `x`.
    pub fn on(shape: Shape, x: &[f32], y: &[f32], dy: &[f32]) -> Self {
        let [x, y, dy] = [x, y, dy].map(<[f32]>::to_vec);
        Self { shape, x, y, dy, arithmetic: Arithmetic::F32 }
    }

    /// On random numbers, and on some far outside of where the sigmoid is neither 0 nor 1.
    pub fn smooth(shape: Shape, arithmetic: Arithmetic) -> Self {
        const FAR: [f32; 8] = [0.0, -0.0, 17.0, -17.0, 90.0, -90.0, 60_000.0, -60_000.0];
        let mut x = inputs::uniform(1, shape.len(), 6.0);
        x.iter_mut().skip(3).step_by(5).zip(FAR).for_each(|(x, far)| *x = far);
        let y = inputs::uniform(2, shape.len(), 0.5).into_iter().map(|y| y + 0.5).collect();
        let stored = |numbers| arithmetic.stored(numbers);
        let dy = stored(inputs::uniform(3, shape.len(), 1.0));
        Self { shape, x: stored(x), y: stored(y), dy, arithmetic }
    }
}

impl Trial for SigmoidTrial {
    fn name(&self) -> String {
        format!("sigmoid of {}", self.shape)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (shape, maps) = (self.shape, Content::Maps(self.shape));
        let x = bench.uploaded(maps, &self.x)?;
        let [y, dy] = [bench.uploaded(maps, &self.y)?, bench.uploaded(maps, &self.dy)?];
        bench.run(Command::Sigmoid { shape, x: &x })?;
        bench.run(Command::SigmoidBackward { shape, y: &y, dy: &dy })?;
        Ok(vec![("y", bench.downloaded(&x)?), ("dx", bench.downloaded(&dy)?)])
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        // `y · (1 − y)` is at most 1/4.
        let computed = [tolerance(C, 1, 1.0), tolerance(1.0, 1, 0.25 * max_norm(&self.dy))];
        computed.map(|computed| stored(computed, self.arithmetic)).into()
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        [[1, 1, 1, 1], [2, 6, 28, 28], [3, 17, 3, 5], [1, 4099, 1, 1], [5, 84, 1, 1]]
            .map(|[n, c, h, w]| Self::smooth(Shape::new(n, c, h, w), arithmetic))
            .into()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        let shapes = [1..4usize, 1..40, 1..15, 1..15];
        cases::for_random(shapes.prop_map(|[n, c, h, w]| Shape::new(n, c, h, w)), |shape| {
            check(Self::smooth(shape, arithmetic));
        });
    }
}
