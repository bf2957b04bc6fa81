//! Resizing and normalising, to the bit that is stored.

use vgg_tensor::spec::{Normalize, PrepareImages};
use vgg_tensor::{Backend, Command, Content, Result, Shape};

use super::{Bench, Outputs, Trial};
use crate::compare::Tolerance;
use crate::{Arithmetic, cases, inputs};

/// A batch of bytes to prepare.
pub struct PrepareImagesTrial {
    op: PrepareImages,
    normalize: Normalize,
    pixels: Vec<u8>,
    arithmetic: Arithmetic,
}

impl PrepareImagesTrial {
    /// On random bytes with a normalisation of each channel's own.
    pub fn new(op: PrepareImages, arithmetic: Arithmetic) -> Self {
        let channels = op.x().c;
        let mean = inputs::uniform(1, channels, 0.5);
        let std: Vec<f32> = inputs::uniform(2, channels, 0.5).iter().map(|x| x + 0.6).collect();
        Self {
            op,
            normalize: Normalize::new(mean, std).expect("finite, and std is positive"),
            pixels: inputs::bytes(3, op.source().len()),
            arithmetic,
        }
    }

    /// Pixels as they are, all 256 of them.
    pub fn every_byte(arithmetic: Arithmetic) -> Self {
        Self {
            op: PrepareImages::new(Shape::new(1, 1, 16, 16), 16, 16).expect("a valid spec"),
            normalize: Normalize::identity(1),
            pixels: (0..=255).collect(),
            arithmetic,
        }
    }
}

impl Trial for PrepareImagesTrial {
    fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs> {
        let pixels = bench.uploaded_bytes(&self.pixels)?;
        let x = bench.poisoned(Content::Maps(self.op.x()))?;
        let normalize = self.normalize.clone();
        bench.run(Command::PrepareImages { spec: self.op, normalize, pixels: &pixels, x: &x })?;
        Ok(vec![("x", bench.downloaded(&x)?)])
    }

    fn tolerances(&self) -> Vec<Tolerance> {
        vec![Tolerance::default()]
    }

    fn expected(&self, exact: Outputs) -> Outputs {
        exact.into_iter().map(|(name, x)| (name, self.arithmetic.stored(x))).collect()
    }

    fn table(arithmetic: Arithmetic) -> Vec<Self> {
        let ops = cases::prepare_images::table().into_iter();
        ops.map(|op| Self::new(op, arithmetic)).chain([Self::every_byte(arithmetic)]).collect()
    }

    fn random(arithmetic: Arithmetic, mut check: impl FnMut(Self)) {
        cases::for_random(cases::prepare_images::random(), |op| check(Self::new(op, arithmetic)));
    }
}
