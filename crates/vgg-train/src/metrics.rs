//! The numbers of a run: `metrics.jsonl`, a record a line, and `metrics.csv`, a row an epoch.
//!
//! The files of a run that was interrupted and resumed are those of a run that was not, but for the
//! times: records are written at the same steps, and those after the checkpoint are dropped. Times
//! are not part of a checkpoint, so a process has only its own: what it did not see is left out.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::run_dir::{METRICS, METRICS_CSV, RunDir};

/// Changes when a field changes its meaning or goes away.
const SCHEMA: u32 = 2;

/// A line of `metrics.jsonl`. Accuracies are shares from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line.
    Run {
        schema: u32,
        name: String,
    },
    Step(Step),
    Epoch(Epoch),
}

/// Where training stands within an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
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
    /// Images trained on a second of step time.
    pub images_per_second: f64,
    /// Share of the time spent waiting for data.
    pub wait_share: f64,
}

/// A finished epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
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
    /// … or among the five most probable.
    pub test_top5: f64,
    /// Learning rate of the last step.
    pub lr: f32,
    /// Images a second of step time; loading and evaluation are not counted. Of an epoch that was
    /// resumed, for the steps since then; none if there were none left to do.
    pub images_per_second: Option<f64>,
    /// Wall time of the epoch, loading and evaluation included; none if the epoch was resumed.
    pub seconds: Option<f64>,
}

impl Epoch {
    const COLUMNS: &str = "epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,test_top5,\
                           lr,images_per_second,seconds";

    fn row(&self) -> String {
        let Self { epoch, step, train_loss, train_accuracy, .. } = self;
        let Self { test_loss, test_accuracy, test_top5, lr, .. } = self;
        let [images_per_second, seconds] = [self.images_per_second, self.seconds]
            .map(|value| value.map_or(String::new(), |value| format!("{value:.1}")));
        format!(
            "{epoch},{step},{train_loss},{train_accuracy},{test_loss},{test_accuracy},{test_top5},\
             {lr},{images_per_second},{seconds}"
        )
    }
}

/// The open files, and the epochs so far.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    file: File,
    epochs: Vec<Epoch>,
}

impl Metrics {
    /// Goes on where the checkpoint was made: keeps the records up to `step` steps and `epochs`
    /// finished epochs. A new run has none.
    pub(crate) fn open(run: &RunDir, name: &str, epochs: u64, step: u64) -> Result<Self> {
        let path = run.file(METRICS);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        // The last line may be torn.
        let records = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|record| match record {
                Record::Run { .. } => false,
                Record::Step(record) => record.step <= step,
                Record::Epoch(record) => record.epoch <= epochs,
            })
            .collect::<Vec<_>>();
        let mut text = to_line(&Record::Run { schema: SCHEMA, name: name.into() });
        records.iter().for_each(|record| text += &to_line(record));
        run.write(METRICS, &text)?;

        let epochs = records.into_iter().filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch),
            _ => None,
        });
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let metrics = Self { path, file, epochs: epochs.collect() };
        metrics.write_csv(run)?;
        Ok(metrics)
    }

    /// Adds a step.
    pub(crate) fn step(&mut self, step: Step) -> Result<()> {
        self.append(&Record::Step(step))
    }

    /// Adds an epoch.
    pub(crate) fn epoch(&mut self, run: &RunDir, epoch: Epoch) -> Result<()> {
        self.append(&Record::Epoch(epoch.clone()))?;
        self.epochs.push(epoch);
        self.write_csv(run)
    }

    /// The finished epochs.
    pub(crate) fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.file
            .write_all(to_line(record).as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn write_csv(&self, run: &RunDir) -> Result<()> {
        let rows: String = self.epochs.iter().map(|epoch| epoch.row() + "\n").collect();
        run.write(METRICS_CSV, &format!("{}\n{rows}", Epoch::COLUMNS))
    }
}

fn to_line(record: &Record) -> String {
    serde_json::to_string(record).expect("a record is plain numbers and strings") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Step {
        Step {
            epoch: 1 + (step - 1) / 2,
            step,
            batch_loss: 2.5,
            train_loss: 2.25,
            train_accuracy: 0.125,
            lr: 0.5,
            images_per_second: 100.0,
            wait_share: 0.0,
        }
    }

    fn epoch(epoch: u64) -> Epoch {
        Epoch {
            epoch,
            step: 2 * epoch,
            train_loss: 2.25,
            train_accuracy: 0.125,
            test_loss: 2.0,
            test_accuracy: 0.25,
            test_top5: 0.5,
            lr: 0.5,
            images_per_second: Some(100.0),
            seconds: Some(1.25),
        }
    }

    #[test]
    fn resuming_drops_what_came_after_the_checkpoint() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        let files =
            || [METRICS, METRICS_CSV].map(|name| std::fs::read_to_string(run.file(name)).unwrap());
        let mut metrics = Metrics::open(&run, "a", 0, 0).unwrap();
        let fresh = files();
        metrics.step(step(1)).unwrap();
        metrics.step(step(2)).unwrap();
        let before_evaluation = files();
        metrics.epoch(&run, epoch(1)).unwrap();
        let after_epoch = files();
        metrics.step(step(3)).unwrap();
        metrics.epoch(&run, epoch(2)).unwrap();
        // As a process that is killed while it writes leaves it.
        let mut torn = std::fs::read_to_string(run.file(METRICS)).unwrap();
        torn.truncate(torn.len() - 5);
        std::fs::write(run.file(METRICS), torn).unwrap();

        assert_eq!(Metrics::open(&run, "a", 1, 2).unwrap().epochs(), [epoch(1)]);
        assert_eq!(files(), after_epoch);
        Metrics::open(&run, "a", 0, 2).unwrap();
        assert_eq!(files(), before_evaluation);
        Metrics::open(&run, "a", 0, 0).unwrap();
        assert_eq!(files(), fresh);
    }

    #[test]
    fn the_table_has_a_column_a_number() {
        insta::assert_snapshot!(format!("{}\n{}", Epoch::COLUMNS, epoch(3).row()), @r#"
        epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,test_top5,lr,images_per_second,seconds
        3,6,2.25,0.125,2,0.25,0.5,0.5,100.0,1.2
        "#);
        let resumed = Epoch { images_per_second: None, seconds: None, ..epoch(3) };
        assert_eq!(resumed.row(), "3,6,2.25,0.125,2,0.25,0.5,0.5,,");
        insta::assert_snapshot!(to_line(&Record::Step(step(3))), @r#"{"kind":"step","epoch":2,"step":3,"batch_loss":2.5,"train_loss":2.25,"train_accuracy":0.125,"lr":0.5,"images_per_second":100.0,"wait_share":0.0}"#);
    }
}
