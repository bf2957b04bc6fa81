//! Training runs, by the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use vgg_cuda::Precision;

use super::report::Report;
use super::{Check, NO_TIME, programs};
use crate::{child, status};

const LIMIT: Duration = Duration::from_secs(60 * 60);

/// The test accuracy that the reference run reaches at least: 73 runs of the same network elsewhere
/// reached 0.918 ± 0.005.
const ACCURACY: f64 = 0.90;

/// A run of the program that has ended.
pub(super) struct Run {
    folder: TempDir,
    pub(super) epochs: Vec<Epoch>,
}

impl Run {
    /// The last checkpoint.
    pub(super) fn last(&self) -> Result<Vec<u8>> {
        let path = run_in(self.folder.path())?.join("checkpoints/last.safetensors");
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// An epoch in `metrics.jsonl`.
#[derive(Debug, Deserialize)]
pub(super) struct Epoch {
    epoch: u64,
    train_loss: f64,
    test_loss: f64,
    test_accuracy: f64,
    pub(super) images_per_second: Option<f64>,
    seconds: Option<f64>,
}

/// Trains at each precision: at the first one to the end.
pub(super) fn check(check: &Check, report: &mut Report) -> Result<()> {
    report.section("Training");
    let (config, epochs) =
        if check.tiny { ("configs/smoke.toml", 2) } else { ("configs/vgg11_small.toml", 10) };
    let program = programs::vgg_train()?;
    for (i, precision) in check.precisions.iter().enumerate() {
        let epochs = if i == 0 { epochs } else { 1 };
        let name = format!("{config}, {} epoch(s) in {}", epochs, precision.name());
        status("Training", &name);
        let limit = check.limit(LIMIT);
        if limit.is_zero() {
            report.failed(&name, NO_TIME);
            continue;
        }
        match train(&program, config, epochs, *precision, &[], limit) {
            Ok(run) => judge(report, &name, &run.epochs, i == 0 && !check.tiny),
            Err(error) => report.failed(&name, format!("{error:#}")),
        }
    }
    Ok(())
}

fn judge(report: &mut Report, name: &str, epochs: &[Epoch], whole: bool) {
    report.text(format!("\n{name}:\n"));
    report.text("| epoch | train loss | test loss | test accuracy | img/s | seconds |");
    report.text("|---|---|---|---|---|---|");
    for epoch in epochs {
        let number = |number: Option<f64>| number.map_or(String::new(), |n| format!("{n:.1}"));
        let Epoch { epoch: i, train_loss, test_loss, test_accuracy, .. } = epoch;
        let (rate, seconds) = (number(epoch.images_per_second), number(epoch.seconds));
        report.text(format!(
            "| {i} | {train_loss:.4} | {test_loss:.4} | {test_accuracy:.4} | {rate} | {seconds} |"
        ));
    }
    let Some(last) = epochs.last() else { return };
    let accuracy = format!("test accuracy {:.4}", last.test_accuracy);
    if whole && last.test_accuracy < ACCURACY {
        report.failed(name, format!("{accuracy}, but it should reach {ACCURACY}"));
    } else {
        report.passed(name, accuracy);
    }
}

/// Trains with more options.
///
/// # Errors
/// If the program fails, or the run has not so many epochs with losses.
pub(super) fn train(
    program: &Path,
    config: &str,
    epochs: usize,
    precision: Precision,
    options: &[String],
    limit: Duration,
) -> Result<Run> {
    let runs = tempfile::tempdir().context("no temporary folder")?;
    let mut command = Command::new(program);
    command
        .arg(config)
        .args(["--device=cuda", "--progress=none", "--precision", precision.name(), "--out"])
        .arg(runs.path())
        .arg(format!("--set=train.epochs={epochs}"))
        .args(options);
    programs::in_root(&mut command);
    child::run(&mut command, "", limit)?.checked("vgg-train")?;
    let metrics = run_in(runs.path())?.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics)
        .with_context(|| format!("cannot read {}", metrics.display()))?;
    let found = parse(&text)?;
    ensure!(found.len() == epochs, "{} epochs instead of {epochs}", found.len());
    let finite = |epoch: &Epoch| epoch.train_loss.is_finite() && epoch.test_loss.is_finite();
    ensure!(found.iter().all(finite), "a loss is not finite: {found:?}");
    Ok(Run { folder: runs, epochs: found })
}

/// The only run in a folder.
fn run_in(runs: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(runs).context("the folder of runs")?;
    let run = entries.next().context("vgg-train left no run")?.context("the folder of runs")?;
    Ok(run.path())
}

fn parse(metrics: &str) -> Result<Vec<Epoch>> {
    let lines = metrics.lines().filter(|line| line.contains("\"kind\":\"epoch\""));
    lines.map(|line| serde_json::from_str(line).context("not an epoch's metrics")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_read_from_metrics() {
        let metrics = r#"{"kind":"run","schema":3,"name":"x"}
{"kind":"step","epoch":1,"step":1,"batch_loss":2.5}
{"kind":"epoch","epoch":1,"step":9,"train_loss":0.5,"train_accuracy":0.7,"test_loss":0.25,"test_accuracy":0.875,"test_top5":1.0,"lr":0.1,"images_per_second":null,"seconds":2.0}
"#;
        let epochs = parse(metrics).unwrap();
        assert_eq!((epochs.len(), epochs[0].epoch), (1, 1));
        assert_eq!((epochs[0].test_accuracy, epochs[0].images_per_second), (0.875, None));
        assert!(parse(r#"{"kind":"epoch"}"#).is_err());
    }
}
