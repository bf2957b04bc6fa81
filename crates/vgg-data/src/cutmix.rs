//! Batches of images with a part of another one.

use vgg_tensor::{Draw, Error, Result};

use crate::{Batch, Moment, beta};

/// The random streams of CutMix: of where parts are, …
const PLACE: u32 = 0x3220;
/// … of whether there are any, where there is mixup, too, …
const CHOICE: u32 = 0x3221;
/// … and the first of [`beta::ATTEMPTS`] of shares. No other use of a run's seed may have these.
const SHARE: u32 = 0x3240;

/// Whether batch number `index` of those that either mixup or CutMix mixes has CutMix, with probability ½.
pub(crate) fn is_chosen(moment: Moment, index: usize) -> bool {
    let draw = Draw { seed: moment.seed, stream: CHOICE, step: moment.epoch };
    Draw::uniform_from(draw.block(index as u32)[0]) < 0.5
}

/// Puts a rectangle of the next image into each image of a batch, of the first into the last: the same
/// rectangle in all of them.
///
/// The rectangle has the image's proportions, and of its area a share that is drawn from the beta
/// distribution with both parameters `alpha`; its centre is anywhere in the image, and what is beyond the
/// edges is cut off. Labels are mixed by the area that is left.
///
/// Source: Yun and others, "CutMix: regularization strategy to train strong classifiers with localizable
/// features" (2019), by the rules of torchvision's reference training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutMix {
    alpha: f64,
}

impl CutMix {
    /// # Errors
    /// [`Error::Shape`] unless `alpha` is above 0 and at most 1.
    pub fn new(alpha: f64) -> Result<Self> {
        match alpha > 0.0 && alpha <= 1.0 {
            true => Ok(Self { alpha }),
            false => {
                Err(Error::Shape(format!("CutMix with alpha {alpha}, not above 0 and up to 1")))
            }
        }
    }

    /// Mixes batch number `index` of images of `h` × `w` pixels, which may be there of some images side by
    /// side, and all labels. `after_last` are those of the image that the last one of them is mixed with.
    pub(crate) fn apply(
        &self,
        moment: Moment,
        index: usize,
        [h, w]: [usize; 2],
        batch: &mut Batch,
        after_last: &[u8],
    ) {
        let Batch { pixels, labels, mix, .. } = batch;
        let part = self.part(moment, index, [h, w]);
        let [rows, columns] = part.clone();
        let area = (rows.len() * columns.len()) as f32 / (h * w) as f32;
        mix.extend(labels.iter().skip(1).chain(labels.first()).map(|&next| (next, area)));
        let len = after_last.len();
        for i in 0..pixels.len().checked_div(len).unwrap_or(0) {
            let (before, after) = pixels.split_at_mut((i + 1) * len);
            let next = if after.is_empty() { after_last } else { &after[..len] };
            let planes = before[i * len..].chunks_exact_mut(h * w).zip(next.chunks_exact(h * w));
            for (plane, next) in planes {
                for row in rows.clone() {
                    let place = row * w + columns.start..row * w + columns.end;
                    plane[place.clone()].copy_from_slice(&next[place]);
                }
            }
        }
    }

    /// The rows and the columns of the rectangle.
    fn part(&self, moment: Moment, index: usize, size: [usize; 2]) -> [std::ops::Range<usize>; 2] {
        let draw = Draw { seed: moment.seed, stream: PLACE, step: moment.epoch };
        let centers = draw.block(index as u32);
        let side = 0.5 * f64::from(beta::share(self.alpha, moment, SHARE, index)).sqrt();
        std::array::from_fn(|axis| {
            let center = ((u64::from(centers[axis]) * size[axis] as u64) >> 32) as usize;
            let half = (side * size[axis] as f64) as usize;
            center.saturating_sub(half)..size[axis].min(center + half)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_next_image_is_in_each() {
        let (cutmix, moment, size) =
            (CutMix::new(1.0).unwrap(), Moment { seed: 1, epoch: 2 }, [9, 7]);
        let [c, len] = [3, 3 * 9 * 7];
        for index in 0..50 {
            let pixels = (0..3).flat_map(|image| vec![image; len]).collect();
            let mut batch = Batch { pixels, labels: vec![3, 4, 5], ..Batch::default() };
            cutmix.apply(moment, index, size, &mut batch, &[0; 3 * 9 * 7]);
            let [rows, columns] = cutmix.part(moment, index, size);
            let area = rows.len() * columns.len();
            let share = area as f32 / 63.0;
            assert_eq!(batch.mix, [(4, share), (5, share), (3, share)]);
            for (i, image) in batch.pixels.chunks(len).enumerate() {
                let next = (i as u8 + 1) % 3;
                assert_eq!(image.iter().filter(|&&pixel| pixel == next).count(), c * area);
                for (at, pixel) in image.iter().enumerate() {
                    let inside = rows.contains(&(at / 7 % 9)) && columns.contains(&(at % 7));
                    assert_eq!(*pixel, if inside { next } else { i as u8 });
                }
            }
        }
    }

    #[test]
    fn parts_have_the_area_of_torchvisions() {
        let cutmix = CutMix::new(1.0).unwrap();
        let n = 20_000;
        let areas = (0..n).map(|index| {
            let [rows, columns] = cutmix.part(Moment { seed: 3, epoch: 0 }, index, [224, 224]);
            (rows.len() * columns.len()) as f64 / f64::from(224 * 224)
        });
        let mean = areas.sum::<f64>() / n as f64;
        // The mean over shares s of (√s − s / 4)² is 0.321; whole pixels take a little off.
        assert!((0.312..0.324).contains(&mean), "{mean}");
    }

    #[test]
    fn alpha_has_limits() {
        for alpha in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(CutMix::new(alpha).is_err());
        }
    }
}
