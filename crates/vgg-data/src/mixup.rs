//! Batches of images between two classes.

use vgg_tensor::{Error, Result};

use crate::{Batch, Moment, beta};

/// The first of the random streams of mixup, of [`beta::ATTEMPTS`]. No other use of a
/// run's seed may have these.
const STREAM: u32 = 0x3200;

/// Mixes each image of a batch with the next one, the last with the first, all in one proportion.
///
/// The next image's share is drawn from the beta distribution with both parameters `alpha`. Pixels
/// are rounded to whole grey levels.
///
/// Source: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization" (2017),
/// with the pairs of torchvision's `RandomMixup`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixup {
    alpha: f64,
}

impl Mixup {
    /// # Errors
    /// [`Error::Shape`] unless `alpha` is above 0 and at most 1.
    pub fn new(alpha: f64) -> Result<Self> {
        match alpha > 0.0 && alpha <= 1.0 {
            true => Ok(Self { alpha }),
            false => {
                Err(Error::Shape(format!("mixup with alpha {alpha}, not above 0 and up to 1")))
            }
        }
    }

    /// Mixes batch number `index`, of which pixels may be there of some images side by side, and of all
    /// labels. `after_last` are those of the image that the last one of them is mixed with.
    pub(crate) fn apply(&self, moment: Moment, index: usize, batch: &mut Batch, after_last: &[u8]) {
        let Batch { pixels, labels, mix, .. } = batch;
        let share = self.share(moment, index);
        mix.extend(labels.iter().skip(1).chain(labels.first()).map(|&next| (next, share)));
        let len = after_last.len();
        for i in 0..pixels.len().checked_div(len).unwrap_or(0) {
            let (before, after) = pixels.split_at_mut((i + 1) * len);
            let next = if after.is_empty() { after_last } else { &after[..len] };
            for (pixel, next) in before[i * len..].iter_mut().zip(next) {
                let (x, y) = (f32::from(*pixel), f32::from(*next));
                *pixel = (x + share * (y - x)).round() as u8;
            }
        }
    }

    /// The next image's share in batch number `index`.
    fn share(&self, moment: Moment, index: usize) -> f32 {
        beta::share(self.alpha, moment, STREAM, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_mixed_with_the_next() {
        let (mixup, moment) = (Mixup::new(0.4).unwrap(), Moment { seed: 1, epoch: 2 });
        let mut batch = Batch {
            pixels: vec![0, 10, 100, 20, 200, 30],
            labels: vec![3, 4, 5],
            ..Batch::default()
        };
        mixup.apply(moment, 7, &mut batch, &[0, 10]);
        let share = mixup.share(moment, 7);
        assert!(share > 0.0 && share < 1.0);
        assert_eq!(batch.mix, [(4, share), (5, share), (3, share)]);
        let between = |x: f32, y: f32| (x + share * (y - x)).round() as u8;
        let expected = [
            between(0.0, 100.0),
            between(10.0, 20.0),
            between(100.0, 200.0),
            between(20.0, 30.0),
            between(200.0, 0.0),
            between(30.0, 10.0),
        ];
        assert_eq!(batch.pixels, expected);
    }

    #[test]
    fn shares_have_the_moments_of_their_distribution() {
        for alpha in [0.2, 1.0] {
            let mixup = Mixup::new(alpha).unwrap();
            let n = 20_000;
            let shares: Vec<f64> =
                (0..n).map(|i| f64::from(mixup.share(Moment { seed: 3, epoch: 0 }, i))).collect();
            let mean = shares.iter().sum::<f64>() / n as f64;
            let variance = shares.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / n as f64;
            assert!((mean - 0.5).abs() < 0.015, "{mean}");
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((variance - expected).abs() < 0.01, "{variance} for {expected}");
        }
    }

    #[test]
    fn alpha_has_limits() {
        for alpha in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(Mixup::new(alpha).is_err());
        }
    }
}
