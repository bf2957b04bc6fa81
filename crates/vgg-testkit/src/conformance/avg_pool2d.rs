//! Average pools.

use vgg_tensor::spec::AvgPool2d;
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

/// An average pool and its gradient.
pub struct AvgPool2dTrial {
    op: AvgPool2d,
    x: Vec<f32>,
    dy: Vec<f32>,
    arithmetic: Arithmetic,
}

impl AvgPool2dTrial {
    /// On given numbers.
    pub fn on(op: AvgPool2d, x: &[f32], dy: &[f32]) -> Self {
        Self { op, x: x.to_vec(), dy: dy.to_vec(), arithmetic: Arithmetic::F32 }
    }

    /// On random numbers.
    pub fn smooth(op: AvgPool2d, arithmetic: Arithmetic) -> Self {
        let numbers = |seed, len| arithmetic.stored(inputs::uniform(seed, len, 1.0));
        Self { op, x: numbers(1, op.x().len()), dy: numbers(2, op.y().len()), arithmetic }
    }
}

impl Trial for AvgPool2dTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let spec = self.op;
        let (x_maps, y_maps) = (Content::Maps(spec.x()), Content::Maps(spec.y()));
        let [x, dy] = [bench.uploaded(x_maps, &self.x)?, bench.uploaded(y_maps, &self.dy)?];
        let [y, dx] = [bench.poisoned(y_maps)?, bench.poisoned(x_maps)?];
        bench.run(Command::AvgPool2d { spec, x: &x, y: &y })?;
        bench.run(Command::AvgPool2dBackward { spec, dy: &dy, dx: &dx })?;
        Ok(vec![("y", bench.downloaded(&y)?), ("dx", bench.downloaded(&dx)?)])
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let (x, y) = (self.op.x(), self.op.y());
        // Inputs of a window, and windows of an input.
        let most = |from: usize, to: usize| {
            (0..to).map(|i| AvgPool2d::window(i, from, to).len()).max().unwrap_or(1)
        };
        let area = most(x.h, y.h) * most(x.w, y.w);
        let windows = most(y.h, x.h) * most(y.w, x.w);
        // A sum of at most `k` numbers; the division is one more.
        let y = tolerance(1.0, area + 1, max_norm(&self.x));
        let dx = tolerance(1.0, windows + 1, windows as f64 * max_norm(&self.dy));
        [y, dx].map(|computed| stored(computed, self.arithmetic)).into()
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        cases::avg_pool2d::table().into_iter().map(|op| Self::smooth(op, arithmetic)).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::avg_pool2d::random(), |op| check(Self::smooth(op, arithmetic)));
    }
}
