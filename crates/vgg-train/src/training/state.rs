//! What a run keeps besides its weights.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use vgg_model::{Checkpoint, Plateau};

use super::flat_loss::FlatLossWatch;
use super::seen_images::SeenImages;
use crate::config::BestBy;
use crate::failure::{Code, Failure};
use crate::run::metrics::EpochRecord;

/// What the program itself keeps in a checkpoint. Nothing of it depends on time or place, so that
/// equal runs have equal files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) best: Option<Best>,
    pub(super) flat_loss: FlatLossWatch,
    pub(super) plateau: Plateau,
    /// The backend's own ([`vgg_tensor::Backend::state`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) backend: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<SeenImages>,
}

impl State {
    /// That of a checkpoint.
    ///
    /// # Errors
    /// A [`Failure`] with [`Code::Checkpoint`].
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let message = "the checkpoint is of another version of this program";
        serde_json::from_value(checkpoint.run.clone())
            .context(Failure::new(Code::Checkpoint, message))
    }
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub epoch: u64,
    pub accuracy: f64,
    /// What it is the best by, if that is not its accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
}

impl Best {
    pub(super) fn new(record: &EpochRecord, by: BestBy) -> Self {
        let score = record.score(by).filter(|_| by != BestBy::Accuracy);
        Self { epoch: record.epoch, accuracy: record.test_accuracy, score }
    }

    /// What it is the best by.
    pub(super) fn score(&self) -> f64 {
        self.score.unwrap_or(self.accuracy)
    }
}
