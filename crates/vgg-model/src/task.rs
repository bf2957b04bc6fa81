//! What a network says of an image.

use serde::{Deserialize, Serialize};
use vgg_tensor::spec::EuclideanLoss;

/// What a network says of an image, and so what its last layer gives and how it is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Which class it is of: a logit for each, and the softmax cross-entropy.
    #[default]
    Classification,
    /// Where the object of its class is: boxes, and their Euclidean distance from the true one
    /// (Simonyan & Zisserman 2014, appendix A). A box is four numbers: its centre across and down, its width
    /// and height, as shares of what the network is shown.
    Localisation {
        /// Which boxes there are.
        boxes: Regression,
    },
}

/// For which classes a network regresses a box of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regression {
    /// One box, whatever the class: the paper's single-class regression (SCR).
    Shared,
    /// A box a class, of which that of the true class is trained: the paper's per-class regression (PCR).
    #[default]
    PerClass,
}

impl Task {
    /// Numbers that a network of so many classes gives for an image.
    pub fn outputs(self, classes: usize) -> usize {
        match self.boxes(classes) {
            // What would overflow is refused as too large by whoever makes a layer of it.
            Some(boxes) => boxes.saturating_mul(EuclideanLoss::BOX),
            None => classes,
        }
    }

    /// Boxes that a network of so many classes gives for an image; none if it classifies.
    pub fn boxes(self, classes: usize) -> Option<usize> {
        match self {
            Self::Classification => None,
            Self::Localisation { boxes: Regression::Shared } => Some(1),
            Self::Localisation { boxes: Regression::PerClass } => Some(classes),
        }
    }

    /// Whether it is [`Task::Classification`].
    pub fn is_classification(&self) -> bool {
        *self == Self::Classification
    }
}
