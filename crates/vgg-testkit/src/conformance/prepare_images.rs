//! Resizing and normalising, to the bit that is stored.

use vgg_tensor::spec::{Normalize, PrepareImages};
use vgg_tensor::{Backend, Content, Result, Shape};

use super::{Outputs, Trial, downloaded, poisoned, with_spare};
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

    fn run<B: Backend>(&self, backend: &mut B, spare: usize) -> Result<Outputs> {
        let room = with_spare(self.op.source(), spare).len();
        let mut pixels = poisoned(backend, Content::Bytes(room))?;
        backend.upload_bytes(&self.pixels, &mut pixels)?;
        let mut x = poisoned(backend, Content::Maps(with_spare(self.op.x(), spare)))?;
        backend.prepare_images(&self.op, &self.normalize, &pixels, &mut x)?;
        Ok(vec![("x", downloaded(backend, Content::Maps(self.op.x()), &x)?)])
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
