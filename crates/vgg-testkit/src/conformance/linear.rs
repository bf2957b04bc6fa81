//! Fully connected layers, with the decisions of ReLU.

use vgg_tensor::spec::{AdamW, Linear, LinearEpilogue, Sgd};
use vgg_tensor::{Backend, Command, Content, Result, Scalars, WeightGradient};

use super::optimizer::{adamw, sgd};
use super::{Bench, Memory, Outputs, Trial, assert_same, stored};
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

    /// Whether all gradients are to try, or that of the input alone.
    fn trains(&self) -> [bool; 2] {
        let weight = self.op.weight();
        [weight.check_trainable().is_ok(), weight.check_differentiable().is_ok()]
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

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let spec = self.op;
        let (outs, weights) = (Content::Vector(spec.out_features()), spec.weight());
        let (x_maps, y_maps) = (Content::Maps(spec.x()), Content::Maps(spec.y()));
        let [x, dy] = [&bench.uploaded(x_maps, &self.x)?, &bench.uploaded(y_maps, &self.dy)?];
        let weight = &bench.uploaded(weights, &self.weight)?;
        let bias = &bench.uploaded(outs, &self.bias)?;
        let mut outputs = Outputs::new();

        let y = &bench.poisoned(y_maps)?;
        bench.run(Command::Linear { spec, x, weight, bias, y, aux: None })?;
        outputs.push(("y without aux", bench.downloaded(y)?));
        let y = &bench.poisoned(y_maps)?;
        let aux = &bench.poisoned(Content::Bytes(spec.aux_bytes()))?;
        bench.run(Command::Linear { spec, x, weight, bias, y, aux: Some(aux) })?;
        outputs.push(("y", bench.downloaded(y)?));
        let alone = |bench: &mut Bench<'_, B>| {
            let dx = bench.poisoned(x_maps)?;
            bench.run(Command::LinearInputBackward { spec, weight, dy, aux, dx: &dx })?;
            Result::Ok(vec![("dx", bench.downloaded(&dx)?)])
        };
        match self.trains() {
            [true, _] => {}
            [false, true] => {
                outputs.extend(alone(bench)?);
                return Ok(outputs);
            }
            [false, false] => return Ok(outputs),
        }

        let backward =
            |weight, dbias, dx| Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx };
        let [dweight, dbias] = [&bench.poisoned(weights)?, &bench.poisoned(outs)?];
        bench.run(backward(WeightGradient::Stored { weight, dweight }, dbias, None))?;
        outputs.push(("dweight without dx", bench.downloaded(dweight)?));
        outputs.push(("dbias without dx", bench.downloaded(dbias)?));
        let [dweight, dbias] = [&bench.poisoned(weights)?, &bench.poisoned(outs)?];
        let dx = &bench.poisoned(x_maps)?;
        bench.run(backward(WeightGradient::Stored { weight, dweight }, dbias, Some(dx)))?;
        outputs.push(("dweight", bench.downloaded(dweight)?));
        outputs.push(("dbias", bench.downloaded(dbias)?));
        outputs.push(("dx", bench.downloaded(dx)?));

        let with_others = vec![("dx", bench.downloaded(dx)?)];
        assert_same(self, "with others and alone", &with_others, &alone(bench)?);

        // Applied at once, the gradient does to the weight what the optimiser does with the stored
        // one, and the other gradients are the same. Weights have no room for more images.
        if bench.memory() == Memory::Spare {
            return Ok(outputs);
        }
        let scalars = Scalars { lr: 0.1, step: 2 };
        let plain = Sgd { weight_decay: 0.05, ..Sgd::default() };
        for optimizer in [
            sgd(plain),
            sgd(Sgd { rate: 0.3, momentum: 0.9, nesterov: true, ..plain }),
            adamw(AdamW { rate: 0.3, weight_decay: 0.05, ..AdamW::default() }),
        ] {
            // The weight, and what may be kept of it: a mean of squares is not negative.
            let squares: Vec<f32> = self.weight.iter().map(|x| x * x).collect();
            let start = |bench: &mut Bench<'_, B>| -> Result<[_; 3]> {
                let [weight, first] = [(); 2].map(|()| bench.uploaded(weights, &self.weight));
                Ok([weight?, first?, bench.uploaded(weights, &squares)?])
            };
            let results = |bench: &mut Bench<'_, B>, numbers: &[_; 3], dbias, dx| {
                let [weight, first, second] = numbers;
                Result::Ok(vec![
                    ("weight after", bench.downloaded(weight)?),
                    ("dbias", bench.downloaded(dbias)?),
                    ("dx", bench.downloaded(dx)?),
                    ("velocity or mean after", bench.downloaded(first)?),
                    ("square after", bench.downloaded(second)?),
                ])
            };
            let numbers = &start(bench)?;
            let [weight, kept @ ..] = numbers;
            let mut each = kept.iter();
            let bound = optimizer.map(|()| each.next().expect("none keeps more"));
            let update = Command::Step { optimizer: bound, content: weights, weight, dweight };
            bench.run_with(scalars, update)?;
            let stored = results(bench, numbers, dbias, dx)?;

            let numbers = &start(bench)?;
            let [weight, kept @ ..] = numbers;
            let mut each = kept.iter();
            let bound = optimizer.map(|()| each.next().expect("none keeps more"));
            let [dbias, dx] = [&bench.poisoned(outs)?, &bench.poisoned(x_maps)?];
            let weight_gradient = WeightGradient::Applied { optimizer: bound, weight };
            let backward = Command::LinearBackward {
                spec,
                x,
                weight: weight_gradient,
                dy,
                aux,
                dbias,
                dx: Some(dx),
            };
            bench.run_with(scalars, backward)?;
            let applied = results(bench, numbers, dbias, dx)?;
            assert_same(self, "stored and applied", &stored, &applied);
        }
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let [all, through] = self.trains();
        if self.exact {
            return vec![Tolerance::default(); if all { 7 } else { 2 + usize::from(through) }];
        }
        let y = self.y_tolerance();
        let dx = sum_tolerance(1.0, self.op.out_features(), &self.dy, &self.weight);
        let dx = stored(dx, self.arithmetic);
        match [all, through] {
            [true, _] => {}
            [false, true] => return vec![y, y, dx],
            [false, false] => return vec![y, y],
        }
        let images = self.op.x().n;
        let dweight = Tolerance::absolute(sum_tolerance(1.0, images, &self.x, &self.dy));
        let dbias = Tolerance::absolute(sum_tolerance(1.0, images, &self.dy, &[1.0]));
        vec![y, y, dweight, dbias, dweight, dbias, dx]
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
    let mut reference = Reference::<f64>::new();
    let bench = &mut Bench::new(&mut reference);
    let x = &bench.uploaded(Content::Maps(op.x()), &trial.x)?;
    let weight = &bench.uploaded(op.weight(), &trial.weight)?;
    let bias = &bench.uploaded(Content::Vector(op.out_features()), &trial.bias)?;
    let y = &bench.poisoned(Content::Maps(op.y()))?;
    bench.run(Command::Linear { spec: op, x, weight, bias, y, aux: None })?;
    bench.downloaded(y)
}
