//! Max-pools. Nothing is rounded, so everything is exact.

use vgg_tensor::spec::MaxPool2d;
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial};
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

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let spec = self.op;
        let (x_maps, y_maps) = (Content::Maps(spec.x()), Content::Maps(spec.y()));
        let [x, dy] = [bench.uploaded(x_maps, &self.x)?, bench.uploaded(y_maps, &self.dy)?];
        let mut outputs = Outputs::new();

        let y = bench.poisoned(y_maps)?;
        bench.run(Command::MaxPool2d { spec, x: &x, y: &y, aux: None })?;
        outputs.push(("y without aux", bench.downloaded(&y)?));
        let y = bench.poisoned(y_maps)?;
        let aux = bench.poisoned(Content::Bytes(spec.aux_bytes()))?;
        bench.run(Command::MaxPool2d { spec, x: &x, y: &y, aux: Some(&aux) })?;
        outputs.push(("y", bench.downloaded(&y)?));
        let dx = bench.poisoned(x_maps)?;
        bench.run(Command::MaxPool2dBackward { spec, dy: &dy, aux: &aux, dx: &dx })?;
        outputs.push(("dx", bench.downloaded(&dx)?));
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
