//! Fully connected layers, with the decisions of ReLU.

use vgg_tensor::spec::{Linear, LinearEpilogue, Sgd};
use vgg_tensor::{Backend, Content, Result, WeightGradient};

use super::{Outputs, Trial, assert_same, downloaded, poisoned, stored, uploaded, with_spare};
use crate::compare::{Tolerance, max_norm, sum_tolerance};
use crate::{Arithmetic, Reference, cases, inputs};

/// A fully connected layer and its gradients.
pub struct LinearTrial {
    op: Linear,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
    /// Whether all sums are exact in whatever order.
    exact: bool,
    arithmetic: Arithmetic,
}

impl LinearTrial {
    /// On given numbers.
    pub fn on(op: Linear, x: &[f32], weight: &[f32], bias: &[f32], dy: &[f32]) -> Self {
        let [x, weight, bias, dy] = [x, weight, bias, dy].map(<[f32]>::to_vec);
        Self { op, x, weight, bias, dy, exact: false, arithmetic: Arithmetic::F32 }
    }

    /// On random numbers. `dy` is zero where rounding could decide whether ReLU is alive, so that
    /// the gradients do not depend on it.
    pub fn smooth(op: Linear, arithmetic: Arithmetic) -> Self {
        let factors = |numbers| arithmetic.factors(numbers);
        let range = (op.in_features() as f32).sqrt().recip();
        let mut trial = Self {
            op,
            x: factors(inputs::uniform(1, op.x().len(), 1.0)),
            weight: factors(inputs::uniform(2, op.weight().len(), range)),
            bias: inputs::uniform(3, op.out_features(), 0.5),
            dy: factors(inputs::uniform(4, op.y().len(), 1.0)),
            exact: false,
            arithmetic,
        };
        if op.epilogue() == LinearEpilogue::BiasRelu {
            let sums = sums(&trial).expect("the reference does not fail");
            let y = trial.y_tolerance();
            let near = 2.0 * (y.absolute + y.relative * max_norm(&sums)) as f32;
            for (dy, sum) in trial.dy.iter_mut().zip(sums) {
                if sum.abs() <= near {
                    *dy = 0.0;
                }
            }
        }
        trial
    }

    /// On whole numbers, so that sums of exactly zero abound.
    pub fn ties(op: Linear, arithmetic: Arithmetic) -> Self {
        Self {
            op,
            x: inputs::integers(1, op.x().len(), 1),
            weight: inputs::integers(2, op.weight().len(), 1),
            bias: inputs::integers(3, op.out_features(), 1),
            dy: inputs::integers(4, op.y().len(), 3),
            exact: true,
            arithmetic,
        }
    }

    /// Whether there are gradients to try.
    fn trains(&self) -> bool {
        self.op.weight().check_trainable().is_ok()
    }

    /// The products' sums are stored, which differ from outputs by the bias, and these once more.
    fn y_tolerance(&self) -> Tolerance {
        let sums = sum_tolerance(1.0, self.op.in_features(), &self.x, &self.weight);
        let computed = sums + sum_tolerance(1.0, 1, &self.bias, &[1.0]);
        let bias = self.arithmetic.rounding_of(max_norm(&self.bias));
        stored(computed + bias, self.arithmetic) + self.arithmetic.rounding()
    }
}

impl Trial for LinearTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, backend: &mut B, spare: usize) -> Result<Outputs> {
        let op = &self.op;
        let (outs, weights) = (Content::Vector(op.out_features()), op.weight());
        let (x_shape, y_shape) = (Content::Maps(op.x()), Content::Maps(op.y()));
        let x_room = Content::Maps(with_spare(op.x(), spare));
        let y_room = Content::Maps(with_spare(op.y(), spare));

        let x = uploaded(backend, x_room, x_shape, &self.x)?;
        let mut weight = uploaded(backend, weights, weights, &self.weight)?;
        let bias = uploaded(backend, outs, outs, &self.bias)?;
        let dy = uploaded(backend, y_room, y_shape, &self.dy)?;
        let mut outputs = Outputs::new();

        let mut y = poisoned(backend, y_room)?;
        backend.linear(op, &x, &weight, &bias, &mut y, None)?;
        outputs.push(("y without aux", downloaded(backend, y_shape, &y)?));
        let mut y = poisoned(backend, y_room)?;
        let mut aux = poisoned(backend, Content::Bytes(op.aux_bytes()))?;
        backend.linear(op, &x, &weight, &bias, &mut y, Some(&mut aux))?;
        outputs.push(("y", downloaded(backend, y_shape, &y)?));

        let (mut dw, mut db) = (poisoned(backend, weights)?, poisoned(backend, outs)?);
        let stored = WeightGradient::Stored { weight: &weight, dweight: &mut dw };
        let result = backend.linear_backward(op, &x, stored, &dy, &aux, &mut db, None);
        if !self.trains() {
            assert!(result.is_err(), "{}: gradients of a weight in f16", self.name());
            let update = backend.sgd(&Sgd::plain(0.1), weights, &mut weight, &dw, None);
            assert!(update.is_err(), "{}: an update of a weight in f16", self.name());
            return Ok(outputs);
        }
        result?;
        outputs.push(("dweight without dx", downloaded(backend, weights, &dw)?));
        outputs.push(("dbias without dx", downloaded(backend, outs, &db)?));
        let (mut dw, mut db) = (poisoned(backend, weights)?, poisoned(backend, outs)?);
        let mut dx = poisoned(backend, x_room)?;
        let stored = WeightGradient::Stored { weight: &weight, dweight: &mut dw };
        backend.linear_backward(op, &x, stored, &dy, &aux, &mut db, Some(&mut dx))?;
        outputs.push(("dweight", downloaded(backend, weights, &dw)?));
        outputs.push(("dbias", downloaded(backend, outs, &db)?));
        outputs.push(("dx", downloaded(backend, x_shape, &dx)?));

        // Applied at once, the gradient does to the weight what the optimiser does with the stored
        // one, and the other gradients are the same. Weights have no room for more images.
        if spare > 0 {
            return Ok(outputs);
        }
        let plain = Sgd { weight_decay: 0.05, ..Sgd::plain(0.1) };
        for settings in [plain, Sgd { momentum: 0.9, nesterov: true, ..plain }] {
            let start = |backend: &mut B| -> Result<_> {
                let mut random = || uploaded(backend, weights, weights, &self.weight);
                let weight = random()?;
                Ok((weight, (settings.momentum != 0.0).then(random).transpose()?))
            };
            let results = |backend: &mut B, weight, velocity: Option<_>, db, dx| -> Result<_> {
                let mut results = vec![
                    ("weight after", downloaded(backend, weights, &weight)?),
                    ("dbias", downloaded(backend, outs, db)?),
                    ("dx", downloaded(backend, x_shape, dx)?),
                ];
                if let Some(velocity) = velocity {
                    results.push(("velocity after", downloaded(backend, weights, &velocity)?));
                }
                Ok(results)
            };
            let (mut weight, mut velocity) = start(backend)?;
            backend.sgd(&settings, weights, &mut weight, &dw, velocity.as_mut())?;
            let stored = results(backend, weight, velocity, &db, &dx)?;

            let (mut weight, mut velocity) = start(backend)?;
            let (mut db, mut dx) = (poisoned(backend, outs)?, poisoned(backend, x_room)?);
            let gradient = WeightGradient::Applied {
                settings: &settings,
                weight: &mut weight,
                velocity: velocity.as_mut(),
            };
            backend.linear_backward(op, &x, gradient, &dy, &aux, &mut db, Some(&mut dx))?;
            let applied = results(backend, weight, velocity, &db, &dx)?;
            assert_same(self, "stored and applied", &stored, &applied);
        }
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        if self.exact {
            return vec![Tolerance::default(); if self.trains() { 7 } else { 2 }];
        }
        let y = self.y_tolerance();
        if !self.trains() {
            return vec![y, y];
        }
        let images = self.op.x().n;
        let dweight = Tolerance::absolute(sum_tolerance(1.0, images, &self.x, &self.dy));
        let dbias = Tolerance::absolute(sum_tolerance(1.0, images, &self.dy, &[1.0]));
        let dx = sum_tolerance(1.0, self.op.out_features(), &self.dy, &self.weight);
        vec![y, y, dweight, dbias, dweight, dbias, stored(dx, self.arithmetic)]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        let trials = |op| [Self::smooth(op, arithmetic), Self::ties(op, arithmetic)];
        cases::linear::table().into_iter().flat_map(trials).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::linear::random(), |op| check(Self::smooth(op, arithmetic)));
    }
}

/// The sums before any ReLU.
fn sums(trial: &LinearTrial) -> Result<Vec<f32>> {
    let op = Linear::new(trial.op.x(), trial.op.out_features(), LinearEpilogue::Bias)?;
    let (weights, outs) = (op.weight(), Content::Vector(op.out_features()));
    let (x, y) = (Content::Maps(op.x()), Content::Maps(op.y()));
    let mut reference = Reference::<f64>::new();
    let bx = uploaded(&mut reference, x, x, &trial.x)?;
    let bw = uploaded(&mut reference, weights, weights, &trial.weight)?;
    let bb = uploaded(&mut reference, outs, outs, &trial.bias)?;
    let mut by = poisoned(&mut reference, y)?;
    reference.linear(&op, &bx, &bw, &bb, &mut by, None)?;
    downloaded(&mut reference, y, &by)
}
