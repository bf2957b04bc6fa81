//! Operations by chance: RandAugment and TrivialAugment.

use vgg_tensor::{Error, Result};

use super::chance::{AUTO, Chance};
use super::geometry::Geometry;
use super::{geometry, levels};

/// How many strengths there are of an operation of [`AutoAugment`], from none on.
pub const MAGNITUDES: usize = 31;

/// The most operations of [`AutoAugment::Rand`], one after another.
pub const MOST_OPERATIONS: usize = 16;

/// Operations that are drawn anew for each image and epoch, of the same fourteen, which are
/// torchvision's on tensors of bytes: nothing; shear, translation and rotation to the nearest pixel, with
/// black coming in; brightness, saturation, contrast and sharpness; fewer levels, inverted light levels;
/// contrast by the darkest and the lightest pixel; equal counts of all levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAugment {
    /// Some operations, one after another, all of one strength.
    ///
    /// Source: Cubuk, Zoph, Shlens and Le, "RandAugment: practical automated data augmentation with a
    /// reduced search space" (2019), with the strengths of torchvision's `RandAugment`.
    Rand {
        /// Operations an image, up to [`MOST_OPERATIONS`]; torchvision has 2.
        operations: usize,
        /// Their strength, below [`MAGNITUDES`]; torchvision has 9.
        magnitude: usize,
    },
    /// One operation, of a random strength.
    ///
    /// Source: Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation"
    /// (2021), with the strengths of torchvision's `TrivialAugmentWide`.
    TrivialWide,
}

/// An operation, and how strong it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    Identity,
    ShearX(f64),
    ShearY(f64),
    TranslateX(f64),
    TranslateY(f64),
    Rotate(f64),
    Brightness(f64),
    Saturation(f64),
    Contrast(f64),
    Sharpness(f64),
    Posterize(u32),
    Solarize(f64),
    AutoContrast,
    Equalize,
}

use Operation::{
    AutoContrast, Brightness, Contrast, Equalize, Identity, Posterize, Rotate, Saturation,
    Sharpness, ShearX, ShearY, Solarize, TranslateX, TranslateY,
};

/// The strongest of each operation.
pub(super) struct Strongest {
    shear: f64,
    /// In pixels, across and down.
    translation: [f64; 2],
    /// In degrees.
    rotation: f64,
    /// A factor's distance from 1.
    factor: f64,
    /// Bits of eight that go.
    bits: f64,
}

impl AutoAugment {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Rand { operations, magnitude }
                if operations > MOST_OPERATIONS || magnitude >= MAGNITUDES =>
            {
                Err(Error::Shape(format!("{operations} operations of magnitude {magnitude}")))
            }
            Self::Rand { .. } | Self::TrivialWide => Ok(()),
        }
    }

    /// Changes `pixels`, `[c, h, w]`.
    pub(super) fn apply(self, chance: Chance, shape: [usize; 3], pixels: &mut [u8]) {
        let operations = match self {
            Self::Rand { operations, .. } => operations,
            Self::TrivialWide => 1,
        };
        for number in 0..operations {
            self.operation(chance, number, shape).apply(shape, pixels);
        }
    }

    /// The image's operation number `number`.
    fn operation(self, chance: Chance, number: usize, [_, h, w]: [usize; 3]) -> Operation {
        let stream = AUTO + number as u32;
        let magnitude = match self {
            Self::Rand { magnitude, .. } => magnitude,
            Self::TrivialWide => chance.below(stream, 1, MAGNITUDES),
        };
        let sign = if chance.below(stream, 2, 2) == 0 { 1.0 } else { -1.0 };
        self.strongest([h, w]).operation(chance.below(stream, 0, 14), magnitude, sign)
    }

    /// The strongest of each operation on images of `h` × `w` pixels.
    pub(super) fn strongest(self, [h, w]: [usize; 2]) -> Strongest {
        match self {
            Self::Rand { .. } => {
                let translation = [w, h].map(|side| 150.0 / 331.0 * side as f64);
                Strongest { shear: 0.3, translation, rotation: 30.0, factor: 0.9, bits: 4.0 }
            }
            Self::TrivialWide => Strongest {
                shear: 0.99,
                translation: [32.0; 2],
                rotation: 135.0,
                factor: 0.99,
                bits: 6.0,
            },
        }
    }
}

impl Strongest {
    /// Operation `which` of fourteen, in torchvision's order.
    pub(super) fn operation(&self, which: usize, magnitude: usize, sign: f64) -> Operation {
        let share = magnitude as f64 / (MAGNITUDES - 1) as f64;
        let signed = |most: f64| sign * most * share;
        let factor = 1.0 + signed(self.factor);
        match which {
            0 => Identity,
            1 => ShearX(signed(self.shear)),
            2 => ShearY(signed(self.shear)),
            // Whole pixels.
            3 => TranslateX(signed(self.translation[0]).trunc()),
            4 => TranslateY(signed(self.translation[1]).trunc()),
            5 => Rotate(signed(self.rotation)),
            6 => Brightness(factor),
            7 => Saturation(factor),
            8 => Contrast(factor),
            9 => Sharpness(factor),
            10 => Posterize(8 - (self.bits * share).round_ties_even() as u32),
            11 => Solarize(255.0 * (1.0 - share)),
            12 => AutoContrast,
            _ => Equalize,
        }
    }
}

impl Operation {
    pub(super) fn apply(self, shape: [usize; 3], pixels: &mut [u8]) {
        let plane_len = shape[1] * shape[2];
        match self {
            Identity => {}
            ShearX(by) => geometry::apply(Geometry::shear_x(by), shape, pixels),
            ShearY(by) => geometry::apply(Geometry::shear_y(by), shape, pixels),
            TranslateX(by) => geometry::apply(Geometry::translate([by, 0.0]), shape, pixels),
            TranslateY(by) => geometry::apply(Geometry::translate([0.0, by]), shape, pixels),
            Rotate(degrees) => geometry::apply(Geometry::rotate(degrees), shape, pixels),
            Brightness(factor) => levels::brightness(factor, pixels),
            Saturation(factor) => levels::saturation(factor, shape, pixels),
            Contrast(factor) => levels::contrast(factor, shape, pixels),
            Sharpness(factor) => levels::sharpness(factor, shape, pixels),
            Posterize(bits) => levels::posterize(bits, pixels),
            Solarize(threshold) => levels::solarize(threshold, pixels),
            AutoContrast => pixels.chunks_exact_mut(plane_len).for_each(levels::auto_contrast),
            Equalize => pixels.chunks_exact_mut(plane_len).for_each(levels::equalize),
        }
    }
}
