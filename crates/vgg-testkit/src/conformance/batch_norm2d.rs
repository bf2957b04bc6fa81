//! Batch normalisations, with the decisions of ReLU and pooling.

use vgg_tensor::spec::BatchNorm2d;
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, sum_tolerance, tolerance};
use crate::reference::batch_norm2d::for_each_window;
use crate::{Arithmetic, cases, inputs};

/// Squares of numbers that are alike are rounded alike, so that errors add up to more than in a
/// random walk: on whole numbers, to 2.1 of it where all squares are added one after the other.
const C: f64 = 3.0;

/// A batch normalisation, by the batch's statistics and by running ones, and its gradients.
pub struct BatchNorm2dTrial {
    op: BatchNorm2d,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
    dy: Vec<f32>,
    arithmetic: Arithmetic,
}

impl BatchNorm2dTrial {
    /// On given numbers.
    pub fn on(
        op: BatchNorm2d,
        [x, weight, bias, running_mean, running_var, dy]: [&[f32]; 6],
    ) -> Self {
        let [x, weight, bias] = [x, weight, bias].map(<[f32]>::to_vec);
        let [running_mean, running_var, dy] = [running_mean, running_var, dy].map(<[f32]>::to_vec);
        let arithmetic = Arithmetic::F32;
        Self { op, x, weight, bias, running_mean, running_var, dy, arithmetic }
    }

    /// On random numbers about `offset`, with weights of both signs.
    pub fn smooth(op: BatchNorm2d, offset: f32, arithmetic: Arithmetic) -> Self {
        let x = inputs::uniform(1, op.x().len(), 1.0).into_iter().map(|x| x + offset).collect();
        let c = op.x().c;
        let [weight, bias] = [inputs::uniform(2, c, 1.0), inputs::uniform(3, c, 0.5)];
        Self::with(op, x, weight, bias, arithmetic)
    }

    /// On whole numbers, so that many are equal: a window's first one wins, also where a weight of
    /// zero makes all of them equal to a bias, which may be zero, too.
    pub fn ties(op: BatchNorm2d, arithmetic: Arithmetic) -> Self {
        let (x, c) = (inputs::integers(1, op.x().len(), 1), op.x().c);
        let [weight, bias] = [inputs::integers(2, c, 1), inputs::integers(3, c, 1)];
        Self::with(op, x, weight, bias, arithmetic)
    }

    /// On channels that are constant, of numbers whose sums are exact: the variance is zero.
    pub fn constant(op: BatchNorm2d, arithmetic: Arithmetic) -> Self {
        let (map_len, c) = (op.x().h * op.x().w, op.x().c);
        let levels: Vec<_> = inputs::integers(5, c, 20).iter().map(|x| x / 8.0).collect();
        let x = (0..op.x().len()).map(|i| levels[i / map_len % c]).collect();
        let [weight, bias] = [inputs::uniform(2, c, 1.0), inputs::uniform(3, c, 0.5)];
        Self::with(op, x, weight, bias, arithmetic)
    }

    /// With random gradients: zero where rounding could decide whether ReLU is alive or which of a
    /// window's unequal numbers is the largest, so that the gradients do not depend on it.
    fn with(
        op: BatchNorm2d,
        x: Vec<f32>,
        weight: Vec<f32>,
        bias: Vec<f32>,
        arithmetic: Arithmetic,
    ) -> Self {
        let c = op.x().c;
        let mut trial = Self {
            x: arithmetic.stored(x),
            weight,
            bias,
            running_mean: inputs::uniform(6, c, 2.0),
            running_var: inputs::uniform(7, c, 0.9).into_iter().map(|x| x + 1.0).collect(),
            dy: arithmetic.stored(inputs::uniform(4, op.y().len(), 1.0)),
            op,
            arithmetic,
        };
        let normalised = trial.normalised();
        let largest = normalised.iter().fold(0.0, |max, z| f64::max(max, z.abs()));
        let y = trial.bounds().y;
        let near = 2.0 * (y.absolute + y.relative * largest);
        for_each_window(&op, |index, window| {
            let max = window.iter().map(|i| normalised[*i]).fold(f64::MIN, f64::max);
            // A bias alone is exact, and equal numbers stay equal.
            let exact = trial.weight[window[0] / (op.x().h * op.x().w) % c] == 0.0;
            let close = |i: &usize| {
                let distance = max - normalised[*i];
                0.0 < distance && distance <= near
            };
            if !exact && max.abs() <= near || window.iter().any(close) {
                trial.dy[index] = 0.0;
            }
        });
        trial
    }

    /// The numbers of each channel.
    fn channels(&self) -> impl Iterator<Item = (usize, Vec<f64>)> {
        let shape = self.op.x();
        let maps = move |c| self.x.chunks(shape.h * shape.w).skip(c).step_by(shape.c);
        (0..shape.c).map(move |c| (c, maps(c).flatten().map(|x| f64::from(*x)).collect()))
    }

    /// The maps before ReLU.
    fn normalised(&self) -> Vec<f64> {
        let shape = self.op.x();
        let statistics: Vec<_> = self.channels().map(|(_, x)| Statistics::of(&x)).collect();
        let of = |(i, x): (usize, &f32)| {
            let c = i / (shape.h * shape.w) % shape.c;
            let Statistics { mean, inverse, .. } = statistics[c];
            let normal = (f64::from(*x) - mean) * inverse;
            f64::from(self.weight[c]) * normal + f64::from(self.bias[c])
        };
        self.x.iter().enumerate().map(of).collect()
    }

    fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        for (c, x) in self.channels() {
            bounds.include(self.channel_bounds(c, &x));
        }
        let rounding = self.arithmetic.rounding();
        bounds.y = bounds.y + rounding;
        bounds.dx = bounds.dx + rounding;
        bounds
    }

    /// How far a channel's results may be off.
    fn channel_bounds(&self, c: usize, x: &[f64]) -> Bounds {
        let [weight, bias] = [self.weight[c], self.bias[c]].map(|x| f64::from(x.abs()));
        let Statistics { mean, var, inverse } = Statistics::of(x);
        let m = x.len() as f64;
        let largest = x.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let spread = x.iter().fold(0.0, |max: f64, x| max.max((x - mean).abs()));

        // The mean of numbers of this size. Where means of parts are compared to combine their
        // variances, its rounding meets the deviation once; otherwise squares.
        let mean_error = tolerance(1.0, x.len(), largest);
        let var_error = tolerance(C, x.len(), spread * spread)
            + tolerance(2.0, 1, largest * spread)
            + mean_error * mean_error;
        let inverse_share = var_error / (2.0 * (var + EPSILON)) + tolerance(2.0, 1, 1.0);
        let normal = spread * inverse;
        let normal_error = mean_error * inverse + normal * inverse_share;
        let y = weight * normal_error + tolerance(2.0, 1, weight * normal + bias);

        let running = |old: f32, new: f64, error: f64| {
            let largest = f64::from(old.abs()).max(new);
            f64::from(BatchNorm2d::MOMENTUM) * error + tolerance(2.0, 1, largest)
        };
        let unbiased = m / (m - 1.0);
        let running_mean = running(self.running_mean[c], largest, mean_error);
        let running_var = running(self.running_var[c], unbiased * var, unbiased * var_error);

        let (terms, dy) = (self.dy.len() / self.op.x().c, max_norm(&self.dy));
        let dbias = sum_tolerance(1.0, terms, &self.dy, &[1.0]);
        let products = terms as f64 * dy * normal;
        let dweight = tolerance(1.0, terms, products) + terms as f64 * dy * normal_error;
        let direct = dy + terms as f64 * dy / m + normal * products / m;
        let dx = weight * inverse * (dbias / m + (normal * dweight + normal_error * products) / m)
            + weight * inverse * direct * (inverse_share + tolerance(4.0, 1, 1.0));

        let from_running = f64::from(self.running_var[c]) + EPSILON;
        let distance = largest + f64::from(self.running_mean[c].abs());
        let inference = tolerance(4.0, 1, weight * distance / from_running.sqrt() + bias);
        Bounds {
            y: Tolerance::absolute(y),
            mean: mean_error,
            inverse: inverse * inverse_share,
            running_mean,
            running_var,
            dbias,
            dweight,
            dx: Tolerance::absolute(dx),
            inference,
        }
    }
}

const EPSILON: f64 = BatchNorm2d::EPSILON as f64;

struct Statistics {
    mean: f64,
    var: f64,
    inverse: f64,
}

impl Statistics {
    fn of(x: &[f64]) -> Self {
        let m = x.len() as f64;
        let mean = x.iter().sum::<f64>() / m;
        let var = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / m;
        Self { mean, var, inverse: 1.0 / (var + EPSILON).sqrt() }
    }
}

/// The largest errors allowed, of one channel or of all.
#[derive(Default)]
struct Bounds {
    y: Tolerance,
    mean: f64,
    inverse: f64,
    running_mean: f64,
    running_var: f64,
    dbias: f64,
    dweight: f64,
    dx: Tolerance,
    inference: f64,
}

impl Bounds {
    fn include(&mut self, other: Self) {
        self.y.absolute = self.y.absolute.max(other.y.absolute);
        self.mean = self.mean.max(other.mean);
        self.inverse = self.inverse.max(other.inverse);
        self.running_mean = self.running_mean.max(other.running_mean);
        self.running_var = self.running_var.max(other.running_var);
        self.dbias = self.dbias.max(other.dbias);
        self.dweight = self.dweight.max(other.dweight);
        self.dx.absolute = self.dx.absolute.max(other.dx.absolute);
        self.inference = self.inference.max(other.inference);
    }
}

impl Trial for BatchNorm2dTrial {
    fn name(&self) -> String {
        format!("{:?} of {:e} …", self.op, self.x[0])
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (spec, vector) = (self.op, self.op.vector());
        let (x_maps, y_maps) = (Content::Maps(spec.x()), Content::Maps(spec.y()));
        let [x, dy] = [&bench.uploaded(x_maps, &self.x)?, &bench.uploaded(y_maps, &self.dy)?];
        let mut uploaded = |numbers: &[f32]| bench.uploaded(vector, numbers);
        let [weight, bias] = [&uploaded(&self.weight)?, &uploaded(&self.bias)?];
        let running_mean = &uploaded(&self.running_mean)?;
        let running_var = &uploaded(&self.running_var)?;
        let mut outputs = Outputs::new();

        let y = &bench.poisoned(y_maps)?;
        bench.run(Command::BatchNorm2dInference {
            spec,
            x,
            weight,
            bias,
            running_mean,
            running_var,
            y,
        })?;
        outputs.push(("y of inference", bench.downloaded(y)?));

        let [saved, y] = [&bench.poisoned(spec.saved())?, &bench.poisoned(y_maps)?];
        let aux = &bench.poisoned(Content::Bytes(spec.aux_bytes()))?;
        bench.run(Command::BatchNorm2d {
            spec,
            x,
            weight,
            bias,
            running_mean,
            running_var,
            saved,
            y,
            aux,
        })?;
        outputs.push(("y", bench.downloaded(y)?));
        let means = bench.downloaded(saved)?;
        let (means, inverses) = means.split_at(spec.x().c);
        outputs.push(("mean", means.to_vec()));
        outputs.push(("inverse deviation", inverses.to_vec()));
        outputs.push(("running mean", bench.downloaded(running_mean)?));
        outputs.push(("running variance", bench.downloaded(running_var)?));

        let [dweight, dbias] = [&bench.poisoned(vector)?, &bench.poisoned(vector)?];
        let dx = &bench.poisoned(x_maps)?;
        bench.run(Command::BatchNorm2dBackward {
            spec,
            x,
            weight,
            saved,
            dy,
            aux,
            dweight,
            dbias,
            dx,
        })?;
        outputs.push(("dweight", bench.downloaded(dweight)?));
        outputs.push(("dbias", bench.downloaded(dbias)?));
        outputs.push(("dx", bench.downloaded(dx)?));
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let bounds = self.bounds();
        let absolute = Tolerance::absolute;
        vec![
            stored(bounds.inference, self.arithmetic),
            bounds.y,
            absolute(bounds.mean),
            absolute(bounds.inverse),
            absolute(bounds.running_mean),
            absolute(bounds.running_var),
            absolute(bounds.dweight),
            absolute(bounds.dbias),
            bounds.dx,
        ]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        // As far from zero as squares of these numbers, but not of their differences, lose all
        // digits to rounding; in half precision, as far as they are still different numbers.
        let far = match arithmetic {
            Arithmetic::F32 | Arithmetic::Tf32 => 1000.0,
            Arithmetic::Bf16 | Arithmetic::WinogradBf16 | Arithmetic::F16 => 20.0,
        };
        let trials = |op| {
            [
                Self::smooth(op, 0.5, arithmetic),
                Self::smooth(op, far, arithmetic),
                Self::ties(op, arithmetic),
                Self::constant(op, arithmetic),
            ]
        };
        cases::batch_norm2d::table().into_iter().flat_map(trials).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::batch_norm2d::random(), |op| {
            check(Self::smooth(op, -2.0, arithmetic));
        });
    }
}
