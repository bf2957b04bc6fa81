//! What gradients and weights go through besides the optimiser.

use vgg_tensor::spec::{Linear, LinearEpilogue};
use vgg_tensor::{Backend, Command, Content, Result, Shape};

use super::optimizer::CONTENTS;
use super::{Bench, Operand, Outputs, Trial};
use crate::compare::{Tolerance, tolerance};
use crate::{Arithmetic, cases, inputs};

const NAMES: [&str; CONTENTS.len()] = ["1", "33", "17×5×3×3", "8×3×1×1", "10×40", "17×30"];

/// A sum, and an average that goes on.
pub struct BlendTrial {
    content: Content,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl BlendTrial {
    fn new(content: Content) -> Self {
        let numbers = |seed| inputs::uniform(seed, content.len(), 1.0);
        Self { content, x: numbers(1), y: numbers(2) }
    }
}

impl Trial for BlendTrial {
    fn name(&self) -> String {
        format!("blend of {:?}", self.content)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let content = self.content;
        let x = &bench.uploaded(content, &self.x)?;
        let y = &bench.poisoned(content)?;
        bench.run(Command::Scale { content, alpha: 0.25, x, y })?;
        let set = bench.downloaded(y)?;
        let y = &bench.uploaded(content, &self.y)?;
        bench.run(Command::Blend { content, alpha: 0.1, x, beta: 0.9, y })?;
        bench.run(Command::Blend { content, alpha: 1.0, x, beta: 1.0, y })?;
        let average = bench.downloaded(y)?;
        let again = &bench.uploaded(content, &average)?;
        let products = [product(bench, content, y)?, product(bench, content, again)?];
        let same = products[0].iter().zip(&products[1]).map(|(a, b)| a - b).collect();
        Ok(vec![
            ("set", set),
            ("average", average),
            ("products with the same numbers, uploaded", same),
        ])
    }

    /// The reference's numbers are rounded as they come down.
    fn expected(&self, mut exact: Outputs) -> Outputs {
        exact[2].1.fill(0.0);
        exact
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        let average = Tolerance::absolute(tolerance(1.0, 4, 2.0));
        vec![Tolerance::default(), average, Tolerance::default()]
    }

    fn table(_arithmetic: Arithmetic) -> Vec<Self> {
        CONTENTS.map(Self::new).into()
    }

    fn random(_arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(1..6000usize, |len| check(Self::new(Content::Vector(len))));
    }
}

/// What a weight gives, if it is a fully connected layer's.
fn product<B: Backend>(
    bench: &mut Bench<'_, B>,
    content: Content,
    weight: &Operand<B::Buffer>,
) -> Result<Vec<f32>> {
    let Content::LinearWeight { out_features, c, h, w, .. } = content else {
        return Ok(Vec::new());
    };
    let spec = Linear::new(Shape::new(1, c, h, w), out_features, LinearEpilogue::Bias)?;
    let x = &bench.uploaded(Content::Maps(spec.x()), &inputs::uniform(3, spec.x().len(), 1.0))?;
    let bias = &bench.uploaded(Content::Vector(out_features), &vec![0.0; out_features])?;
    let y = &bench.poisoned(Content::Maps(spec.y()))?;
    bench.run(Command::Linear { spec, x, weight, bias, y, aux: None })?;
    bench.downloaded(y)
}

/// Gradients whose norm is limited together.
pub struct ClipGradientsTrial {
    max_norm: f32,
    contents: Vec<Content>,
    /// All of them, one after another.
    numbers: Vec<f32>,
}

impl ClipGradientsTrial {
    fn new(max_norm: f32, contents: &[Content], change: impl FnOnce(&mut [f32])) -> Self {
        let len = contents.iter().map(Content::len).sum();
        let mut numbers = inputs::uniform(1, len, 1.0);
        change(&mut numbers);
        Self { max_norm, contents: contents.to_vec(), numbers }
    }
}

impl Trial for ClipGradientsTrial {
    fn name(&self) -> String {
        format!("the norm of {:?} limited to {}", self.contents, self.max_norm)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let (mut rest, mut operands) = (&self.numbers[..], Vec::new());
        for content in &self.contents {
            let (numbers, others) = rest.split_at(content.len());
            operands.push(bench.uploaded(*content, numbers)?);
            rest = others;
        }
        let gradients = self.contents.iter().copied().zip(&operands).collect();
        bench.run(Command::ClipGradients { max_norm: self.max_norm, gradients })?;
        let named = NAMES.iter().zip(&operands);
        named.map(|(name, gradient)| Ok((*name, bench.downloaded(gradient)?))).collect()
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        // A sum of squares has no cancellation: its error is relative, and so is the factor's.
        let relative = tolerance(4.0, self.numbers.len(), 1.0);
        vec![Tolerance { absolute: 0.0, relative }; self.contents.len()]
    }

    fn table(_arithmetic: Arithmetic) -> Vec<Self> {
        vec![
            Self::new(0.5, &CONTENTS, |_| {}),
            // Nothing to limit: the same to the bit.
            Self::new(1e3, &CONTENTS, |_| {}),
            Self::new(0.5, &CONTENTS, |numbers| numbers.fill(0.0)),
            Self::new(1e-3, &CONTENTS[..1], |_| {}),
        ]
    }

    fn random(_arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random((1..6000usize, 0.01..50.0f32), |(len, max_norm)| {
            check(Self::new(max_norm, &[Content::Vector(len)], |_| {}));
        });
    }
}
