//! Convolutions, with the decisions of ReLU and pooling.

use vgg_tensor::spec::{Conv2d, ConvEpilogue};
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, sum_tolerance};
use crate::{Arithmetic, Reference, cases, inputs};

/// Room for Winograd's F(4×4, 3×3), whose transforms multiply by up to 8 and cancel. On these trials
/// the CPU's, with AVX2, strays by up to 0.53 of what plain sums are allowed, and its other
/// convolutions by up to 0.23.
const C: f64 = 2.0;

/// Room for rounding at the points, in multiples of what rounding the factors of as many products as a sum
/// has would do: on these trials the CPU's strays by up to 0.77 of that.
const POINTS: f64 = 24.0;

/// A convolution and its gradients.
pub struct Conv2dTrial {
    op: Conv2d,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
    /// Whether all sums are exact in whatever order.
    exact: bool,
    arithmetic: Arithmetic,
}

impl Conv2dTrial {
    /// On given numbers.
    pub fn on(op: Conv2d, x: &[f32], weight: &[f32], bias: &[f32], dy: &[f32]) -> Self {
        let [x, weight, bias, dy] = [x, weight, bias, dy].map(<[f32]>::to_vec);
        Self { op, x, weight, bias, dy, exact: false, arithmetic: Arithmetic::F32 }
    }

    /// On random numbers. `dy` is zero where rounding could decide whether ReLU is alive or which
    /// element of a pooling window is the largest, so that the gradients do not depend on it.
    pub fn smooth(op: Conv2d, arithmetic: Arithmetic) -> Self {
        let factors = |numbers| arithmetic.factors(numbers);
        let fan_in = (op.weight().len() / op.c_out()) as f32;
        let mut trial = Self {
            op,
            x: factors(inputs::uniform(1, op.x().len(), 1.0)),
            weight: factors(inputs::uniform(2, op.weight().len(), fan_in.sqrt().recip())),
            bias: inputs::uniform(3, op.c_out(), 0.5),
            dy: factors(inputs::uniform(4, op.y().len(), 1.0)),
            exact: false,
            arithmetic,
        };
        let sums = sums(&trial).expect("the reference does not fail");
        let y = trial.y_tolerance();
        let near = 2.0 * (y.absolute + y.relative * max_norm(&sums)) as f32;
        for (dy, mut window) in trial.dy.iter_mut().zip(windows(&op, &sums)) {
            window.sort_by(|a, b| b.total_cmp(a));
            let relu = op.epilogue() != ConvEpilogue::Bias && window[0].abs() <= near;
            let pool = window.len() > 1 && window[0] - window[1] <= near;
            if relu || pool {
                *dy = 0.0;
            }
        }
        trial
    }

    /// On whole numbers, so that sums of exactly zero and windows of equal elements abound. With
    /// kernels larger than 1×1 the weights are zero, as the sums of fast algorithms are not exact.
    pub fn ties(op: Conv2d, arithmetic: Arithmetic) -> Self {
        let exact = op.kernel() == 1;
        Self {
            op,
            x: inputs::integers(1, op.x().len(), 2),
            weight: inputs::integers(2, op.weight().len(), if exact { 2 } else { 0 }),
            bias: inputs::integers(3, op.c_out(), 1),
            dy: inputs::integers(4, op.y().len(), 3),
            exact,
            arithmetic,
        }
    }

    /// The products' sums are stored, which differ from outputs by the bias, and these once more.
    fn y_tolerance(&self) -> Tolerance {
        let fan_in = self.op.weight().len() / self.op.c_out();
        let sums = self.products(fan_in, &self.x, &self.weight);
        let computed = sums + sum_tolerance(C, 1, &self.bias, &[1.0]);
        let bias = self.arithmetic.rounding_of(max_norm(&self.bias));
        stored(computed + bias, self.arithmetic) + self.arithmetic.rounding()
    }

    /// The error of a sum of `k` products.
    fn products(&self, k: usize, a: &[f32], b: &[f32]) -> f64 {
        let rounded = match self.arithmetic {
            Arithmetic::WinogradBf16 => {
                POINTS * 2f64.powi(-9) * (k as f64).sqrt() * max_norm(a) * max_norm(b)
            }
            _ => 0.0,
        };
        sum_tolerance(C, k, a, b) + rounded
    }
}

impl Trial for Conv2dTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let spec = self.op;
        let (c_out, weights) = (Content::Vector(spec.c_out()), spec.weight());
        let (x_maps, y_maps) = (Content::Maps(spec.x()), Content::Maps(spec.y()));
        let [x, dy] = [&bench.uploaded(x_maps, &self.x)?, &bench.uploaded(y_maps, &self.dy)?];
        let weight = &bench.uploaded(weights, &self.weight)?;
        let bias = &bench.uploaded(c_out, &self.bias)?;
        let mut outputs = Outputs::new();

        let y = &bench.poisoned(y_maps)?;
        bench.run(Command::Conv2d { spec, x, weight, bias, y, aux: None })?;
        outputs.push(("y without aux", bench.downloaded(y)?));
        let y = &bench.poisoned(y_maps)?;
        let aux = &bench.poisoned(Content::Bytes(spec.aux_bytes()))?;
        bench.run(Command::Conv2d { spec, x, weight, bias, y, aux: Some(aux) })?;
        outputs.push(("y", bench.downloaded(y)?));

        let backward = |dweight, dbias, dx| Command::Conv2dBackward {
            spec,
            x,
            weight,
            dy,
            aux,
            dweight,
            dbias,
            dx,
        };
        let [dweight, dbias] = [&bench.poisoned(weights)?, &bench.poisoned(c_out)?];
        bench.run(backward(dweight, dbias, None))?;
        outputs.push(("dweight without dx", bench.downloaded(dweight)?));
        outputs.push(("dbias without dx", bench.downloaded(dbias)?));
        let [dweight, dbias] = [&bench.poisoned(weights)?, &bench.poisoned(c_out)?];
        let dx = &bench.poisoned(x_maps)?;
        bench.run(backward(dweight, dbias, Some(dx)))?;
        outputs.push(("dweight", bench.downloaded(dweight)?));
        outputs.push(("dbias", bench.downloaded(dbias)?));
        outputs.push(("dx", bench.downloaded(dx)?));
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        if self.exact {
            return vec![Tolerance::default(); 7];
        }
        let y = self.y_tolerance();
        let sums = self.op.conv_y();
        let positions = sums.n * sums.h * sums.w;
        let dweight = stored(self.products(positions, &self.x, &self.dy), self.arithmetic);
        let dbias = Tolerance::absolute(sum_tolerance(1.0, positions, &self.dy, &[1.0]));
        let fan_out = self.op.weight().len() / self.op.x().c;
        let dx = stored(self.products(fan_out, &self.dy, &self.weight), self.arithmetic);
        vec![y, y, dweight, dbias, dweight, dbias, dx]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        cases::conv2d::table()
            .into_iter()
            .flat_map(|op| [Self::smooth(op, arithmetic), Self::ties(op, arithmetic)])
            .collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::conv2d::random(), |op| check(Self::smooth(op, arithmetic)));
    }
}

/// The convolution's sums before any ReLU and pooling.
fn sums(trial: &Conv2dTrial) -> Result<Vec<f32>> {
    let op = &trial.op;
    let op = Conv2d::new(op.x(), op.c_out(), op.kernel(), op.padding(), ConvEpilogue::Bias)?
        .with_stride(op.stride())?;
    let mut reference = Reference::<f64>::new();
    let bench = &mut Bench::new(&mut reference);
    let x = &bench.uploaded(Content::Maps(op.x()), &trial.x)?;
    let weight = &bench.uploaded(op.weight(), &trial.weight)?;
    let bias = &bench.uploaded(Content::Vector(op.c_out()), &trial.bias)?;
    let y = &bench.poisoned(Content::Maps(op.y()))?;
    bench.run(Command::Conv2d { spec: op, x, weight, bias, y, aux: None })?;
    bench.downloaded(y)
}

/// The sums that each output depends on: one, or the four of a pooling window.
fn windows(op: &Conv2d, sums: &[f32]) -> Vec<Vec<f32>> {
    let (from, y) = (op.conv_y(), op.y());
    if op.epilogue() != ConvEpilogue::BiasReluMaxPool {
        return sums.iter().map(|sum| vec![*sum]).collect();
    }
    (0..y.len())
        .map(|index| {
            let (map, i, j) = (index / (y.h * y.w), index / y.w % y.h, index % y.w);
            let first = (map * from.h + 2 * i) * from.w + 2 * j;
            [first, first + 1, first + from.w, first + from.w + 1].map(|i| sums[i]).to_vec()
        })
        .collect()
}
