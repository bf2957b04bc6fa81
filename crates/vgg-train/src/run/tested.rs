//! `predictions.safetensors`: what the best network so far said of each image of its test. All scores
//! follow from it, so that nobody has to test that network again.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::folder::PREDICTIONS;
use super::metrics::EpochRecord;
use crate::scores::evaluation::Evaluation;
use crate::scores::predictions::Predictions;

const LOGITS: &str = "logits";
const LABELS: &str = "labels";
const TEST: &str = "test";

/// What the file tells of the test, besides tensors: a single text, as the order of several is not
/// always the same, and the file is to be.
#[derive(Serialize, Deserialize)]
struct Test {
    epoch: u64,
    /// The names of the classes.
    classes: Vec<String>,
}

/// The test after an epoch.
#[derive(Debug)]
pub(crate) struct Tested {
    /// The epoch.
    pub epoch: u64,
    /// The names of the classes.
    pub names: Vec<String>,
    pub predictions: Predictions,
}

/// The file: `logits`, `[images, classes]`, and `labels`, `[images]`, in stored order; its metadata's
/// `test` is JSON of the epoch and the classes' names.
pub(crate) fn to_file(epoch: u64, names: &[String], predictions: &Predictions) -> Result<Vec<u8>> {
    let (logits, labels) = (predictions.logits(), predictions.labels());
    let logits: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let labels: Vec<u8> = labels.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (images, classes) = (predictions.len(), predictions.classes());
    let tensors = [
        (LOGITS, TensorView::new(Dtype::F32, vec![images, classes], &logits)?),
        (LABELS, TensorView::new(Dtype::U32, vec![images], &labels)?),
    ];
    let test = serde_json::to_string(&Test { epoch, classes: names.to_vec() })?;
    Ok(safetensors::serialize(tensors, Some([(TEST.to_owned(), test)].into()))?)
}

impl Tested {
    /// What the run in the folder `path` has, if that is of one of its `epochs`, to the last digit of
    /// its loss: a process may have been killed, or the file changed, and then it is nobody's.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged.
    pub(crate) fn read(path: &Path, epochs: &[EpochRecord]) -> Result<Option<Self>> {
        let path = path.join(PREDICTIONS);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let tested = Self::of_file(&bytes);
        let tested = tested.with_context(|| format!("{} is damaged", path.display()))?;
        let record = epochs.iter().find(|record| record.epoch == tested.epoch);
        let loss = Evaluation::of(&tested.predictions).loss();
        Ok(record.is_some_and(|record| record.test_loss == loss).then_some(tested))
    }

    /// Whether these are the labels of the tested images.
    pub(crate) fn is_of(&self, labels: &[u32]) -> bool {
        self.predictions.labels() == labels
    }

    fn of_file(bytes: &[u8]) -> Result<Self> {
        let (_, head) = SafeTensors::read_metadata(bytes)?;
        let metadata = head.metadata().as_ref().context("it has no metadata")?;
        let test = metadata.get(TEST).context("it does not tell of which epoch it is")?;
        let Test { epoch, classes: names } = serde_json::from_str(test)?;
        let file = SafeTensors::deserialize(bytes)?;
        let (logits, labels) = (file.tensor(LOGITS)?, file.tensor(LABELS)?);
        let images = labels.shape().first().copied().unwrap_or_default();
        ensure!(
            (logits.dtype(), logits.shape()) == (Dtype::F32, &[images, names.len()])
                && (labels.dtype(), labels.shape()) == (Dtype::U32, &[images])
                && !names.is_empty(),
            "its tensors do not fit together"
        );
        let numbers = |bytes: &[u8]| -> Vec<[u8; 4]> { bytes.as_chunks().0.to_vec() };
        let logits: Vec<f32> = numbers(logits.data()).into_iter().map(f32::from_le_bytes).collect();
        let labels: Vec<u32> = numbers(labels.data()).into_iter().map(u32::from_le_bytes).collect();
        ensure!(labels.iter().all(|label| (*label as usize) < names.len()), "a label is no class");
        let mut predictions = Predictions::new(names.len());
        predictions.add(&logits, &labels);
        Ok(Self { epoch, names, predictions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut predictions = Predictions::new(2);
        predictions.add(&[0.5, -1.0, f32::MIN_POSITIVE, 3.0], &[0, 1]);
        to_file(7, &["a, b".into(), "ü".into()], &predictions).unwrap()
    }

    #[test]
    fn the_same_is_the_same_file() {
        let first = file();
        assert!((0..20).all(|_| file() == first));
    }

    #[test]
    fn what_is_written_is_read() {
        let Tested { epoch, names, predictions } = Tested::of_file(&file()).unwrap();
        assert_eq!((epoch, names), (7, vec!["a, b".to_owned(), "ü".to_owned()]));
        assert_eq!(predictions.logits(), [0.5, -1.0, f32::MIN_POSITIVE, 3.0]);
        assert_eq!(predictions.labels(), [0, 1]);
    }

    #[test]
    fn damage_is_an_error() {
        let file = file();
        for len in 0..file.len() {
            assert!(Tested::of_file(&file[..len]).is_err(), "{len} bytes");
        }
        // A name that is no text, and a label that is no class.
        let name = String::from_utf8_lossy(&file).find("a, b").unwrap();
        for (at, byte) in [(name, b'\n'), (file.len() - 4, 2)] {
            let mut other = file.clone();
            other[at] = byte;
            assert!(Tested::of_file(&other).is_err(), "byte {at}");
        }
    }

    #[test]
    fn predictions_are_those_of_a_recorded_epoch() {
        let place = tempfile::tempdir().unwrap();
        let read = |epochs: &[EpochRecord]| Tested::read(place.path(), epochs);
        assert!(read(&[]).unwrap().is_none());
        let mut bytes = file();
        std::fs::write(place.path().join(PREDICTIONS), &bytes).unwrap();
        let loss = Evaluation::of(&Tested::of_file(&bytes).unwrap().predictions).loss();
        let record = |epoch, test_loss| EpochRecord { epoch, test_loss, ..EpochRecord::sample() };
        assert!(read(&[record(6, 1.0), record(7, loss)]).unwrap().is_some());
        for other in [record(6, loss), record(7, 1.0)] {
            assert!(read(&[other]).unwrap().is_none());
        }
        // A bit of a logit.
        let at = bytes.len() - 8 - 4;
        bytes[at] ^= 1;
        std::fs::write(place.path().join(PREDICTIONS), &bytes).unwrap();
        assert!(read(&[record(7, loss)]).unwrap().is_none());
        std::fs::write(place.path().join(PREDICTIONS), "{}").unwrap();
        let error = format!("{:#}", read(&[]).unwrap_err());
        assert!(error.contains("predictions.safetensors is damaged"), "{error}");
    }
}
