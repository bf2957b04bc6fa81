//! Resizing and normalising, to the bit.

use vgg_tensor::spec::{Normalize, PrepareImages};
use vgg_tensor::{Backend, Content, Result, Shape};

use super::{Outputs, Trial, downloaded, poisoned, with_spare};
use crate::{cases, inputs};

/// A batch of bytes to prepare.
pub struct PrepareImagesTrial {
    op: PrepareImages,
    normalize: Normalize,
    pixels: Vec<u8>,
}

impl PrepareImagesTrial {
    /// On random bytes with a normalisation of each channel's own.
    pub fn new(op: PrepareImages) -> Self {
        let channels = op.x().c;
        let mean = inputs::uniform(1, channels, 0.5);
        let std: Vec<f32> = inputs::uniform(2, channels, 0.5).iter().map(|x| x + 0.6).collect();
        Self {
            op,
            normalize: Normalize::new(mean, std).expect("finite, and std is positive"),
            pixels: inputs::bytes(3, op.source().len()),
        }
    }

    /// Pixels as they are, all 256 of them.
    pub fn every_byte() -> Self {
        Self {
            op: PrepareImages::new(Shape::new(1, 1, 16, 16), 16, 16).expect("a valid spec"),
            normalize: Normalize::identity(1),
            pixels: (0..=255).collect(),
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

    fn tolerances(&self) -> Vec<f64> {
        vec![0.0]
    }

    fn table() -> Vec<Self> {
        let mut trials: Vec<_> =
            cases::prepare_images::table().into_iter().map(Self::new).collect();
        trials.push(Self::every_byte());
        trials
    }

    fn random(mut check: impl FnMut(Self)) {
        cases::for_random(cases::prepare_images::random(), |op| check(Self::new(op)));
    }
}
