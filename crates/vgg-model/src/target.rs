//! What a network is to say of the images of a training step.

use std::ops::Range;

use vgg_tensor::Result;
use vgg_tensor::spec::EuclideanLoss;

use crate::{Task, Vgg, invalid};

/// What a network is to say of images: of each what its [`Task`] says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// Their classes.
    Labels(&'a [u32]),
    /// Their classes, where images are mixed ([`crate::Recipe::mixes`]).
    Mixed {
        /// The class of each.
        labels: &'a [u32],
        /// Another class of each, and its share, from 0 to 1.
        mix: &'a [(u32, f32)],
    },
    /// Where the objects of their classes are.
    Boxes {
        /// The class of each.
        labels: &'a [u32],
        /// Of each the box, as [`Task::Localisation`] has it. An image without one counts nothing.
        boxes: &'a [Option<[f32; 4]>],
    },
}

impl<'a> From<&'a [u32]> for Target<'a> {
    fn from(labels: &'a [u32]) -> Self {
        Self::Labels(labels)
    }
}

impl<'a, const N: usize> From<&'a [u32; N]> for Target<'a> {
    fn from(labels: &'a [u32; N]) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> From<&'a Vec<u32>> for Target<'a> {
    fn from(labels: &'a Vec<u32>) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> Target<'a> {
    /// Of no image.
    pub(crate) const NONE: Self = Self::Labels(&[]);

    /// Of images that may be mixed: they are not where there is no `mix`.
    pub fn mixed(labels: &'a [u32], mix: &'a [(u32, f32)]) -> Self {
        match mix {
            [] => Self::Labels(labels),
            _ => Self::Mixed { labels, mix },
        }
    }

    /// The class of each image.
    pub fn labels(&self) -> &'a [u32] {
        match *self {
            Self::Labels(labels) | Self::Mixed { labels, .. } | Self::Boxes { labels, .. } => {
                labels
            }
        }
    }

    /// Images whose loss counts: all, or those that have a box.
    pub fn counted(&self) -> usize {
        match self {
            Self::Boxes { boxes, .. } => boxes.iter().flatten().count(),
            _ => self.labels().len(),
        }
    }

    /// Whether images are mixed.
    pub(crate) fn is_mixed(&self) -> bool {
        matches!(self, Self::Mixed { .. })
    }

    /// Of some of the images.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        match *self {
            Self::Labels(labels) => Self::Labels(&labels[rows]),
            Self::Mixed { labels, mix } => {
                Self::Mixed { labels: &labels[rows.clone()], mix: &mix[rows] }
            }
            Self::Boxes { labels, boxes } => {
                Self::Boxes { labels: &labels[rows.clone()], boxes: &boxes[rows] }
            }
        }
    }

    /// What the losses of the images are divided by together, where not by their number.
    pub(crate) fn divisor(&self, class_weights: &[f32]) -> f64 {
        let weight = |label: &u32| class_weights.get(*label as usize).map(|x| f64::from(*x));
        match self {
            Self::Labels(labels) => labels.iter().filter_map(weight).sum(),
            Self::Mixed { labels, .. } => labels.len() as f64,
            // Nothing is divided where no image counts.
            Self::Boxes { .. } => self.counted().max(1) as f64,
        }
    }

    /// Checks that there is one of each of `n` images, and that the network has it.
    pub(crate) fn check(&self, n: usize, vgg: &Vgg, mixes: bool) -> Result<()> {
        let classes = vgg.config().classes;
        check_labels(n, self.labels(), classes)?;
        match (*self, vgg.config().task) {
            (Self::Labels(_), Task::Classification) => Ok(()),
            (Self::Mixed { mix, .. }, Task::Classification) => check_mix(n, mix, classes, mixes),
            (Self::Boxes { boxes, .. }, Task::Localisation { .. }) => check_boxes(n, boxes),
            (Self::Boxes { .. }, Task::Classification) => {
                Err(invalid("target", "boxes", "classes: the network classifies"))
            }
            (_, Task::Localisation { .. }) => {
                Err(invalid("target", "classes", "boxes: the network regresses them"))
            }
        }
    }

    /// Writes what goes up for them, as their loss has it
    /// ([`vgg_tensor::spec::SoftmaxCrossEntropy`], [`EuclideanLoss`]), where the network is of `task`.
    pub(crate) fn write(
        &self,
        task: Task,
        class_weights: &[f32],
        divisor: f32,
        bytes: &mut Vec<u8>,
    ) {
        bytes.clear();
        let mut put = |word: u32| bytes.extend(word.to_ne_bytes());
        if let Self::Boxes { labels, boxes } = *self {
            for (label, bounds) in labels.iter().zip(boxes) {
                put(match (bounds, task) {
                    (None, _) => EuclideanLoss::NO_BOX,
                    (Some(_), Task::Localisation { boxes: crate::Regression::PerClass }) => *label,
                    (Some(_), _) => 0,
                });
            }
            boxes
                .iter()
                .flat_map(|bounds| bounds.unwrap_or_default())
                .for_each(|x| put(x.to_bits()));
            return put(divisor.to_bits());
        }
        self.labels().iter().for_each(|label| put(*label));
        if let Self::Mixed { mix, .. } = *self {
            mix.iter().for_each(|(other, _)| put(*other));
            mix.iter().for_each(|(_, share)| put(share.to_bits()));
        }
        if !class_weights.is_empty() {
            class_weights.iter().chain([&divisor]).for_each(|x| put(x.to_bits()));
        }
    }
}

/// Checks that there is a label of each image, below the number of classes.
pub(crate) fn check_labels(n: usize, labels: &[u32], classes: usize) -> Result<()> {
    if labels.len() != n {
        let message = format!("{} labels for {n} images", labels.len());
        return Err(vgg_tensor::Error::Shape(message));
    }
    match labels.iter().position(|label| *label as usize >= classes) {
        Some(i) => {
            Err(invalid(&format!("label {i}"), labels[i], &format!("below {classes} classes")))
        }
        None => Ok(()),
    }
}

fn check_mix(n: usize, mix: &[(u32, f32)], classes: usize, mixes: bool) -> Result<()> {
    if mix.len() != n || !mixes {
        let allowed = if mixes { "one an image" } else { "none: the recipe mixes none" };
        return Err(invalid("other classes", mix.len(), allowed));
    }
    let fits =
        |(other, share): &(u32, f32)| (*other as usize) < classes && (0.0..=1.0).contains(share);
    match mix.iter().position(|other| !fits(other)) {
        Some(i) => {
            let allowed = format!("below {classes} classes with a share from 0 to 1");
            Err(invalid(&format!("other class {i}"), format!("{:?}", mix[i]), &allowed))
        }
        None => Ok(()),
    }
}

fn check_boxes(n: usize, boxes: &[Option<[f32; 4]>]) -> Result<()> {
    if boxes.len() != n {
        return Err(invalid("boxes", boxes.len(), &format!("{n}, one an image or none of it")));
    }
    let is_box = |[x, y, w, h]: &[f32; 4]| {
        [x, y, w, h].iter().all(|number| number.is_finite()) && *w > 0.0 && *h > 0.0
    };
    match boxes.iter().position(|bounds| bounds.as_ref().is_some_and(|bounds| !is_box(bounds))) {
        Some(i) => {
            let allowed = "finite, with a width and a height above 0";
            Err(invalid(&format!("box {i}"), format!("{:?}", boxes[i]), allowed))
        }
        None => Ok(()),
    }
}
