//! Average pools.

use vgg_tensor::spec::AvgPool2d;
use vgg_tensor::{Backend, Content, Result};

use super::{Outputs, Trial, downloaded, poisoned, stored, uploaded, with_spare};
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

    fn run<B: Backend>(&self, backend: &mut B, spare: usize) -> Result<Outputs> {
        let op = &self.op;
        let (x_shape, y_shape) = (Content::Maps(op.x()), Content::Maps(op.y()));
        let x_room = Content::Maps(with_spare(op.x(), spare));
        let y_room = Content::Maps(with_spare(op.y(), spare));
        let x = uploaded(backend, x_room, x_shape, &self.x)?;
        let dy = uploaded(backend, y_room, y_shape, &self.dy)?;
        let (mut y, mut dx) = (poisoned(backend, y_room)?, poisoned(backend, x_room)?);
        backend.avg_pool2d(op, &x, &mut y)?;
        backend.avg_pool2d_backward(op, &dy, &mut dx)?;
        Ok(vec![
            ("y", downloaded(backend, y_shape, &y)?),
            ("dx", downloaded(backend, x_shape, &dx)?),
        ])
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
