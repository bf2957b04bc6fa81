//! Local response normalisations.

use vgg_tensor::spec::Lrn;
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

/// A power takes a logarithm and an exponential, each of a few roundings.
const C: f64 = 2.0;

/// A local response normalisation and its gradient.
pub struct LrnTrial {
    op: Lrn,
    x: Vec<f32>,
    dy: Vec<f32>,
    arithmetic: Arithmetic,
}

impl LrnTrial {
    /// On given numbers.
    pub fn on(op: Lrn, x: &[f32], dy: &[f32]) -> Self {
        Self { op, x: x.to_vec(), dy: dy.to_vec(), arithmetic: Arithmetic::F32 }
    }

    /// On random numbers, large enough for the normalisation to matter: alpha is 1e-4.
    pub fn smooth(op: Lrn, arithmetic: Arithmetic) -> Self {
        let numbers = |seed, range| arithmetic.stored(inputs::uniform(seed, op.x().len(), range));
        Self { op, x: numbers(1, 200.0), dy: numbers(2, 1.0), arithmetic }
    }
}

impl Trial for LrnTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (spec, maps) = (self.op, Content::Maps(self.op.x()));
        let [x, dy] = [bench.uploaded(maps, &self.x)?, bench.uploaded(maps, &self.dy)?];
        let [y, dx] = [bench.poisoned(maps)?, bench.poisoned(maps)?];
        bench.run(Command::Lrn { spec, x: &x, y: &y })?;
        bench.run(Command::LrnBackward { spec, x: &x, dy: &dy, dx: &dx })?;
        Ok(vec![("y", bench.downloaded(&y)?), ("dx", bench.downloaded(&dx)?)])
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        // No output is larger than its input: the denominator is above 1. A gradient has, besides
        // its own, those of the window, each less than `2 · beta` of its size.
        let window = 1.0 + 2.0 * f64::from(Lrn::BETA) * Lrn::SIZE as f64;
        let dx = window * max_norm(&self.dy);
        let computed = [tolerance(C, 1, max_norm(&self.x)), tolerance(C, 1, dx)];
        computed.map(|computed| stored(computed, self.arithmetic)).into()
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        cases::lrn::table().into_iter().map(|op| Self::smooth(op, arithmetic)).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::lrn::random(), |op| check(Self::smooth(op, arithmetic)));
    }
}
