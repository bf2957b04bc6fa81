//! The optimisers, over several steps.

use proptest::prelude::*;
use vgg_tensor::spec::{AdamW, Sgd, WeightType};
use vgg_tensor::{Backend, Command, Content, Optimizer, Result, Scalars};

use super::{Bench, Outputs, Trial, linear_weight};
use crate::compare::{Tolerance, max_norm, tolerance};
use crate::{Arithmetic, cases, inputs};

const STEPS: usize = 4;

pub(super) const CONTENTS: [Content; 6] = [
    Content::Vector(1),
    Content::Vector(33),
    Content::ConvWeight { c_out: 17, c_in: 5, kernel: 3 },
    Content::ConvWeight { c_out: 8, c_in: 3, kernel: 1 },
    linear_weight(10, [40, 1, 1], WeightType::F32),
    linear_weight(17, [5, 3, 2], WeightType::F32),
];

/// Some steps of one parameter, each with a gradient of its own.
pub struct OptimizerTrial {
    optimizer: Optimizer<()>,
    lr: f32,
    content: Content,
    weight: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

/// SGD, with a velocity where there is momentum.
pub(super) fn sgd(spec: Sgd) -> Optimizer<()> {
    Optimizer::Sgd { spec, velocity: (spec.momentum != 0.0).then_some(()) }
}

/// AdamW.
pub(super) fn adamw(spec: AdamW) -> Optimizer<()> {
    Optimizer::AdamW { spec, mean: (), square: () }
}

impl OptimizerTrial {
    /// On random numbers.
    pub fn new(optimizer: Optimizer<()>, lr: f32, content: Content) -> Self {
        let numbers = |seed| inputs::uniform(seed, content.len(), 1.0);
        let gradients = (0..STEPS as u64).map(|step| numbers(2 + step)).collect();
        Self { optimizer, lr, content, weight: numbers(1), gradients }
    }
}

impl Trial for OptimizerTrial {
    fn name(&self) -> String {
        format!("{:?} at {} of {:?}", self.optimizer, self.lr, self.content)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let content = self.content;
        let weight = &bench.uploaded(content, &self.weight)?;
        let zeros = vec![0.0; content.len()];
        let kept = [bench.uploaded(content, &zeros)?, bench.uploaded(content, &zeros)?];
        let mut each = kept.iter();
        let optimizer = self.optimizer.map(|()| each.next().expect("none keeps more"));
        for (step, gradient) in (0..).zip(&self.gradients) {
            let dweight = &bench.uploaded(content, gradient)?;
            let scalars = Scalars { lr: self.lr, step };
            bench.run_with(scalars, Command::Step { optimizer, content, weight, dweight })?;
        }
        let mut outputs = vec![("weight", bench.downloaded(weight)?)];
        match optimizer {
            Optimizer::Sgd { velocity: None, .. } => {}
            Optimizer::Sgd { velocity: Some(velocity), .. } => {
                outputs.push(("velocity", bench.downloaded(velocity)?));
            }
            Optimizer::AdamW { mean, square, .. } => {
                outputs.push(("mean", bench.downloaded(mean)?));
                outputs.push(("square", bench.downloaded(square)?));
            }
        }
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let (weight, lr) = (max_norm(&self.weight), f64::from(self.lr));
        let scales = match self.optimizer {
            Optimizer::Sgd { spec, velocity } => {
                // Each step adds at most this much to a velocity that momentum would have grown in
                // full.
                let g = 1.0 + f64::from(spec.weight_decay) * 2.0;
                let moved = STEPS as f64 * g;
                let mut scales = vec![weight + STEPS as f64 * lr * moved];
                scales.extend(velocity.map(|()| moved));
                scales
            }
            // Averages of numbers up to 1. Their quotient is at most √(steps), as the squares weigh
            // all steps nearly alike; its parts are rounded some four times.
            Optimizer::AdamW { .. } => {
                let moved = (STEPS as f64).sqrt() * STEPS as f64 * lr;
                vec![weight + 4.0 * moved, 1.0, 1.0]
            }
        };
        scales.into_iter().map(|scale| Tolerance::absolute(tolerance(1.0, STEPS, scale))).collect()
    }

    fn table(_arithmetic: Arithmetic) -> Vec<Self> {
        let plain = Sgd::default();
        let decay = Sgd { weight_decay: 0.05, ..plain };
        let momentum = Sgd { momentum: 0.9, ..plain };
        let both = Sgd { momentum: 0.9, ..decay };
        let sgds = [
            plain,
            decay,
            momentum,
            both,
            Sgd { nesterov: true, ..momentum },
            Sgd { nesterov: true, ..both },
            Sgd { rate: 0.3, ..both },
        ];
        let usual = AdamW::default();
        let adamws = [
            usual,
            AdamW { weight_decay: 0.05, ..usual },
            AdamW { rate: 0.3, betas: [0.5, 0.75], eps: 0.1, weight_decay: 0.05 },
            AdamW { betas: [0.0, 0.9], ..usual },
        ];
        let optimizers = sgds.map(sgd).into_iter().chain(adamws.map(adamw));
        let trials = |optimizer| CONTENTS.map(|content| Self::new(optimizer, 0.1, content));
        optimizers.flat_map(trials).collect()
    }

    fn random(_arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        let settings = (1e-4..0.5f32, 0.1..0.99f32, 0.0..0.1f32, any::<bool>());
        let trials = (settings, 1..600usize);
        cases::for_random(trials, |((lr, momentum, weight_decay, nesterov), len)| {
            let spec = Sgd { rate: 1.0, momentum, weight_decay, nesterov };
            check(Self::new(sgd(spec), lr, Content::Vector(len)));
        });
        let settings = (1e-4..0.5f32, 0.0..0.99f64, 0.9..0.9999f64, 0.0..0.1f32);
        let trials = (settings, 1..600usize);
        cases::for_random(trials, |((lr, beta1, beta2, weight_decay), len)| {
            let spec = AdamW { betas: [beta1, beta2], weight_decay, ..AdamW::default() };
            check(Self::new(adamw(spec), lr, Content::Vector(len)));
        });
    }
}
