//! Event files for TensorBoard. What it makes of them, `tests/golden/tensorboard_read.py` asks.

use std::fs;
use std::path::PathBuf;

use super::{Workplace, failure, metrics_without_times, sha256};

/// A run's event files of a part, in the order in which they are read.
fn files(place: &Workplace, run: &str, part: &str) -> Vec<PathBuf> {
    let folder = place.path(run).join("tensorboard").join(part);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

/// The records in a file: each has its length in front, and eight bytes of checksums.
fn records(file: &PathBuf) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).unwrap();
    let (mut rest, mut records) = (&bytes[..], vec![]);
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u64::from_le_bytes(*length) as usize;
        records.push(behind[4..4 + length].to_vec());
        rest = &behind[4 + length + 4..];
    }
    records
}

fn count(records: &[Vec<u8>], tag: &str) -> usize {
    let has = |record: &&Vec<u8>| record.windows(tag.len()).any(|part| part == tag.as_bytes());
    records.iter().filter(has).count()
}

#[test]
fn event_files_change_nothing_else() {
    let place = Workplace::new();
    // All that gradients could disturb: statistics, velocities, dropout, averages, mixed labels.
    let options = "-q --set model.batch_norm=true --set optimizer.average_decay=0.9 \
                   --set data.augment.mixup=0.2 --set train.accumulate=2";
    place.ok(&format!("tiny.toml {options}"));
    place.ok(&format!("tiny.toml {options} --tensorboard"));
    for kept in ["last.safetensors", "best.safetensors"] {
        let kept = |run: &str| sha256(&place.path(run).join("checkpoints").join(kept));
        assert_eq!(kept("runs/tiny-1"), kept("runs/tiny-2"));
    }
    let metrics = |run: &str| metrics_without_times(&place.read(&format!("{run}/metrics.jsonl")));
    assert_eq!(metrics("runs/tiny-1"), metrics("runs/tiny-2"));
    // The norm of all gradients is one more number of each epoch.
    place.ok(&format!("tiny.toml {options} --set report.gradient_norm=true"));
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_eq!(last("runs/tiny-1"), last("runs/tiny-3"));
    let norms: Vec<f64> = place
        .read("runs/tiny-3/metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter_map(|record: serde_json::Value| record["gradient_norm"].as_f64())
        .collect();
    assert!(norms.len() == 2 && norms.iter().all(|norm| *norm > 0.0), "{norms:?}");
    assert!(!place.read("runs/tiny-1/metrics.jsonl").contains("gradient_norm"));
    assert!(!place.path("runs/tiny-1/tensorboard").exists());
    assert!(place.read("runs/tiny-2/config.toml").contains("tensorboard = true"));
}

#[test]
fn a_process_writes_a_file_for_training_and_one_for_tests() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --tensorboard");
    place.ok("resume runs/tiny-1 -q --set train.epochs=3");
    for part in ["train", "test"] {
        let files = files(&place, "runs/tiny-1", part);
        assert_eq!(files.len(), 2, "{files:?}");
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            let seconds = name.strip_prefix("events.out.tfevents.").unwrap().split('.').next();
            assert!(seconds.unwrap().parse::<u64>().unwrap() > 1_700_000_000, "{name}");
            assert!(records(&file)[0].ends_with(b"\x1a\x0dbrain.Event:2"), "{name}");
        }
    }
    let [train, resumed] = &files(&place, "runs/tiny-1", "train")[..] else { panic!() };
    let (train, resumed) = (records(train), records(resumed));
    // Four steps an epoch, two epochs and a third one.
    assert_eq!((count(&train, "batch_loss"), count(&resumed, "batch_loss")), (8, 4));
    assert_eq!((count(&train, "gradients/features.0"), count(&train, "[optimizer]")), (2, 1));
    let test = records(&files(&place, "runs/tiny-1", "test")[0]);
    assert_eq!((count(&test, "top5"), count(&test, "optimizer.lr")), (2, 1));
    // Of networks that were the best so far, as the first one is.
    let pictures = ["confusion", "mistakes", "IHDR"].map(|tag| count(&test, tag));
    assert!(matches!(pictures, [1, 1, 1] | [2, 2, 2]), "{pictures:?}");
}

#[test]
fn what_they_take_is_known_before() {
    let place = Workplace::new();
    let needs = |options: &str| {
        let summary = place.ok(&format!("summary tiny.toml {options}")).stdout;
        let (_, needs) = summary.split_once("training needs ").unwrap();
        needs.split_once(" MiB").unwrap().0.parse::<f64>().unwrap()
    };
    let (without, with) = (needs(""), needs("--set report.tensorboard=true"));
    assert!(with > without, "{with} {without}");
    let told = place.ok("tiny.toml --tensorboard").stderr;
    assert!(told.contains(&format!("needs {with:.1} MiB")), "{told}");
}

#[test]
fn a_run_does_without_files_that_cannot_be_written() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    fs::write(place.path("runs/tiny-1/tensorboard"), "in its place").unwrap();
    let done = place.ok("resume runs/tiny-1 -q --tensorboard --set train.epochs=3");
    let told = "warning: cannot make the folder runs/tiny-1/tensorboard/train";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert_eq!(place.read("runs/tiny-1/metrics.csv").lines().count(), 4);
}

#[test]
fn event_files_are_a_runs_own() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --tensorboard --set train.epochs=1");
    let file = files(&place, "runs/tiny-1", "test").remove(0);
    let before = fs::read(&file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let arguments = format!("eval runs/tiny-1 -q --confusion runs/tiny-1/tensorboard/test/{name}");
    let told = failure(&place, &arguments);
    assert!(
        told.starts_with("2\nerror: cannot write ") && told.contains("a file of a run"),
        "{told}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);
}
