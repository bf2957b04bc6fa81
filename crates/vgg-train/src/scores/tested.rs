//! What came of a test, whatever the task.

use super::evaluation::Evaluation;
use super::localisation::{Localisation, RIGHT};
use super::predictions::Predictions;

/// What came of a test.
#[derive(Clone, Debug)]
pub(crate) enum Tested {
    /// Of a network that classifies.
    Classes {
        predictions: Predictions,
        /// How good they are.
        evaluation: Evaluation,
    },
    /// Of a network that locates, which is told the true class.
    Boxes(Localisation),
}

impl Tested {
    /// Of what a network that classifies says.
    pub(crate) fn classes(predictions: Predictions) -> Self {
        let evaluation = Evaluation::of(&predictions);
        Self::Classes { predictions, evaluation }
    }

    /// What the network says, if it classifies.
    pub(crate) fn into_predictions(self) -> Option<Predictions> {
        match self {
            Self::Classes { predictions, .. } => Some(predictions),
            Self::Boxes(_) => None,
        }
    }

    /// The number of images.
    pub(crate) fn images(&self) -> u64 {
        match self {
            Self::Classes { evaluation, .. } => evaluation.images(),
            Self::Boxes(localisation) => localisation.images().len() as u64,
        }
    }

    /// The mean loss.
    pub(crate) fn loss(&self) -> f64 {
        match self {
            Self::Classes { evaluation, .. } => evaluation.loss(),
            Self::Boxes(localisation) => localisation.loss(),
        }
    }

    /// Share of the images that the network is right about.
    pub(crate) fn accuracy(&self) -> f64 {
        match self {
            Self::Classes { evaluation, .. } => evaluation.accuracy(),
            Self::Boxes(localisation) => localisation.accuracy(1, RIGHT),
        }
    }

    /// How good the classes are, where there are any.
    pub(crate) fn evaluation(&self) -> Option<&Evaluation> {
        match self {
            Self::Classes { evaluation, .. } => Some(evaluation),
            Self::Boxes(_) => None,
        }
    }

    /// The mean intersection over union, where there are boxes.
    pub(crate) fn mean_iou(&self) -> Option<f64> {
        match self {
            Self::Classes { .. } => None,
            Self::Boxes(localisation) => Some(localisation.mean_iou(1)),
        }
    }
}
