//! Max-pools. Nothing is rounded, so everything is exact.

use vgg_tensor::spec::MaxPool2d;
use vgg_tensor::{Backend, Content, Result};

use super::{Outputs, Trial, downloaded, poisoned, uploaded, with_spare};
use crate::compare::Tolerance;
use crate::{Arithmetic, cases, inputs};

/// A max-pool and its gradient.
pub struct MaxPool2dTrial {
    op: MaxPool2d,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl MaxPool2dTrial {
    /// On given numbers.
    pub fn on(op: MaxPool2d, x: &[f32], dy: &[f32]) -> Self {
        Self { op, x: x.to_vec(), dy: dy.to_vec() }
    }

    /// On few different numbers, so that most windows have several equal maxima. Gradients are
    /// whole numbers, so that overlapping windows add up exactly.
    pub fn ties(op: MaxPool2d) -> Self {
        let x = inputs::integers(1, op.x().len(), 1);
        Self { x, dy: inputs::integers(2, op.y().len(), 9), op }
    }

    /// On random negative numbers: a zero from outside of the map would win.
    pub fn negative(op: MaxPool2d, arithmetic: Arithmetic) -> Self {
        let x = inputs::uniform(1, op.x().len(), 1.0).into_iter().map(|x| x - 2.0).collect();
        Self { x: arithmetic.stored(x), dy: inputs::integers(2, op.y().len(), 9), op }
    }
}

impl Trial for MaxPool2dTrial {
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
        let mut outputs = Outputs::new();

        let mut y = poisoned(backend, y_room)?;
        backend.max_pool2d(op, &x, &mut y, None)?;
        outputs.push(("y without aux", downloaded(backend, y_shape, &y)?));
        let mut y = poisoned(backend, y_room)?;
        let mut aux = poisoned(backend, Content::Bytes(op.aux_bytes()))?;
        backend.max_pool2d(op, &x, &mut y, Some(&mut aux))?;
        outputs.push(("y", downloaded(backend, y_shape, &y)?));
        let mut dx = poisoned(backend, x_room)?;
        backend.max_pool2d_backward(op, &dy, &aux, &mut dx)?;
        outputs.push(("dx", downloaded(backend, x_shape, &dx)?));
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        vec![Tolerance::default(); 3]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        let trials = |op| [Self::ties(op), Self::negative(op, arithmetic)];
        cases::max_pool2d::table().into_iter().flat_map(trials).collect()
    }

    fn random(_arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::max_pool2d::random(), |op| check(Self::ties(op)));
    }
}
