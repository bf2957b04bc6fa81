//! Rectangles without a picture.

use vgg_tensor::{Error, Result};

use super::chance::{Chance, ERASE};

/// Rectangles that are tried until one fits.
pub(super) const ATTEMPTS: u32 = 10;

/// The share of the image that is erased, from – to.
const AREA: [f64; 2] = [0.02, 0.33];

/// Height by width, from – to.
const RATIO: [f64; 2] = [0.3, 3.3];

/// Erases a rectangle of 2 to 33 % of the image, of a height by width from 0.3 to 3.3.
///
/// Source: Zhong, Zheng, Kang, Li and Yang, "Random erasing data augmentation" (2017), with the
/// distributions of torchvision's `RandomErasing`.
#[derive(Clone, Debug, PartialEq)]
pub struct Erase {
    /// The share of the images that a rectangle is erased of.
    pub probability: f64,
    /// What is there instead, a grey level a channel; the mean level becomes zero when normalised.
    pub fill: Vec<u8>,
}

impl Erase {
    pub(super) fn check(&self, channels: usize) -> Result<()> {
        if !(0.0..=1.0).contains(&self.probability) {
            let message = format!("erasing with a probability of {}", self.probability);
            return Err(Error::Shape(message));
        }
        match self.fill.len() == channels {
            true => Ok(()),
            false => Err(Error::Shape(format!(
                "{} grey levels to fill {channels} channels with",
                self.fill.len()
            ))),
        }
    }

    /// Erases a part of `pixels`, `[c, h, w]`, or nothing.
    pub(super) fn apply(&self, chance: Chance, [_, h, w]: [usize; 3], pixels: &mut [u8]) {
        if chance.uniform(ERASE, 0) >= self.probability {
            return;
        }
        let Some([top, left, rows, columns]) = rectangle(chance, h, w) else { return };
        for (plane, fill) in pixels.chunks_exact_mut(h * w).zip(&self.fill) {
            for row in plane.chunks_exact_mut(w).skip(top).take(rows) {
                row[left..left + columns].fill(*fill);
            }
        }
    }
}

/// Top, left, height and width of the rectangle.
fn rectangle(chance: Chance, h: usize, w: usize) -> Option<[usize; 4]> {
    (1..=ATTEMPTS).find_map(|attempt| {
        let stream = ERASE + attempt;
        let area = chance.between(stream, 0, AREA) * (h * w) as f64;
        let ratio = chance.between(stream, 1, RATIO.map(f64::ln)).exp();
        let (rows, columns) = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round());
        let (rows, columns) = (rows as usize, columns as usize);
        (rows < h && columns < w).then(|| {
            let top = chance.below(stream, 2, h - rows + 1);
            let left = chance.below(stream, 3, w - columns + 1);
            [top, left, rows, columns]
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;

    #[test]
    fn rectangles_have_the_area_asked_for_and_stay_inside() {
        let erase = Erase { probability: 0.5, fill: vec![7] };
        let (h, w) = (40, 60);
        let (mut erased, mut share) = (0, 0.0);
        let images = 4000;
        for image in 0..images {
            let chance = Chance::new(Moment { seed: 1, epoch: 2 }, image);
            let mut pixels = vec![0; h * w];
            erase.apply(chance, [1, h, w], &mut pixels);
            let area = pixels.iter().filter(|&&pixel| pixel == 7).count() as f64 / (h * w) as f64;
            assert!(area == 0.0 || (0.01..0.36).contains(&area), "{area}");
            erased += usize::from(area > 0.0);
            share += area;
        }
        // Half of them, by four standard deviations of √4000 / 2.
        assert!((1870..=2130).contains(&erased), "{erased}");
        // The mean of 2 to 33 %; large ones fit a little less often.
        let share = share / erased as f64;
        assert!((0.155..0.18).contains(&share), "{share}");
    }

    #[test]
    fn small_images_are_left_whole_where_nothing_fits() {
        let chance = Chance::new(Moment { seed: 1, epoch: 2 }, 0);
        let mut pixels = [3];
        Erase { probability: 1.0, fill: vec![7] }.apply(chance, [1, 1, 1], &mut pixels);
        assert_eq!(pixels, [3]);
    }
}
