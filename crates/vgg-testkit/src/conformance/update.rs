//! What gradients and weights go through besides the optimiser.

use vgg_tensor::spec::{Linear, LinearEpilogue};
use vgg_tensor::{Backend, Content, Result, Shape};

use super::sgd::CONTENTS;
use super::{Outputs, Trial, downloaded, poisoned, uploaded};
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

    fn run<B: Backend>(&self, backend: &mut B, _spare: usize) -> Result<Outputs> {
        let content = self.content;
        let x = uploaded(backend, content, content, &self.x)?;
        let mut set = poisoned(backend, content)?;
        backend.blend(content, 0.25, &x, 0.0, &mut set)?;
        let mut average = uploaded(backend, content, content, &self.y)?;
        backend.blend(content, 0.1, &x, 0.9, &mut average)?;
        backend.blend(content, 1.0, &x, 1.0, &mut average)?;
        let numbers = downloaded(backend, content, &average)?;
        let again = uploaded(backend, content, content, &numbers)?;
        let products = [&average, &again].map(|weight| product(backend, content, weight));
        let [average, again] = products;
        let same = average?.iter().zip(again?).map(|(a, b)| a - b).collect();
        Ok(vec![
            ("set", downloaded(backend, content, &set)?),
            ("average", numbers),
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
fn product<B: Backend>(backend: &mut B, content: Content, weight: &B::Buffer) -> Result<Vec<f32>> {
    let Content::LinearWeight { out_features, c, h, w, .. } = content else {
        return Ok(Vec::new());
    };
    let op = Linear::new(Shape::new(1, c, h, w), out_features, LinearEpilogue::Bias)?;
    let [x, bias, y] =
        [Content::Maps(op.x()), Content::Vector(out_features), Content::Maps(op.y())];
    let (x_numbers, bias_numbers) = (inputs::uniform(3, x.len(), 1.0), vec![0.0; out_features]);
    let x = uploaded(backend, x, x, &x_numbers)?;
    let bias = uploaded(backend, bias, bias, &bias_numbers)?;
    let mut to = poisoned(backend, y)?;
    backend.linear(&op, &x, weight, &bias, &mut to, None)?;
    downloaded(backend, y, &to)
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

    fn run<B: Backend>(&self, backend: &mut B, _spare: usize) -> Result<Outputs> {
        let (mut rest, mut buffers) = (&self.numbers[..], Vec::new());
        for content in &self.contents {
            let (numbers, others) = rest.split_at(content.len());
            buffers.push(uploaded(backend, *content, *content, numbers)?);
            rest = others;
        }
        let contents = self.contents.iter().copied();
        let mut gradients: Vec<_> = contents.zip(&mut buffers).collect();
        backend.clip_gradients(self.max_norm, &mut gradients)?;
        let named = NAMES.iter().zip(&self.contents).zip(&buffers);
        named.map(|((name, c), buffer)| Ok((*name, downloaded(backend, *c, buffer)?))).collect()
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
