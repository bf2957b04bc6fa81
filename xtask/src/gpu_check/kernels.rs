//! Where the time of a training step goes, kernel by kernel, as Nsight Compute measures it.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::report::Report;
use super::{Check, NO_TIME, programs};
use crate::{child, status};

/// Each kernel is run anew, with the GPU's clock held and its caches emptied.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Kernels that are measured: some steps.
const LAUNCHES: &str = "1000";

pub(super) fn check(check: &Check, report: &mut Report) -> Result<()> {
    report.section("Kernels");
    let Some(ncu) = programs::find("ncu") else {
        report.text("ncu, of Nsight Compute, is not in PATH: left out.");
        return Ok(());
    };
    let name = "the time of each kernel";
    let limit = check.limit(LIMIT);
    if limit.is_zero() {
        report.failed(name, NO_TIME);
        return Ok(());
    }
    let config = if check.tiny { "configs/smoke.toml" } else { "configs/vgg11_small.toml" };
    let precision = check.precisions.first().context("the GPU has no precision")?.name();
    status("Measuring", name);
    let runs = tempfile::tempdir().context("no temporary folder")?;
    let mut command = Command::new(ncu);
    command
        .args(["--csv", "--metrics", "gpu__time_duration.sum"])
        .args(["--launch-count", LAUNCHES])
        .arg(programs::vgg_train()?)
        .args([config, "--profile", "--device=cuda", "--precision", precision, "--out"])
        .arg(runs.path());
    programs::in_root(&mut command);
    match child::run(&mut command, "", limit)?.checked("ncu").and_then(|text| times(&text)) {
        Ok(times) => {
            report.passed(name, format!("{} kernels", times.len()));
            report.output(&format!("Kernels of {config} in {precision}"), &table(&times));
        }
        // Who may count is decided by whoever owns the machine: it says nothing about the program.
        Err(error) => report.text(format!("ncu measures nothing here: {error:#}")),
    }
    Ok(())
}

/// A kernel's launches, and the time of all in microseconds.
type Times = Vec<(String, usize, f64)>;

/// What `ncu` prints, summed up by kernel; the longest first.
fn times(csv: &str) -> Result<Times> {
    let mut lines = csv.lines().skip_while(|line| !line.starts_with("\"ID\""));
    let header = fields(lines.next().context("ncu measured nothing")?);
    let column = |name: &str| {
        header.iter().position(|field| field == name).with_context(|| format!("no {name} by ncu"))
    };
    let (kernel, unit, value) =
        (column("Kernel Name")?, column("Metric Unit")?, column("Metric Value")?);
    let mut sums: HashMap<String, (usize, f64)> = HashMap::new();
    for line in lines.map(fields).filter(|line| line.len() == header.len()) {
        let number: f64 = line[value].replace(',', "").parse().context("not a time by ncu")?;
        let microseconds = match line[unit].as_str() {
            "ns" | "nsecond" => number / 1e3,
            "us" | "usecond" | "µs" | "μs" => number,
            "ms" | "msecond" => number * 1e3,
            "s" | "second" => number * 1e6,
            other => bail!("{other:?} is not a unit of time that is known"),
        };
        let (count, sum) = sums.entry(line[kernel].clone()).or_default();
        (*count, *sum) = (*count + 1, *sum + microseconds);
    }
    let mut times: Times = sums.into_iter().map(|(name, (n, sum))| (name, n, sum)).collect();
    times.sort_by(|(_, _, a), (_, _, b)| b.total_cmp(a));
    Ok(times)
}

/// The fields of a line, all of which are in quotation marks.
fn fields(line: &str) -> Vec<String> {
    let inside = line.trim().trim_start_matches('"').trim_end_matches('"');
    inside.split("\",\"").map(|field| field.replace("\"\"", "\"")).collect()
}

fn table(times: &Times) -> String {
    let all: f64 = times.iter().map(|(_, _, sum)| sum).sum();
    let mut text = String::from("   share        µs  launches  µs each  kernel\n");
    for (name, count, sum) in times {
        let (share, each) = (100.0 * sum / all, sum / *count as f64);
        let name: String = name.chars().take(100).collect();
        text += &format!("{share:6.1} % {sum:9.1} {count:9} {each:8.1}  {name}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_whole_words() {
        let of = |unit: &str| {
            let header = "\"ID\",\"Kernel Name\",\"Metric Unit\",\"Metric Value\"";
            times(&format!("{header}\n\"0\",\"sgd\",\"{unit}\",\"2\"\n")).map(|times| times[0].2)
        };
        for (unit, microseconds) in [
            ("ns", 2e-3),
            ("nsecond", 2e-3),
            ("us", 2.0),
            ("usecond", 2.0),
            ("\u{b5}s", 2.0),
            ("\u{3bc}s", 2.0),
            ("ms", 2e3),
            ("msecond", 2e3),
            ("s", 2e6),
            ("second", 2e6),
        ] {
            assert_eq!(of(unit).unwrap(), microseconds, "{unit}");
        }
        for unit in ["", "é", "minute", "n"] {
            let error = of(unit).unwrap_err().to_string();
            assert!(error.contains(&format!("{unit:?}")), "{error}");
        }
    }

    #[test]
    fn times_are_summed_by_kernel() {
        let csv = "==PROF== Connected\n\"ID\",\"Kernel Name\",\"Metric Unit\",\"Metric Value\"\n\
                   \"0\",\"sgd\",\"us\",\"1.50\"\n\"1\",\"conv<a, \"\"b\"\">\",\"ns\",\"9,000\"\n\
                   \"2\",\"sgd\",\"us\",\"2.50\"\n==PROF== Disconnected\n";
        let expected = vec![("conv<a, \"b\">".into(), 1, 9.0), ("sgd".into(), 2, 4.0)];
        assert_eq!(times(csv).unwrap(), expected);
        assert!(table(&expected).contains("69.2 %"), "{}", table(&expected));
        assert!(times("==ERROR== no permission").is_err());
    }
}
