//! From a picture of any size to the bytes a network is fed with.
//!
//! In this order: the short side is scaled, a crop is cut, mirrored and shifted, its colours are
//! shifted, a rectangle is erased. What is random is a pure function of seed, epoch and image, so
//! neither threads nor an interruption change it.

mod chance;
mod color;
mod erase;
mod place;
mod rescale;

use vgg_tensor::{Error, Result};

use crate::{Images, Picture};
use chance::Chance;
pub use color::ColorShift;
pub use erase::Erase;

/// What makes training images differ from epoch to epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augment {
    /// Cut the crop anywhere, not from the centre.
    pub random_crop: bool,
    /// Mirror every other image, left to right.
    pub flip: bool,
    /// Shift by up to so many pixels each way, with zeros coming in: the crop of a padded image.
    pub pad_crop: usize,
    /// Shift the colours along their principal components.
    pub color: Option<ColorShift>,
    /// Erase a rectangle.
    pub erase: Option<Erase>,
}

/// How pictures become bytes of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    shape: [usize; 3],
    short_side: Option<[usize; 2]>,
    augment: Augment,
}

/// When a picture is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
}

impl Transform {
    /// Pictures of `shape`, channels × height × width, stay at their size.
    pub fn same_size(shape: [usize; 3]) -> Self {
        Self { shape, short_side: None, augment: Augment::default() }
    }

    /// Pictures are scaled so that their short side has `short_side` pixels – or a number from the
    /// first to the last of it, drawn for each picture –, and `shape`, channels × height × width, is
    /// cut from their centre.
    ///
    /// The scaling is Pillow's bilinear filter, which averages where it shrinks (antialiasing), as
    /// [`vgg_tensor::spec::PrepareImages`] has it; the long side has as many pixels, rounded down, as
    /// torchvision's `Resize` gives it, and the crop is where its `CenterCrop` cuts. Only the crop is
    /// computed.
    ///
    /// # Errors
    /// [`Error::Shape`] if the crop is larger than the short side, or there is no size to draw.
    pub fn scaled(shape: [usize; 3], short_side: [usize; 2]) -> Result<Self> {
        let [least, most] = short_side;
        let [_, h, w] = shape;
        if least < h.max(w) {
            let message = format!("a crop of {h}×{w} is larger than a short side of {least}");
            return Err(Error::Shape(message));
        }
        if least > most || most > rescale::MAX_SHORT_SIDE {
            let max = rescale::MAX_SHORT_SIDE;
            let message = format!("short sides from {least} to {most} (the largest is {max})");
            return Err(Error::Shape(message));
        }
        Ok(Self { shape, short_side: Some(short_side), augment: Augment::default() })
    }

    /// The same with augmentation.
    ///
    /// # Errors
    /// [`Error::Shape`] where it does not fit the channels or is out of its limits.
    pub fn with(self, augment: Augment) -> Result<Self> {
        let [channels, ..] = self.shape;
        if augment.color.is_some() && channels != 3 {
            return Err(Error::Shape(format!("a colour shift of {channels} channels, not of 3")));
        }
        if let Some(erase) = &augment.erase {
            erase.check(channels)?;
        }
        Ok(Self { augment, ..self })
    }

    /// Channels, height and width of what comes out.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether pixels in memory come out as they are.
    pub(crate) fn is_copy(&self) -> bool {
        self.short_side.is_none() && self.augment == Augment::default()
    }

    /// Writes image `i` of `images` as it is seen at `moment` to `out`, `[c, h, w]`.
    ///
    /// # Errors
    /// When the image cannot be read, or, unless it is scaled, has another size.
    ///
    /// # Panics
    /// When there is no image `i`, or `out` has another length than the shape.
    pub fn apply(&self, images: &Images, i: usize, moment: Moment, out: &mut [u8]) -> Result<()> {
        let [c, h, w] = self.shape;
        assert_eq!(out.len(), c * h * w, "the bytes of {c}×{h}×{w}");
        let (chance, augment) = (Chance::new(moment, i), &self.augment);
        let picture = self.cut(images.picture(i)?, chance);
        if [picture.c, picture.h, picture.w] != self.shape {
            let (found, [c, h, w]) = ([picture.c, picture.h, picture.w], self.shape);
            let [found_c, found_h, found_w] = found;
            let message =
                format!("image {i} is {found_c}×{found_h}×{found_w}, where {c}×{h}×{w} are needed");
            return Err(Error::Shape(message));
        }
        let flip = augment.flip && chance.uniform(chance::FLIP, 0) < 0.5;
        let shift = |axis| match augment.pad_crop {
            0 => 0,
            pad => chance.below(chance::SHIFT, axis, 2 * pad + 1) as isize - pad as isize,
        };
        place::place(&picture, flip, [shift(0), shift(1)], out);
        if let Some(color) = &augment.color {
            color.apply(chance, out);
        }
        if let Some(erase) = &augment.erase {
            erase.apply(chance, self.shape, out);
        }
        Ok(())
    }

    /// A single picture, scaled and cut as test images are.
    pub fn scale(&self, picture: Picture) -> Picture {
        self.cut(picture, Chance::new(Moment { seed: 0, epoch: 0 }, 0))
    }

    /// Scales the picture, if that is to be, and cuts the crop.
    fn cut(&self, picture: Picture, chance: Chance) -> Picture {
        let Some([least, most]) = self.short_side else { return picture };
        let [_, h, w] = self.shape;
        let short_side = least + chance.below(chance::SCALE, 0, most - least + 1);
        let size = rescale::scaled([picture.h, picture.w], short_side);
        let corner = match self.augment.random_crop {
            true => [
                chance.below(chance::CROP, 0, size[0] - h + 1),
                chance.below(chance::CROP, 1, size[1] - w + 1),
            ],
            false => [place::centered(size[0] - h), place::centered(size[1] - w)],
        };
        rescale::window(&picture, size, corner, [h, w])
    }
}

#[cfg(test)]
mod tests;
