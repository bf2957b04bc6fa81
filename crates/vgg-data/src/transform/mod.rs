//! From a picture of any size to the bytes a network is fed with.
//!
//! In this order: the short side is scaled and a crop is cut, or a part is cut and scaled; it is mirrored
//! and shifted, changed by operations that are drawn, its colours are jittered and shifted, a rectangle is erased. To test, there may be several views of a picture: a grid of crops,
//! each with shifts and its mirror image. What is random is a pure function of seed, epoch and image, so
//! neither threads nor an interruption change it.

mod auto_augment;
mod chance;
mod color;
mod color_jitter;
mod crop;
mod erase;
mod geometry;
mod hue;
mod levels;
mod place;
mod resized_crop;

use std::iter;

use vgg_tensor::{Error, Result};

use crate::picture::{Sampled, View};
use crate::rescale::{self, Window};
use crate::{Images, Moment, Picture};
pub use auto_augment::{AutoAugment, MAGNITUDES, MOST_OPERATIONS};
pub(crate) use chance::Chance;
pub use color::ColorShift;
pub use color_jitter::ColorJitter;
pub use crop::Crop;
pub use erase::Erase;
use resized_crop::Part;
pub use resized_crop::ResizedCrop;

/// What makes training images differ from epoch to epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augment {
    /// Cut the crop anywhere, not from the centre.
    pub random_crop: bool,
    /// Mirror an image, left to right, with probability ½.
    pub flip: bool,
    /// Shift by up to so many pixels each way, with zeros coming in: the crop of a padded image.
    pub pad_crop: usize,
    /// Change it by operations that are drawn.
    pub auto: Option<AutoAugment>,
    /// Change brightness, contrast, saturation and hue.
    pub jitter: Option<ColorJitter>,
    /// Shift the colours along their principal components.
    pub color: Option<ColorShift>,
    /// Erase a rectangle.
    pub erase: Option<Erase>,
}

/// How pictures become bytes of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    shape: [usize; 3],
    scaling: Scaling,
    /// Crops along each axis.
    grid: usize,
    /// Pixels that each crop is also moved by, all eight ways; 0 means none.
    shift: usize,
    mirrored: bool,
    augment: Augment,
}

/// What a picture is scaled to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scaling {
    None,
    /// A short side from the first to the last, before it is cut.
    ShortSide([usize; 2]),
    /// What comes out, of a part of it.
    Part(ResizedCrop),
    /// What comes out, of which nothing is cut.
    Output,
}

impl Transform {
    /// Pictures of `shape`, channels × height × width, stay at their size.
    pub fn same_size(shape: [usize; 3]) -> Self {
        Self::new(shape, Scaling::None)
    }

    /// Whole pictures are stretched to `shape`, channels × height × width; what
    /// [`scaled_size`](crate::scaled_size) says leaves their proportions.
    pub fn resized(shape: [usize; 3]) -> Self {
        Self::new(shape, Scaling::Output)
    }

    fn new(shape: [usize; 3], scaling: Scaling) -> Self {
        Self { shape, scaling, grid: 1, shift: 0, mirrored: false, augment: Augment::default() }
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
            let message = match least == most {
                true => format!("a short side of {least}, where {max} is the largest"),
                false => format!("short sides from {least} to {most}, where {max} is the largest"),
            };
            return Err(Error::Shape(message));
        }
        Ok(Self::new(shape, Scaling::ShortSide(short_side)))
    }

    /// A random part of a picture is scaled to `shape`, channels × height × width, by the same filter,
    /// which sees nothing of the picture beyond it.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no such part.
    pub fn resized_crop(shape: [usize; 3], crop: ResizedCrop) -> Result<Self> {
        crop.check()?;
        Ok(Self::new(shape, Scaling::Part(crop)))
    }

    /// The same with `n`×`n` crops, row by row, whose corners are at equal distances from one corner
    /// of the scaled picture to the other, in place of one crop.
    ///
    /// # Panics
    /// When `n` is 0.
    #[must_use]
    pub fn grid(self, n: usize) -> Self {
        assert!(n > 0, "a grid of no crops");
        Self { grid: n, ..self }
    }

    /// The same with each crop followed by eight that are moved by so many pixels over the scaled
    /// picture: up, down or not, and left, right or not. Beyond the picture is zero.
    ///
    /// # Errors
    /// [`Error::Shape`] if what comes out has no more pixels than that along a side.
    ///
    /// # Panics
    /// When pictures stay at their size, or a part is cut and scaled: then no crop can move.
    pub fn shifted(self, pixels: usize) -> Result<Self> {
        let [_, h, w] = self.shape;
        if pixels >= h.min(w) {
            let message = format!("a shift by {pixels} pixels leaves nothing of {h}×{w}");
            return Err(Error::Shape(message));
        }
        let moves = matches!(self.scaling, Scaling::ShortSide(_) | Scaling::Output);
        assert!(moves, "crops of {:?} do not move", self.scaling);
        Ok(Self { shift: pixels, ..self })
    }

    /// The same with each view followed by its mirror image.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self { mirrored: true, ..self }
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
        if let Some(auto) = augment.auto {
            auto.check()?;
        }
        if let Some(jitter) = &augment.jitter {
            jitter.check()?;
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

    /// How often a picture comes out.
    pub fn views(&self) -> usize {
        self.grid * self.grid * self.moves().len() * self.mirrors()
    }

    /// How far each crop is moved, down and to the right, for each of its views.
    fn moves(&self) -> Vec<[isize; 2]> {
        let n = self.shift as isize;
        let moved = [-n, 0, n].into_iter().flat_map(|down| [-n, 0, n].map(|right| [down, right]));
        let away = moved.filter(|by| *by != [0, 0]);
        iter::once([0, 0]).chain(away).collect()
    }

    fn mirrors(&self) -> usize {
        1 + usize::from(self.mirrored)
    }

    /// Whether pixels in memory come out as they are.
    pub(crate) fn is_copy(&self) -> bool {
        *self == Self::same_size(self.shape)
    }

    /// Writes the views of image `i` of `images` as it is seen at `moment` to `out`,
    /// `[views, c, h, w]`.
    ///
    /// # Errors
    /// When the image cannot be read, or, unless it is scaled, has another size.
    ///
    /// # Panics
    /// When there is no image `i`, or `out` has another length than the shape.
    pub fn apply(&self, images: &Images, i: usize, moment: Moment, out: &mut [u8]) -> Result<()> {
        self.apply_by_chance(images, i, Chance::new(moment, i), out)
    }

    /// As [`Transform::apply`], where what is random is that of `chance`: an image that is seen several
    /// times in an epoch has one for each.
    ///
    /// # Errors
    /// As [`Transform::apply`].
    ///
    /// # Panics
    /// As [`Transform::apply`].
    pub(crate) fn apply_by_chance(
        &self,
        images: &Images,
        i: usize,
        chance: Chance,
        out: &mut [u8],
    ) -> Result<()> {
        let [c, h, w] = self.shape;
        let (views, len) = (self.views(), c * h * w);
        assert_eq!(out.len(), views * len, "the bytes of {views}×{c}×{h}×{w}");
        let augment = &self.augment;
        let sampled = images.picture_for(i, &|own| self.size(own, chance))?;
        let crops = self.crops_by_chance(sampled.own, chance);
        let (window, from) = self.window(&sampled, &crops[0]);
        self.check(i, window.view())?;
        let mirrors = self.mirrors();
        for (crops, out) in crops.chunks(mirrors).zip(out.chunks_exact_mut(mirrors * len)) {
            let cut = rescale::cut_beyond(window.view(), crops[0].corner_from(from), [h, w]);
            for (crop, out) in crops.iter().zip(out.chunks_exact_mut(len)) {
                place::place(cut.view(), crop.mirrored, crop.shift, out);
                if let Some(auto) = augment.auto {
                    auto.apply(chance, self.shape, out);
                }
                if let Some(jitter) = &augment.jitter {
                    jitter.apply(chance, self.shape, out);
                }
                if let Some(color) = &augment.color {
                    color.apply(chance, out);
                }
                if let Some(erase) = &augment.erase {
                    erase.apply(chance, self.shape, out);
                }
            }
        }
        Ok(())
    }

    /// Refuses a picture that has not the shape of what comes out, and is not made to.
    fn check(&self, i: usize, picture: View<'_>) -> Result<()> {
        let found = [picture.c, picture.h, picture.w];
        if found == self.shape || picture.c == self.shape[0] && self.scaling != Scaling::None {
            return Ok(());
        }
        let [[found_c, found_h, found_w], [c, h, w]] = [found, self.shape];
        Err(Error::Shape(format!(
            "image {i} is {found_c}×{found_h}×{found_w}, where {c}×{h}×{w} are needed"
        )))
    }

    /// A single picture, scaled and cut as test images are.
    pub fn scale(&self, picture: Picture) -> Picture {
        if self.scaling == Scaling::None {
            return picture;
        }
        let chance = Chance::new(Moment { seed: 0, epoch: 0 }, 0);
        let size = self.size([picture.h, picture.w], chance);
        let sampled = Sampled::from(picture).scaled_to(size);
        let crop = self.crops_by_chance(sampled.own, chance)[0];
        let (window, from) = self.window(&sampled, &crop);
        let [_, h, w] = self.shape;
        rescale::cut_beyond(window.view(), crop.corner_from(from), [h, w]).into_picture()
    }

    /// The height and width that an image is scaled to, of its own.
    fn size(&self, own: [usize; 2], chance: Chance) -> [usize; 2] {
        let [_, h, w] = self.shape;
        match self.scaling {
            Scaling::None => own,
            Scaling::ShortSide([least, most]) => {
                let short_side = least + chance.below(chance::SCALE, 0, most - least + 1);
                rescale::scaled_size(own, short_side)
            }
            // As large as the whole is where the part has the size of what comes out.
            Scaling::Part(crop) => {
                let part = crop.part(chance, own);
                std::array::from_fn(|axis| (own[axis] * [h, w][axis]).div_ceil(part.size[axis]))
            }
            Scaling::Output => [h, w],
        }
    }

    /// Where the views of image `i` of `images` at `moment` are from, in their order: those of
    /// [`Transform::apply`].
    ///
    /// # Errors
    /// When the size of the image cannot be read.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn crops(&self, images: &Images, i: usize, moment: Moment) -> Result<Vec<Crop>> {
        Ok(self.crops_by_chance(images.size(i)?, Chance::new(moment, i)))
    }

    /// Refuses operations that move pixels in a way in which no box can follow.
    pub(crate) fn check_boxes(&self) -> Result<()> {
        match self.augment.auto {
            None => Ok(()),
            Some(_) => Err(Error::Shape(
                "boxes cannot be sheared and rotated as RandAugment and TrivialAugment do".into(),
            )),
        }
    }

    /// Where the object of the class of image `i` is in each view, as [`Crop::target`] has it.
    ///
    /// # Errors
    /// When the size of the image cannot be read.
    pub(crate) fn locate(
        &self,
        images: &Images,
        i: usize,
        chance: Chance,
        least: f64,
    ) -> Result<impl Iterator<Item = Option<[f32; 4]>>> {
        let crops = self.crops_by_chance(images.size(i)?, chance);
        Ok(crops.into_iter().map(move |crop| crop.target(images.own_objects(i), least)))
    }

    /// Where the views of a picture of `own` height and width are from, in their order.
    pub(crate) fn crops_by_chance(&self, own: [usize; 2], chance: Chance) -> Vec<Crop> {
        let [_, h, w] = self.shape;
        let augment = &self.augment;
        let flip = augment.flip && chance.uniform(chance::FLIP, 0) < 0.5;
        let shift = |axis| match augment.pad_crop {
            0 => 0,
            pad => chance.below(chance::SHIFT, axis, 2 * pad + 1) as isize - pad as isize,
        };
        let (part, scaled) = match self.scaling {
            Scaling::Part(crop) => (crop.part(chance, own), [h, w]),
            _ => (Part { corner: [0, 0], size: own }, self.size(own, chance)),
        };
        let first = Crop {
            part,
            scaled,
            corner: [0, 0],
            size: [h, w],
            mirrored: flip,
            shift: [shift(0), shift(1)],
        };
        let mut crops = Vec::with_capacity(self.views());
        for corner in self.corners(scaled, chance) {
            let crop = Crop { corner, ..first };
            crops.push(crop);
            if self.mirrored {
                crops.push(Crop { mirrored: !flip, ..crop });
            }
        }
        crops
    }

    /// The corners of the crops in what is scaled to a height and width, which may lie outside.
    fn corners(&self, scaled: [usize; 2], chance: Chance) -> Vec<[isize; 2]> {
        let [_, h, w] = self.shape;
        if matches!(self.scaling, Scaling::None | Scaling::Part(_)) {
            return vec![[0, 0]];
        }
        let rest = [scaled[0] - h, scaled[1] - w];
        if self.cuts_several() {
            let moves = self.moves();
            let corners = place::grid(rest, self.grid).flat_map(|corner| {
                let moved = |by: &[isize; 2]| [0, 1].map(|axis| corner[axis] as isize + by[axis]);
                moves.iter().map(moved).collect::<Vec<_>>()
            });
            return corners.collect();
        }
        let corner = match self.augment.random_crop {
            true => [
                chance.below(chance::CROP, 0, rest[0] + 1),
                chance.below(chance::CROP, 1, rest[1] + 1),
            ],
            false => rest.map(place::centered),
        };
        vec![corner.map(|at| at as isize)]
    }

    /// Whether there are crops at several places.
    fn cuts_several(&self) -> bool {
        self.grid > 1 || self.shift > 0
    }

    /// Scales the picture, if that is to be, as far as crops such as `crop` are cut from it, and says where
    /// in the scaled picture that begins.
    fn window<'a>(&self, sampled: &'a Sampled<'_>, crop: &Crop) -> (Window<'a>, [usize; 2]) {
        let Part { corner, size } = crop.part;
        match self.scaling {
            Scaling::None => (Window::InPlace(sampled.view()), [0, 0]),
            Scaling::Part(_) => (rescale::part(sampled, corner, size, crop.scaled), [0, 0]),
            // The crops overlap, so that the whole is scaled, once.
            _ if self.cuts_several() => (rescale::window(sampled, [0, 0], crop.scaled), [0, 0]),
            Scaling::ShortSide(_) | Scaling::Output => {
                let corner = crop.corner.map(isize::unsigned_abs);
                (rescale::window(sampled, corner, crop.size), corner)
            }
        }
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
