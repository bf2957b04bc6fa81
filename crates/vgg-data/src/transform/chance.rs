//! The random numbers of one image in one epoch.

use vgg_tensor::Draw;

use crate::Moment;

/// The random streams of augmentation, one a purpose; of each, an image has four numbers an epoch.
/// No other use of a run's seed may have these.
pub(super) const SCALE: u32 = 0x3100;
pub(super) const CROP: u32 = 0x3101;
pub(super) const FLIP: u32 = 0x3102;
pub(super) const SHIFT: u32 = 0x3103;
/// And the next one.
pub(super) const COLOR: u32 = 0x3104;
/// And the next one.
pub(super) const JITTER: u32 = 0x3106;
/// And the next [`super::erase::ATTEMPTS`].
pub(super) const ERASE: u32 = 0x3110;
/// And the next [`super::auto_augment::MOST_OPERATIONS`].
pub(super) const AUTO: u32 = 0x3140;
/// And the next [`super::resized_crop::ATTEMPTS`].
pub(super) const RESIZED_CROP: u32 = 0x3120;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    moment: Moment,
    image: u32,
}

impl Chance {
    pub(crate) fn new(moment: Moment, image: usize) -> Self {
        Self { moment, image: image as u32 }
    }

    fn draw(&self, stream: u32) -> Draw {
        Draw { seed: self.moment.seed, stream, step: self.moment.epoch }
    }

    /// The `k`-th of the image's four numbers in `stream`, uniform in [0, 1).
    pub(super) fn uniform(&self, stream: u32, k: usize) -> f64 {
        f64::from(Draw::uniform_from(self.draw(stream).block(self.image)[k]))
    }

    /// The same, uniform between two numbers.
    pub(super) fn between(&self, stream: u32, k: usize, [least, most]: [f64; 2]) -> f64 {
        least + (most - least) * self.uniform(stream, k)
    }

    /// The same as a whole number below `n`, which is below 2³².
    pub(super) fn below(&self, stream: u32, k: usize, n: usize) -> usize {
        let bits = self.draw(stream).block(self.image)[k];
        ((u64::from(bits) * n as u64) >> 32) as usize
    }

    /// The `k`-th of the image's two numbers in `stream`, of a standard normal distribution.
    pub(super) fn normal(&self, stream: u32, k: usize) -> f64 {
        f64::from(self.draw(stream).normal(2 * u64::from(self.image) + k as u64))
    }
}
