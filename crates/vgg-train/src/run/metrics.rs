//! The numbers of a run, as `metrics.jsonl` has them: a record a line.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::folder::{METRICS, METRICS_CSV};

/// Changes when a field changes its meaning or goes away.
pub(crate) const SCHEMA: u32 = 3;

/// A line of `metrics.jsonl`. Accuracies are shares from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line; a resumed run of an older schema has another one where its meaning changes.
    Run {
        schema: u32,
        name: String,
    },
    Process(Process),
    Step(StepRecord),
    Epoch(EpochRecord),
}

/// A process that trains from here on; of a run that was resumed there are several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Date and time (UTC).
    pub started: String,
    /// Steps of the run that were done before.
    pub step: u64,
    /// What it trains on, in words.
    pub device: String,
    /// The program's version and commit.
    pub program: String,
}

/// Where training stands within an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    /// From 1 on.
    pub epoch: u64,
    /// Steps done in the whole run.
    pub step: u64,
    /// Mean loss of this step's images.
    pub batch_loss: f64,
    /// Mean loss of the epoch's images so far, each from the forward pass of its own step.
    pub train_loss: f64,
    /// Their accuracy, likewise.
    pub train_accuracy: f64,
    /// Learning rate of this step.
    pub lr: f32,
    /// Images a second of wall time: those of the epoch so far, since it began or was resumed.
    pub images_per_second: f64,
    /// Share of that time spent waiting for images.
    pub wait_share: f64,
}

/// A finished epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochRecord {
    /// From 1 on.
    pub epoch: u64,
    /// Steps done in the whole run.
    pub step: u64,
    /// Mean loss over the epoch's images, each from the forward pass of its own step.
    pub train_loss: f64,
    /// Their accuracy, likewise.
    pub train_accuracy: f64,
    /// Mean loss over the test images after the epoch.
    pub test_loss: f64,
    /// Share of them whose true class is the most probable one …
    pub test_accuracy: f64,
    /// … or among the five most probable; none where objects are located. There, accuracy is the share of
    /// images whose box is right: its intersection over union with a true one is above ½.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_top5: Option<f64>,
    /// The mean recall of the classes that have test images; older records lack it.
    #[serde(default)]
    pub test_balanced_accuracy: Option<f64>,
    /// The mean F1 of the classes; older records lack it.
    #[serde(default)]
    pub test_macro_f1: Option<f64>,
    /// Mean intersection over union of the boxes of the epoch's images that have one, as `train_loss`; where
    /// objects are located alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_mean_iou: Option<f64>,
    /// Mean intersection over union of the test images' boxes; where objects are located alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_mean_iou: Option<f64>,
    /// The L2 norm of the gradients of all that is trained, before any clipping: of a batch that comes
    /// after the epoch. None unless the config asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f32,
    /// Training images a second of wall time, from the epoch's start to the end of its last step;
    /// the test is not counted. Of an epoch that was resumed, from then on; none if there was no
    /// step left to do.
    pub images_per_second: Option<f64>,
    /// Share of that time spent waiting for images.
    pub wait_share: Option<f64>,
    /// Wall time of the epoch with its test; none if the epoch was resumed.
    pub seconds: Option<f64>,
}

impl EpochRecord {
    /// Of no particular epoch.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self {
            epoch: 1,
            step: 2,
            train_loss: 2.25,
            train_accuracy: 0.125,
            test_loss: 2.0,
            test_accuracy: 0.25,
            test_top5: Some(0.5),
            test_balanced_accuracy: Some(0.375),
            test_macro_f1: Some(0.3125),
            train_mean_iou: None,
            test_mean_iou: None,
            gradient_norm: None,
            lr: 0.5,
            images_per_second: None,
            wait_share: None,
            seconds: None,
        }
    }
}

/// All records of the run in `path`, read as it goes on: a line that is torn is left out. Of a run that
/// has not begun there are none.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn records(path: &Path) -> Result<Vec<Record>> {
    let path = path.join(METRICS);
    match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(vec![]),
        text => {
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            let lines = text.split(|byte| *byte == b'\n');
            Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
        }
    }
}

/// The finished epochs as the run's spreadsheet has them, which may be behind: none if it does not read.
pub(crate) fn rows(path: &Path) -> Vec<EpochRecord> {
    let rows = csv::Reader::from_path(path.join(METRICS_CSV))
        .and_then(|rows| rows.into_deserialize().collect());
    rows.unwrap_or_default()
}

/// The records of the finished epochs.
///
/// # Errors
/// As [`records`].
pub(crate) fn epochs(path: &Path) -> Result<Vec<EpochRecord>> {
    let epochs = records(path)?.into_iter().filter_map(|record| match record {
        Record::Epoch(epoch) => Some(epoch),
        _ => None,
    });
    Ok(epochs.collect())
}
