//! A part of a picture, of any size, at the size of what comes out.

use vgg_tensor::{Error, Result};

use super::chance::{Chance, RESIZED_CROP};

/// Parts that are tried until one fits.
pub(super) const ATTEMPTS: u32 = 10;

/// Cuts a part of random area and proportions from a picture and scales it to what comes out.
///
/// The area is uniform, the logarithm of width by height, too. After ten parts that are larger than the
/// picture, it is the largest in the picture's centre whose proportions are allowed.
///
/// Source: Szegedy and others, "Going deeper with convolutions" (2014), by the rules of torchvision's
/// `RandomResizedCrop`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    /// The share of the picture's area, from – to.
    pub scale: [f64; 2],
    /// Width by height, from – to.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    /// Torchvision's, which networks for ImageNet are trained with.
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Top and left.
    pub corner: [usize; 2],
    /// Height and width.
    pub size: [usize; 2],
}

impl ResizedCrop {
    pub(super) fn check(&self) -> Result<()> {
        let Self { scale: [smallest, largest], ratio: [least, most] } = *self;
        let is_scale = 0.0 < smallest && smallest <= largest && largest <= 1.0;
        let is_ratio = 0.0 < least && least <= most && most.is_finite();
        match is_scale && is_ratio {
            true => Ok(()),
            false => Err(Error::Shape(format!(
                "crops of {smallest} to {largest} of the area, of {least} to {most} as wide as high"
            ))),
        }
    }

    /// The part of a picture of `own` height and width.
    pub(super) fn part(&self, chance: Chance, own: [usize; 2]) -> Part {
        let [h, w] = own;
        let tried = (1..=ATTEMPTS).find_map(|attempt| {
            let stream = RESIZED_CROP + attempt;
            let area = chance.between(stream, 0, self.scale) * (h * w) as f64;
            let ratio = chance.between(stream, 1, self.ratio.map(f64::ln)).exp();
            let sides = [(area / ratio).sqrt(), (area * ratio).sqrt()];
            let [rows, columns] = sides.map(|side| side.round_ties_even() as usize);
            ((1..=h).contains(&rows) && (1..=w).contains(&columns)).then(|| {
                let top = chance.below(stream, 2, h - rows + 1);
                let left = chance.below(stream, 3, w - columns + 1);
                Part { corner: [top, left], size: [rows, columns] }
            })
        });
        tried.unwrap_or_else(|| self.central(own))
    }

    /// The largest part in the centre, where none that was tried fits.
    fn central(&self, own: [usize; 2]) -> Part {
        let ([h, w], [least, most]) = (own, self.ratio);
        let ratio = w as f64 / h as f64;
        let whole = |side: f64| side.round_ties_even().max(1.0) as usize;
        let size = if ratio < least {
            [whole(w as f64 / least), w]
        } else if ratio > most {
            [h, whole(h as f64 * most)]
        } else {
            own
        };
        Part { corner: [(h - size[0]) / 2, (w - size[1]) / 2], size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;

    #[test]
    fn parts_have_the_area_and_the_proportions_asked_for() {
        let crop = ResizedCrop::default();
        let [h, w] = [300, 400];
        let n = 4000;
        let (mut areas, mut corners) = (0.0, [0.0; 2]);
        for image in 0..n {
            let Part { corner, size } =
                crop.part(Chance::new(Moment { seed: 1, epoch: 2 }, image), [h, w]);
            assert!(corner[0] + size[0] <= h && corner[1] + size[1] <= w);
            let area = (size[0] * size[1]) as f64 / (h * w) as f64;
            let ratio = size[1] as f64 / size[0] as f64;
            assert!((0.078..=1.0).contains(&area), "{area}");
            assert!((0.74..1.35).contains(&ratio), "{ratio}");
            areas += area / n as f64;
            for axis in 0..2 {
                let rest = ([h, w][axis] - size[axis]) as f64;
                corners[axis] += if rest > 0.0 { corner[axis] as f64 / rest } else { 0.5 };
            }
        }
        // As torchvision's: the mean of 0.08 to 1 is 0.54, and large parts fit less often.
        assert!((0.42..0.44).contains(&areas), "{areas}");
        for corner in corners {
            assert!((corner / n as f64 - 0.5).abs() < 0.02, "{corners:?}");
        }
    }

    /// As `RandomResizedCrop.get_params` of torchvision, with its random numbers.
    #[test]
    fn where_nothing_fits_the_centre_is_taken() {
        let crop = ResizedCrop { scale: [1.0, 1.0], ..ResizedCrop::default() };
        let chance = Chance::new(Moment { seed: 1, epoch: 2 }, 0);
        let part = |own| crop.part(chance, own);
        assert_eq!(part([100, 300]), Part { corner: [0, 83], size: [100, 133] });
        assert_eq!(part([300, 101]), Part { corner: [82, 0], size: [135, 101] });
        assert_eq!(part([1, 1]), Part { corner: [0, 0], size: [1, 1] });
    }

    #[test]
    fn limits() {
        let default = ResizedCrop::default();
        for crop in [
            ResizedCrop { scale: [0.0, 1.0], ..default },
            ResizedCrop { scale: [0.5, 0.4], ..default },
            ResizedCrop { scale: [0.5, 1.1], ..default },
            ResizedCrop { ratio: [0.0, 1.0], ..default },
            ResizedCrop { ratio: [2.0, 1.0], ..default },
            ResizedCrop { ratio: [1.0, f64::INFINITY], ..default },
            ResizedCrop { ratio: [f64::NAN, 1.0], ..default },
        ] {
            assert!(crop.check().is_err(), "{crop:?}");
        }
        default.check().unwrap();
    }
}
