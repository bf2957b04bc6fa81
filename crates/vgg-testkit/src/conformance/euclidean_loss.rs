//! The loss of boxes, its gradient, and how good the boxes are.

use vgg_tensor::spec::{BoxMetrics, EuclideanLoss};
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

/// A loss of boxes and its gradient.
pub struct EuclideanLossTrial {
    op: EuclideanLoss,
    predicted: Vec<f32>,
    /// As [`EuclideanLoss`] has them.
    targets: Vec<u32>,
    arithmetic: Arithmetic,
}

impl EuclideanLossTrial {
    /// On random boxes near the true ones; some are none, and some are far away.
    pub fn smooth(op: EuclideanLoss, arithmetic: Arithmetic) -> Self {
        let targets = inputs::boxes(2, &op);
        let mut predicted = inputs::uniform(3, op.predicted().len(), 1.0);
        for (i, numbers) in predicted.chunks_exact_mut(op.predicted().c).enumerate() {
            if i % 4 != 3 && targets[i] != EuclideanLoss::NO_BOX {
                let own = &mut numbers[targets[i] as usize * EuclideanLoss::BOX..];
                let target = &targets[op.predicted().n + i * EuclideanLoss::BOX..];
                for (own, target) in own.iter_mut().zip(&target[..EuclideanLoss::BOX]) {
                    *own = f32::from_bits(*target) + 0.1 * *own;
                }
            }
        }
        Self { op, predicted: arithmetic.stored(predicted), targets, arithmetic }
    }

    /// On boxes whose numbers are quarters, of which many are equal, apart, or overlap by just a half.
    pub fn ties(op: EuclideanLoss, arithmetic: Arithmetic) -> Self {
        let quarters = |seed, len| {
            inputs::integers(seed, len, 4).into_iter().map(|x| x / 4.0).collect::<Vec<f32>>()
        };
        let mut targets = inputs::boxes(2, &op);
        let (n, predicted) = (op.predicted().n, quarters(4, op.predicted().len()));
        for (i, target) in targets[n..].chunks_exact_mut(EuclideanLoss::BOX).enumerate() {
            let numbers = quarters(5 + i as u64, EuclideanLoss::BOX);
            let sides = numbers.iter().enumerate();
            let sides = sides.map(|(at, x)| if at < 2 { *x } else { x.abs().max(0.25) });
            target.iter_mut().zip(sides).for_each(|(word, x)| *word = x.to_bits());
        }
        Self { op, predicted, targets, arithmetic }
    }
}

impl Trial for EuclideanLossTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (spec, maps) = (self.op, Content::Maps(self.op.predicted()));
        let three = Content::Vector(BoxMetrics::LEN);
        let bytes: Vec<u8> = self.targets.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let predicted = &bench.uploaded(maps, &self.predicted)?;
        let targets = &bench.uploaded_bytes(&bytes)?;
        let (metrics, dpredicted) = (&bench.poisoned(three)?, &bench.poisoned(maps)?);
        bench.run(Command::EuclideanLoss { spec, predicted, targets, metrics, dpredicted })?;
        let [loss, right, iou] = bench.downloaded(metrics)?[..] else { unreachable!() };
        let dpredicted = bench.downloaded(dpredicted)?;
        let sums = [("loss_sum", loss), ("right", right), ("iou_sum", iou)];
        let sums = sums.map(|(name, number)| (name, vec![number]));
        Ok(sums.into_iter().chain([("dpredicted", dpredicted)]).collect())
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let (n, range) = (self.op.predicted().n, 1.0 + max_norm(&self.predicted));
        let divisor = f32::from_bits(*self.targets.last().expect("the divisor is there"));
        let loss = tolerance(4.0, 4 * n, n as f64 * range * range);
        // Areas are differences of numbers of up to the range, and the smallest true one is 1/16.
        let iou = tolerance(4.0, n, 16.0 * n as f64 * range * range);
        let gradient = stored(tolerance(2.0, 1, range / f64::from(divisor)), self.arithmetic);
        vec![Tolerance::absolute(loss), Tolerance::default(), Tolerance::absolute(iou), gradient]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        let trials = |op| [Self::smooth(op, arithmetic), Self::ties(op, arithmetic)];
        cases::euclidean_loss::table().into_iter().flat_map(trials).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::euclidean_loss::random(), |op| {
            check(Self::smooth(op, arithmetic))
        });
    }
}
