//! Random brightness, contrast, saturation and hue.

use vgg_tensor::{Error, Result};

use super::chance::{Chance, JITTER};
use super::{hue, levels};

/// Changes brightness, contrast, saturation and hue, in random order.
///
/// The factors of the first three are uniform from 1 − x, at least 0, to 1 + x, and the turn of the hue
/// from −x to x, as in torchvision's `ColorJitter`. What is 0 changes nothing, and grey images have
/// neither saturation nor hue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// How far the factor of the levels is from 1 at most.
    pub brightness: f64,
    /// How far the factor of the distances from the mean grey is from 1 at most.
    pub contrast: f64,
    /// How far the factor of the distances from a pixel's grey is from 1 at most.
    pub saturation: f64,
    /// How far colours are turned at most, up to 0.5, a half of all of them.
    pub hue: f64,
}

impl ColorJitter {
    pub(super) fn check(&self) -> Result<()> {
        let factors = [self.brightness, self.contrast, self.saturation];
        let are_factors = factors.iter().all(|factor| (0.0..=10.0).contains(factor));
        match are_factors && (0.0..=0.5).contains(&self.hue) {
            true => Ok(()),
            false => Err(Error::Shape(format!("a colour jitter of {factors:?} and {}", self.hue))),
        }
    }

    /// Changes the colours of `pixels`, `[c, h, w]`.
    pub(super) fn apply(&self, chance: Chance, shape: [usize; 3], pixels: &mut [u8]) {
        let factor = |k: usize, most: f64| {
            chance.between(JITTER + 1, k, [(1.0 - most).max(0.0), 1.0 + most])
        };
        for operation in order(chance.below(JITTER, 0, 24)) {
            match operation {
                0 if self.brightness > 0.0 => {
                    levels::brightness(factor(0, self.brightness), pixels);
                }
                1 if self.contrast > 0.0 => {
                    levels::contrast(factor(1, self.contrast), shape, pixels);
                }
                2 if self.saturation > 0.0 => {
                    levels::saturation(factor(2, self.saturation), shape, pixels);
                }
                3 if self.hue > 0.0 => {
                    let turn = chance.between(JITTER + 1, 3, [-self.hue, self.hue]);
                    hue::turn(turn, shape, pixels);
                }
                _ => {}
            }
        }
    }
}

/// The orders of four things, of which there are 24.
fn order(mut number: usize) -> [usize; 4] {
    let mut left = vec![0, 1, 2, 3];
    std::array::from_fn(|_| {
        let which = number % left.len();
        number /= left.len();
        left.remove(which)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_24_orders() {
        let orders: std::collections::BTreeSet<_> = (0..24).map(order).collect();
        assert_eq!(orders.len(), 24);
    }

    #[test]
    fn limits() {
        for jitter in [
            ColorJitter { brightness: -0.1, ..ColorJitter::default() },
            ColorJitter { contrast: f64::NAN, ..ColorJitter::default() },
            ColorJitter { hue: 0.6, ..ColorJitter::default() },
        ] {
            assert!(jitter.check().is_err(), "{jitter:?}");
        }
    }
}
