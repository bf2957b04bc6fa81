//! The optimiser, over several steps.

use proptest::prelude::*;
use vgg_tensor::spec::{Sgd, WeightType};
use vgg_tensor::{Backend, Command, Content, Result, Scalars};

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
pub struct SgdTrial {
    spec: Sgd,
    lr: f32,
    content: Content,
    weight: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

impl SgdTrial {
    /// On random numbers.
    pub fn new(spec: Sgd, lr: f32, content: Content) -> Self {
        let numbers = |seed| inputs::uniform(seed, content.len(), 1.0);
        let gradients = (0..STEPS as u64).map(|step| numbers(2 + step)).collect();
        Self { spec, lr, content, weight: numbers(1), gradients }
    }
}

impl Trial for SgdTrial {
    fn name(&self) -> String {
        format!("{:?} at {} of {:?}", self.spec, self.lr, self.content)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (spec, content) = (self.spec, self.content);
        let scalars = Scalars { lr: self.lr, ..Scalars::default() };
        let weight = bench.uploaded(content, &self.weight)?;
        let zeros = vec![0.0; content.len()];
        let mut zeros = || bench.uploaded(content, &zeros);
        let velocity = (spec.momentum != 0.0).then(&mut zeros).transpose()?;
        for gradient in &self.gradients {
            let dweight = &bench.uploaded(content, gradient)?;
            let (weight, velocity) = (&weight, velocity.as_ref());
            bench.run_with(scalars, Command::Sgd { spec, content, weight, dweight, velocity })?;
        }
        let mut outputs = vec![("weight", bench.downloaded(&weight)?)];
        if let Some(velocity) = velocity {
            outputs.push(("velocity", bench.downloaded(&velocity)?));
        }
        Ok(outputs)
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        // Each step adds at most this much to a velocity that momentum would have grown in full.
        let g = 1.0 + f64::from(self.spec.weight_decay) * 2.0;
        let velocity = STEPS as f64 * g;
        let weight = max_norm(&self.weight) + STEPS as f64 * f64::from(self.lr) * velocity;
        let mut tolerances = vec![tolerance(1.0, STEPS, weight)];
        if self.spec.momentum != 0.0 {
            tolerances.push(tolerance(1.0, STEPS, velocity));
        }
        tolerances.into_iter().map(Tolerance::absolute).collect()
    }

    fn table(_arithmetic: Arithmetic) -> Vec<Self> {
        let plain = Sgd::default();
        let decay = Sgd { weight_decay: 0.05, ..plain };
        let momentum = Sgd { momentum: 0.9, ..plain };
        let both = Sgd { momentum: 0.9, ..decay };
        let specs = [
            plain,
            decay,
            momentum,
            both,
            Sgd { nesterov: true, ..momentum },
            Sgd { nesterov: true, ..both },
            Sgd { rate: 0.3, ..both },
        ];
        let trials = |spec| CONTENTS.map(|content| Self::new(spec, 0.1, content));
        specs.into_iter().flat_map(trials).collect()
    }

    fn random(_arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        let settings = (1e-4..0.5f32, 0.1..0.99f32, 0.0..0.1f32, any::<bool>());
        let trials = (settings, 1..600usize);
        cases::for_random(trials, |((lr, momentum, weight_decay, nesterov), len)| {
            let spec = Sgd { rate: 1.0, momentum, weight_decay, nesterov };
            check(Self::new(spec, lr, Content::Vector(len)));
        });
    }
}
