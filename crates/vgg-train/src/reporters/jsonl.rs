//! `metrics.jsonl`, a record a line.
//!
//! The file of a run that was interrupted and resumed is that of a run that was not, but for the
//! times and for what tells which process did what: records are written at the same steps, and those
//! after the checkpoint are dropped. Times are not part of a checkpoint, so a process has only its own:
//! what it did not see is left out.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Event, Reporter};
use crate::run::folder::{METRICS, METRICS_CSV, RunDir};
use crate::run::metrics::{self, EpochRecord, Process, Record, SCHEMA, StepRecord};
use crate::terminal::log::now;
use crate::version::VERSION;

/// The open file.
#[derive(Debug)]
pub(crate) struct Jsonl {
    path: PathBuf,
    file: File,
}

/// A file that goes on where a checkpoint was made.
#[derive(Debug)]
pub(crate) struct Reopened {
    pub jsonl: Jsonl,
    /// The finished epochs.
    pub epochs: Vec<EpochRecord>,
    /// In words, if something is left out that the run will not record again: the file as it was is
    /// kept under another name.
    pub warning: Option<String>,
}

impl Jsonl {
    /// Goes on where the checkpoint was made: keeps the records up to `step` steps and `epochs`
    /// finished epochs. A new run has none. Records of another schema stay below their own header. Epochs
    /// that are missing are those of `metrics.csv`, if it has them.
    pub(crate) fn open(run: &RunDir, name: &str, epochs: u64, step: u64) -> Result<Reopened> {
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
                Ok(
                    Record::Step(StepRecord { step: at, .. })
                    | Record::Process(Process { step: at, .. }),
                ) if at > step => {}
                Ok(Record::Epoch(record)) if record.epoch > epochs => later = record.epoch,
                Ok(record) => records.push(record),
                // The last line is torn if the process was killed while it wrote.
                Err(_) if line.ends_with(b"\n") => damaged.push(number),
                Err(_) => {}
            }
        }
        let missing = restore(&mut records, epochs, metrics::rows(run.path()));
        let why = match damaged[..] {
            [] if missing.is_some() => missing,
            [] if later <= epochs + 1 => None,
            [] => Some(format!("goes on to epoch {later}, beyond the checkpoint")),
            [line] => Some(format!("is damaged: line {line} does not read")),
            [line, ..] => {
                let lines = damaged.len();
                Some(format!("is damaged: {lines} lines do not read, the first is line {line}"))
            }
        };
        let warning = match why {
            None => None,
            // There is nothing to keep.
            Some(why) if text.is_empty() => Some(format!("{} {why}", path.display())),
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
        Ok(Reopened { jsonl: Self { path, file }, epochs: epochs.collect(), warning })
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.file
            .write_all(to_line(record).as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Reporter for Jsonl {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        match *event {
            Event::Started { device, step, .. } => self.append(&Record::Process(Process {
                started: now(),
                step,
                device: device.into(),
                program: VERSION.into(),
            })),
            Event::Step { record, is_recorded: true, .. } => {
                self.append(&Record::Step(record.clone()))
            }
            Event::Epoch { record, .. } => self.append(&Record::Epoch(record.clone())),
            _ => Ok(()),
        }
    }

    fn records(&self) -> Result<Option<(PathBuf, File)>> {
        let file = self.file.try_clone();
        let file = file.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Some((self.path.clone(), file)))
    }
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

/// Adds what is missing of the finished epochs, from `rows`, and says in words what was.
fn restore(records: &mut Vec<Record>, epochs: u64, rows: Vec<EpochRecord>) -> Option<String> {
    let is_there = |records: &[Record], number: u64| {
        records.iter().any(|record| matches!(record, Record::Epoch(it) if it.epoch == number))
    };
    let missing: Vec<u64> = (1..=epochs).filter(|epoch| !is_there(records, *epoch)).collect();
    let (first, last) = (missing.first()?, missing.last()?);
    for row in rows.into_iter().filter(|row| missing.contains(&row.epoch)) {
        let is_later = |record: &Record| match record {
            Record::Run { .. } => false,
            Record::Process(Process { step, .. })
            | Record::Step(StepRecord { step, .. })
            | Record::Epoch(EpochRecord { step, .. }) => *step > row.step,
        };
        let place = records.iter().position(is_later).unwrap_or(records.len());
        records.insert(place, Record::Epoch(row));
    }
    let lost = missing.iter().filter(|epoch| !is_there(records, **epoch)).count();
    // What cannot be restored was told when the run went on after it.
    if lost == missing.len() && *last < epochs {
        return None;
    }
    let which = match missing.len() as u64 {
        1 => format!("epoch {first}"),
        n if n == last - first + 1 => format!("epochs {first} to {last}"),
        n => format!("{n} epochs from {first} to {last}"),
    };
    Some(match lost {
        0 => format!("lacks {which}, taken from {METRICS_CSV}"),
        n if n == missing.len() => format!("lacks {which}, and so does {METRICS_CSV}"),
        n => format!("lacks {which}, of which {METRICS_CSV} lacks {n}, too"),
    })
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
            images_per_second: Some(100.0),
            wait_share: Some(0.0625),
            seconds: Some(1.25),
            ..EpochRecord::sample()
        }
    }

    impl Jsonl {
        fn step(&mut self, number: u64) {
            self.append(&Record::Step(step(number))).unwrap();
        }

        fn epoch(&mut self, number: u64) {
            self.append(&Record::Epoch(epoch(number))).unwrap();
        }
    }

    #[test]
    fn resuming_drops_what_came_after_the_checkpoint() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        let file = || std::fs::read_to_string(run.file(METRICS)).unwrap();
        let open = |epochs, step| Jsonl::open(&run, "a", epochs, step).unwrap();
        let mut jsonl = open(0, 0).jsonl;
        let fresh = file();
        jsonl.step(1);
        jsonl.step(2);
        let before_evaluation = file();
        jsonl.epoch(1);
        let after_epoch = file();
        jsonl.step(3);
        jsonl.epoch(2);
        // As a process that is killed while it writes leaves it.
        let mut torn = std::fs::read_to_string(run.file(METRICS)).unwrap();
        torn.truncate(torn.len() - 5);
        std::fs::write(run.file(METRICS), torn).unwrap();

        let Reopened { epochs, warning, .. } = open(1, 2);
        assert_eq!((epochs, warning), (vec![epoch(1)], None));
        assert_eq!(file(), after_epoch);
        assert_eq!(open(0, 2).warning, None);
        assert_eq!(file(), before_evaluation);
        assert_eq!(open(0, 0).warning, None);
        assert_eq!(file(), fresh);
    }

    #[test]
    fn records_keep_the_schema_that_they_were_written_in() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        let open = |epochs, step| Jsonl::open(&run, "a", epochs, step).unwrap();
        let read = || std::fs::read_to_string(run.file(METRICS)).unwrap();
        let header = |schema| to_line(&Record::Run { schema, name: "a".into() });
        let [first, second] = [1, 2].map(|number| to_line(&Record::Epoch(epoch(number))));
        let old = header(2) + &first;
        std::fs::write(run.file(METRICS), &old).unwrap();

        let Reopened { mut jsonl, epochs, warning } = open(1, 2);
        assert_eq!((epochs, warning), (vec![epoch(1)], None));
        jsonl.epoch(2);
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
        let open = |epochs, step| Jsonl::open(&run, "a", epochs, step).unwrap();
        let read = |name| std::fs::read_to_string(run.file(name)).unwrap();
        let mut jsonl = open(0, 0).jsonl;
        for number in 1..=3 {
            jsonl.epoch(number);
        }
        let whole = read(METRICS);
        let damaged = whole.replace("\"epoch\":2", "\"epoch\":?");
        std::fs::write(run.file(METRICS), &damaged).unwrap();
        let told = |Reopened { epochs, warning, .. }| {
            assert_eq!(epochs[0], epoch(1));
            warning.unwrap().replace(&run.path().display().to_string(), "RUN")
        };
        insta::assert_snapshot!(told(open(3, 6)), @"RUN/metrics.jsonl is damaged: line 3 does not read; as it was it is now RUN/metrics.old-1.jsonl");
        assert_eq!(read("metrics.old-1.jsonl"), damaged);
        assert_eq!(open(3, 6).warning, None, "what is left out is told once");

        std::fs::write(run.file(METRICS), &whole).unwrap();
        insta::assert_snapshot!(told(open(1, 2)), @"RUN/metrics.jsonl goes on to epoch 3, beyond the checkpoint; as it was it is now RUN/metrics.old-2.jsonl");
        assert_eq!(read("metrics.old-2.jsonl"), whole);
    }

    #[test]
    fn a_record_is_a_line() {
        insta::assert_snapshot!(to_line(&Record::Step(step(3))), @r#"{"kind":"step","epoch":2,"step":3,"batch_loss":2.5,"train_loss":2.25,"train_accuracy":0.125,"lr":0.5,"images_per_second":100.0,"wait_share":0.0}"#);
    }
}
