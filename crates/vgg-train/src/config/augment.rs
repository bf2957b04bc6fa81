//! What makes training images differ from epoch to epoch.

use serde::{Deserialize, Serialize};
use vgg_data::{MAGNITUDES, MOST_OPERATIONS};

use super::limits::not_negative;
use super::one_or_more::one_or_more;

/// What makes training images differ from epoch to epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Augment {
    /// The short side that an image folder's images are scaled to: none (the network's input), one
    /// number, or the first and the last of those drawn from.
    #[serde(deserialize_with = "one_or_more")]
    pub short_side: Vec<usize>,
    /// Cut the input anywhere from an image folder's images, not from the centre.
    pub random_crop: bool,
    /// Cut a part of random area and proportions and scale it to the input, in place of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resized_crop: Option<ResizedCrop>,
    /// Mirror an image with probability ½.
    pub flip: bool,
    /// Pad by so many pixels and cut the same size anywhere.
    pub pad_crop: usize,
    /// Operations of RandAugment on each image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// One operation of TrivialAugment on each image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trivial_augment_wide: bool,
    /// Change brightness, contrast, saturation and hue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_jitter: Option<ColorJitter>,
    /// Standard deviation of the shift along the colours' principal components; 0 is none.
    pub color_shift: f64,
    /// The colours' eigenvalues, on the scale 0 to 1; the training images' own if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_values: Option<[f64; 3]>,
    /// The eigenvector of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_vectors: Option<[[f64; 3]; 3]>,
    /// Probability with which a rectangle is erased.
    pub random_erasing: f64,
    /// Both parameters of the beta distribution of mixup's shares; 0 is no mixup.
    pub mixup: f64,
    /// Both parameters of the beta distribution of CutMix's areas; 0 is no CutMix.
    pub cutmix: f64,
}

/// The part of an image that is cut and scaled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ResizedCrop {
    /// Its share of the image's area, from – to.
    pub scale: [f64; 2],
    /// Its width by its height, from – to.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    fn default() -> Self {
        let vgg_data::ResizedCrop { scale, ratio } = Default::default();
        Self { scale, ratio }
    }
}

/// What RandAugment does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RandAugment {
    /// Operations an image.
    pub operations: usize,
    /// Their strength.
    pub magnitude: usize,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self { operations: 2, magnitude: 9 }
    }
}

/// How far each is changed at most; 0 leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ColorJitter {
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
    /// In turns, up to a half.
    pub hue: f64,
}

impl Augment {
    /// The first value out of its limits, for images of channels, height and width: its key, and what is
    /// wrong with it.
    pub(super) fn out_of_limits(
        &self,
        [channels, h, w]: [usize; 3],
    ) -> Option<(&'static str, String)> {
        let are_sides = match self.short_side[..] {
            [least, most] => least <= most,
            [] | [_] => true,
            _ => false,
        };
        let ResizedCrop { scale: [smallest, largest], ratio: [narrow, wide] } =
            self.resized_crop.unwrap_or_default();
        let RandAugment { operations, magnitude } = self.rand_augment.unwrap_or_default();
        let jitter = self.color_jitter.unwrap_or_default();
        let factor =
            |x: f64| (!(0.0..=10.0).contains(&x)).then(|| format!("must be from 0 to 10, not {x}"));
        let up_to_one =
            |x: f64| (!(0.0..=1.0).contains(&x)).then(|| format!("must be from 0 to 1, not {x}"));
        let values = self.color_values.iter().flatten();
        let vectors = self.color_vectors.iter().flatten().flatten();
        let finite = |x: &f64| (!x.is_finite()).then(|| format!("must be finite numbers, not {x}"));
        let variance = |x: &f64| {
            (!(x.is_finite() && *x >= 0.0)).then(|| format!("must be numbers from 0 on, not {x}"))
        };
        let halves = self.color_values.is_some() != self.color_vectors.is_some();
        let check = [
            (
                "data.augment.short_side",
                (!are_sides).then(|| "must be one number, or the least and the most".to_owned()),
            ),
            (
                "data.augment.resized_crop",
                (self.resized_crop.is_some() && (self.random_crop || !self.short_side.is_empty()))
                    .then(|| "takes the place of short_side and random_crop".to_owned()),
            ),
            (
                "data.augment.resized_crop.scale",
                (!(0.0 < smallest && smallest <= largest && largest <= 1.0))
                    .then(|| "must be two shares above 0 and up to 1".to_owned()),
            ),
            (
                "data.augment.resized_crop.ratio",
                (!(0.0 < narrow && narrow <= wide && wide.is_finite()))
                    .then(|| "must be two numbers above 0, the least and the most".to_owned()),
            ),
            (
                "data.augment.pad_crop",
                (self.pad_crop >= h.min(w))
                    .then(|| format!("must be below the side of the images, {}", h.min(w))),
            ),
            (
                "data.augment.rand_augment",
                (self.rand_augment.is_some() && self.trivial_augment_wide)
                    .then(|| "takes the place of trivial_augment_wide".to_owned()),
            ),
            (
                "data.augment.rand_augment.operations",
                (!(1..=MOST_OPERATIONS).contains(&operations))
                    .then(|| format!("must be from 1 to {MOST_OPERATIONS}, not {operations}")),
            ),
            (
                "data.augment.rand_augment.magnitude",
                (magnitude >= MAGNITUDES)
                    .then(|| format!("must be from 0 to {}, not {magnitude}", MAGNITUDES - 1)),
            ),
            ("data.augment.color_jitter.brightness", factor(jitter.brightness)),
            ("data.augment.color_jitter.contrast", factor(jitter.contrast)),
            ("data.augment.color_jitter.saturation", factor(jitter.saturation)),
            (
                "data.augment.color_jitter.hue",
                (!(0.0..=0.5).contains(&jitter.hue))
                    .then(|| format!("must be from 0 to 0.5, not {}", jitter.hue)),
            ),
            ("data.augment.color_shift", not_negative(self.color_shift)),
            (
                "data.augment.color_shift",
                (self.color_shift > 0.0 && channels != 3)
                    .then(|| format!("needs three channels, not {channels}")),
            ),
            (
                "data.augment.color_values",
                halves.then(|| "and data.augment.color_vectors go together".to_owned()),
            ),
            ("data.augment.color_values", values.into_iter().find_map(variance)),
            ("data.augment.color_vectors", vectors.into_iter().find_map(finite)),
            ("data.augment.random_erasing", up_to_one(self.random_erasing)),
            ("data.augment.mixup", up_to_one(self.mixup)),
            ("data.augment.cutmix", up_to_one(self.cutmix)),
        ];
        check.into_iter().find_map(|(key, problem)| Some((key, problem?)))
    }
}
