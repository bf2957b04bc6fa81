//! The numbers of a run: `metrics.jsonl`, a record a line, and `metrics.csv`, a row an epoch.
//!
//! The files of a run that was interrupted and resumed are those of a run that was not, but for the
//! times: records are written at the same steps, and those after the checkpoint are dropped. Times
//! are not part of a checkpoint, so a process has only its own: what it did not see is left out.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::folder::{METRICS, METRICS_CSV, RunDir};
use crate::terminal::table::csv;

/// Changes when a field changes its meaning or goes away.
const SCHEMA: u32 = 3;

/// A line of `metrics.jsonl`. Accuracies are shares from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line; a resumed run of an older schema has another one where its meaning changes.
    Run {
        schema: u32,
        name: String,
    },
    Step(StepRecord),
    Epoch(EpochRecord),
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
    /// … or among the five most probable.
    pub test_top5: f64,
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
    const COLUMNS: [&str; 11] = [
        "epoch",
        "step",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "test_top5",
        "lr",
        "images_per_second",
        "wait_share",
        "seconds",
    ];

    /// The values of the columns.
    fn row(&self) -> [String; 11] {
        let time = |value: Option<f64>, digits| {
            value.map_or(String::new(), |value| format!("{value:.digits$}"))
        };
        [
            self.epoch.to_string(),
            self.step.to_string(),
            self.train_loss.to_string(),
            self.train_accuracy.to_string(),
            self.test_loss.to_string(),
            self.test_accuracy.to_string(),
            self.test_top5.to_string(),
            self.lr.to_string(),
            time(self.images_per_second, 1),
            time(self.wait_share, 3),
            time(self.seconds, 1),
        ]
    }
}

/// Epochs as CSV, below a header.
fn to_csv(epochs: &[EpochRecord]) -> Vec<u8> {
    let header = EpochRecord::COLUMNS.map(String::from);
    csv([header].into_iter().chain(epochs.iter().map(EpochRecord::row)).map(Vec::from))
}

/// The open files, and the epochs so far.
#[derive(Debug)]
pub(crate) struct RunMetrics {
    path: PathBuf,
    file: File,
    epochs: Vec<EpochRecord>,
}

impl RunMetrics {
    /// Goes on where the checkpoint was made: keeps the records up to `step` steps and `epochs`
    /// finished epochs. A new run has none. Records of another schema stay below their own header.
    ///
    /// If something is left out that the run will not record again, the file is kept under another
    /// name, which the second value tells in words.
    pub(crate) fn open(
        run: &RunDir,
        name: &str,
        epochs: u64,
        step: u64,
    ) -> Result<(Self, Option<String>)> {
        let path = run.file(METRICS);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let (mut records, mut damaged, mut later) = (Vec::new(), Vec::new(), 0);
        begin(&mut records, SCHEMA, name);
        for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            match serde_json::from_slice(line) {
                Ok(Record::Run { schema, name }) => begin(&mut records, schema, &name),
                Ok(Record::Step(record)) if record.step > step => {}
                Ok(Record::Epoch(record)) if record.epoch > epochs => later = record.epoch,
                Ok(record) => records.push(record),
                // The last line is torn if the process was killed while it wrote.
                Err(_) if line.ends_with(b"\n") => damaged.push(number),
                Err(_) => {}
            }
        }
        let why = match damaged[..] {
            [] if later <= epochs + 1 => None,
            [] => Some(format!("goes on to epoch {later}, beyond the checkpoint")),
            [line] => Some(format!("is damaged: line {line} does not read")),
            [line, ..] => {
                let lines = damaged.len();
                Some(format!("is damaged: {lines} lines do not read, the first is line {line}"))
            }
        };
        let told = match why {
            None => None,
            Some(why) => {
                let kept = keep(run, &path)?;
                Some(format!("{} {why}; as it was it is now {}", path.display(), kept.display()))
            }
        };
        begin(&mut records, SCHEMA, name);
        let text: String = records.iter().map(to_line).collect();
        run.write(METRICS, text)?;

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
        Ok((metrics, told))
    }

    /// Adds a step.
    pub(crate) fn step(&mut self, step: StepRecord) -> Result<()> {
        self.append(&Record::Step(step))
    }

    /// Adds an epoch.
    pub(crate) fn epoch(&mut self, run: &RunDir, epoch: EpochRecord) -> Result<()> {
        self.append(&Record::Epoch(epoch.clone()))?;
        self.epochs.push(epoch);
        self.write_csv(run)
    }

    /// The file and its path, to be flushed to the disk.
    pub(crate) fn file(&self) -> Result<(PathBuf, File)> {
        let file = self.file.try_clone();
        let file = file.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok((self.path.clone(), file))
    }

    /// The finished epochs.
    pub(crate) fn epochs(&self) -> &[EpochRecord] {
        &self.epochs
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.file
            .write_all(to_line(record).as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn write_csv(&self, run: &RunDir) -> Result<()> {
        run.write(METRICS_CSV, to_csv(&self.epochs))
    }
}

/// The record of a finished epoch, if the run has it.
pub(crate) fn epoch(run: &RunDir, number: u64) -> Option<EpochRecord> {
    let text = std::fs::read_to_string(run.file(METRICS)).ok()?;
    text.lines().find_map(|line| match serde_json::from_str(line) {
        Ok(Record::Epoch(epoch)) if epoch.epoch == number => Some(epoch),
        _ => None,
    })
}

/// Lets records of a schema follow, below a header if they need one.
fn begin(records: &mut Vec<Record>, schema: u32, name: &str) {
    // Nothing is left of what it was for.
    records.pop_if(|last| matches!(last, Record::Run { .. }));
    let schema_of = |record: &Record| match record {
        Record::Run { schema, .. } => Some(*schema),
        _ => None,
    };
    if records.iter().rev().find_map(schema_of) != Some(schema) {
        records.push(Record::Run { schema, name: name.into() });
    }
}

/// Copies a run's metrics to a name that is free.
fn keep(run: &RunDir, path: &Path) -> Result<PathBuf> {
    let mut names = (1..).map(|n| run.file(&format!("metrics.old-{n}.jsonl")));
    let kept = names.find(|kept| !kept.exists()).unwrap_or_default();
    std::fs::copy(path, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(kept)
}

fn to_line(record: &Record) -> String {
    serde_json::to_string(record).expect("a record is plain numbers and strings") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> StepRecord {
        StepRecord {
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

    fn epoch(epoch: u64) -> EpochRecord {
        EpochRecord {
            epoch,
            step: 2 * epoch,
            train_loss: 2.25,
            train_accuracy: 0.125,
            test_loss: 2.0,
            test_accuracy: 0.25,
            test_top5: 0.5,
            lr: 0.5,
            images_per_second: Some(100.0),
            wait_share: Some(0.0625),
            seconds: Some(1.25),
        }
    }

    #[test]
    fn resuming_drops_what_came_after_the_checkpoint() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        let files =
            || [METRICS, METRICS_CSV].map(|name| std::fs::read_to_string(run.file(name)).unwrap());
        let open = |epochs, step| RunMetrics::open(&run, "a", epochs, step).unwrap();
        let (mut metrics, _) = open(0, 0);
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

        let (metrics, told) = open(1, 2);
        assert_eq!((metrics.epochs(), told), (&[epoch(1)][..], None));
        assert_eq!(files(), after_epoch);
        assert_eq!(open(0, 2).1, None);
        assert_eq!(files(), before_evaluation);
        assert_eq!(open(0, 0).1, None);
        assert_eq!(files(), fresh);
    }

    #[test]
    fn records_keep_the_schema_that_they_were_written_in() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        let open = |epochs, step| RunMetrics::open(&run, "a", epochs, step).unwrap();
        let read = || std::fs::read_to_string(run.file(METRICS)).unwrap();
        let header = |schema| to_line(&Record::Run { schema, name: "a".into() });
        let [first, second] = [1, 2].map(|number| to_line(&Record::Epoch(epoch(number))));
        let old = header(2) + &first;
        std::fs::write(run.file(METRICS), &old).unwrap();

        let (mut metrics, told) = open(1, 2);
        assert_eq!((metrics.epochs(), told), (&[epoch(1)][..], None));
        metrics.epoch(&run, epoch(2)).unwrap();
        let both = old.clone() + &header(SCHEMA) + &second;
        assert_eq!(read(), both);
        open(2, 4);
        assert_eq!(read(), both, "the second header is written once");
        open(1, 2);
        open(1, 2);
        assert_eq!(read(), old + &header(SCHEMA));
        open(0, 0);
        assert_eq!(read(), header(SCHEMA), "nothing old is left");
    }

    #[test]
    fn what_will_not_be_recorded_again_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        let open = |epochs, step| RunMetrics::open(&run, "a", epochs, step).unwrap();
        let read = |name| std::fs::read_to_string(run.file(name)).unwrap();
        let (mut metrics, _) = open(0, 0);
        for number in 1..=3 {
            metrics.epoch(&run, epoch(number)).unwrap();
        }
        let whole = read(METRICS);
        let damaged = whole.replace("\"epoch\":2", "\"epoch\":?");
        std::fs::write(run.file(METRICS), &damaged).unwrap();
        let told = |(metrics, told): (RunMetrics, Option<String>)| {
            assert_eq!(metrics.epochs()[0], epoch(1));
            told.unwrap().replace(&run.path().display().to_string(), "RUN")
        };
        insta::assert_snapshot!(told(open(3, 6)), @"RUN/metrics.jsonl is damaged: line 3 does not read; as it was it is now RUN/metrics.old-1.jsonl");
        assert_eq!(read("metrics.old-1.jsonl"), damaged);
        assert_eq!(open(3, 6).1, None, "what is left out is told once");

        std::fs::write(run.file(METRICS), &whole).unwrap();
        insta::assert_snapshot!(told(open(1, 2)), @"RUN/metrics.jsonl goes on to epoch 3, beyond the checkpoint; as it was it is now RUN/metrics.old-2.jsonl");
        assert_eq!(read("metrics.old-2.jsonl"), whole);
    }

    #[test]
    fn the_table_has_a_column_a_number() {
        let resumed =
            EpochRecord { images_per_second: None, wait_share: None, seconds: None, ..epoch(3) };
        insta::assert_snapshot!(String::from_utf8(to_csv(&[epoch(3), resumed])).unwrap(), @r#"
        epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,test_top5,lr,images_per_second,wait_share,seconds
        3,6,2.25,0.125,2,0.25,0.5,0.5,100.0,0.062,1.2
        3,6,2.25,0.125,2,0.25,0.5,0.5,,,
        "#);
        insta::assert_snapshot!(to_line(&Record::Step(step(3))), @r#"{"kind":"step","epoch":2,"step":3,"batch_loss":2.5,"train_loss":2.25,"train_accuracy":0.125,"lr":0.5,"images_per_second":100.0,"wait_share":0.0}"#);
    }
}
