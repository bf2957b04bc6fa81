//! The loss, its gradient and the correct classes.

use vgg_tensor::spec::{Metrics, SoftmaxCrossEntropy};
use vgg_tensor::{Backend, Command, Content, Result};

use super::{Bench, Outputs, Trial, stored};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

/// A softmax cross-entropy and its gradient.
pub struct SoftmaxCrossEntropyTrial {
    op: SoftmaxCrossEntropy,
    logits: Vec<f32>,
    /// As [`SoftmaxCrossEntropy`] has them.
    labels: Vec<u32>,
    arithmetic: Arithmetic,
}

impl SoftmaxCrossEntropyTrial {
    /// On random logits of up to `range`.
    pub fn smooth(op: SoftmaxCrossEntropy, range: f32, arithmetic: Arithmetic) -> Self {
        let logits = arithmetic.stored(inputs::uniform(1, op.logits().len(), range));
        Self::on(op, logits, arithmetic)
    }

    /// On few different logits: ranks are decided by the lower class.
    pub fn ties(op: SoftmaxCrossEntropy, arithmetic: Arithmetic) -> Self {
        Self::on(op, inputs::integers(1, op.logits().len(), 1), arithmetic)
    }

    /// As [`SoftmaxCrossEntropyTrial::ties`], where some logits are NaN: those of true classes, of
    /// others, of both, of none. Correct classes are all that is compared.
    pub fn nan(op: SoftmaxCrossEntropy, arithmetic: Arithmetic) -> Self {
        let mut trial = Self::ties(op, arithmetic);
        let classes = op.logits().c;
        for (i, logits) in trial.logits.chunks_exact_mut(classes).enumerate() {
            let label = trial.labels[i] as usize;
            match i % 4 {
                0 => logits[label] = f32::NAN,
                1 => logits[(label + 1) % classes] = f32::NAN,
                2 => logits.fill(f32::NAN),
                _ => {}
            }
        }
        trial
    }

    fn on(op: SoftmaxCrossEntropy, logits: Vec<f32>, arithmetic: Arithmetic) -> Self {
        Self { op, logits, labels: inputs::targets(2, &op), arithmetic }
    }
}

impl Trial for SoftmaxCrossEntropyTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (spec, maps) = (self.op, Content::Maps(self.op.logits()));
        let three = Content::Vector(Metrics::LEN);
        let bytes: Vec<u8> = self.labels.iter().flat_map(|label| label.to_ne_bytes()).collect();
        let logits = &bench.uploaded(maps, &self.logits)?;
        let labels = &bench.uploaded_bytes(&bytes)?;
        let (metrics, dlogits) = (&bench.poisoned(three)?, &bench.poisoned(maps)?);
        bench.run(Command::SoftmaxCrossEntropy { spec, logits, labels, metrics, dlogits })?;
        let mut metrics = bench.downloaded(metrics)?;
        let correct = ("correct", metrics.split_off(1));
        if self.logits.iter().any(|logit| logit.is_nan()) {
            return Ok(vec![correct]);
        }
        Ok(vec![("loss_sum", metrics), correct, ("dlogits", bench.downloaded(dlogits)?)])
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let (n, classes) = (self.op.logits().n, self.op.logits().c as f64);
        // Differences of logits are rounded, and the exponential makes that a relative error.
        let range = 2.0 * max_norm(&self.logits) + classes.ln() + 1.0;
        // The largest weight to the smallest, of which the divisor is made.
        let range = range * if self.op.is_weighted() { inputs::WEIGHTS } else { 1.0 };
        // A smooth target has a part of every class.
        let terms = if self.op.smoothing() == 0.0 { 1 } else { self.op.logits().c };
        let loss = tolerance(4.0, n * terms, n as f64 * range);
        let dlogits = tolerance(4.0, 1, range / n as f64);
        let (loss, exact) = (Tolerance::absolute(loss), Tolerance::default());
        if self.logits.iter().any(|logit| logit.is_nan()) {
            return vec![exact];
        }
        vec![loss, exact, stored(dlogits, self.arithmetic)]
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        // Logits of ±10⁴ overflow unless the maximum is subtracted.
        let targets = |op: SoftmaxCrossEntropy| {
            let specs = [op, op.mixed(), op.with_smoothing(0.1), op.mixed().with_smoothing(1.0)];
            specs.into_iter().flat_map(|spec| [spec, spec.weighted()])
        };
        let trials = |op| {
            let smooth = |range| Self::smooth(op, range, arithmetic);
            [smooth(4.0), smooth(1e4), Self::ties(op, arithmetic), Self::nan(op, arithmetic)]
        };
        let table = cases::softmax_cross_entropy::table();
        table.into_iter().flat_map(targets).flat_map(trials).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        let check = |op: SoftmaxCrossEntropy| check(Self::ties(op.mixed().weighted(), arithmetic));
        cases::for_random(cases::softmax_cross_entropy::random(), check);
    }
}
