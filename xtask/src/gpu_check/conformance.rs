//! The tests that compute on a GPU where there is one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::report::Report;
use super::{Check, NO_TIME, programs};
use crate::{child, status};

const LIMIT: Duration = Duration::from_secs(20 * 60);
/// Under a sanitizer everything is some ten times slower.
const SANITIZED: Duration = Duration::from_secs(60 * 60);

/// Those of its tools that know what no test can see: accesses outside of an allocation, and threads
/// of a block that do not wait for each other.
const SANITIZERS: [&str; 2] = ["memcheck", "racecheck"];

/// Runs the tests without a simulated GPU: a missing real one fails.
pub(super) fn check(check: &Check, report: &mut Report) -> Result<()> {
    report.section("Conformance");
    let tests = programs::tests()?;
    let mut groups: Vec<(String, String)> = check
        .precisions
        .iter()
        .map(|precision| {
            let name = precision.name();
            (format!("every operation in {name}"), format!("conformance::cuda_{name}::"))
        })
        .collect();
    // A filter is any part of a path: this one is not part of the next one's.
    groups.push(("training beside the CPU".into(), "cuda::".into()));
    groups.push(("products at their limits".into(), "cuda_products::".into()));
    groups.push(("downloads beside other work".into(), "cuda_downloads::".into()));
    // By NCCL where there are several GPUs, and by way of the host.
    groups.push(("exchange between ranks".into(), "exchange::gpus_".into()));
    groups.push(("ranks that train together".into(), "cuda_ranks::".into()));
    groups.push(("PyTorch's numbers".into(), "golden::".into()));
    for (name, filter) in &groups {
        run(report, name, Command::new(&tests), &[filter], check.limit(LIMIT))?;
    }
    let operations: Vec<&str> =
        groups.iter().map(|(_, filter)| &**filter).filter(|f| f.starts_with("conf")).collect();
    match programs::find("compute-sanitizer") {
        Some(sanitizer) => {
            for tool in SANITIZERS {
                let sanitized = sanitized(&sanitizer, tool, &tests);
                run(
                    report,
                    &format!("compute-sanitizer {tool}"),
                    sanitized,
                    &operations,
                    check.limit(SANITIZED),
                )?;
            }
        }
        None => report.text("compute-sanitizer, of the CUDA toolkit, is not in PATH: left out."),
    }
    Ok(())
}

fn sanitized(sanitizer: &Path, tool: &str, tests: &Path) -> Command {
    let mut command = Command::new(sanitizer);
    command.args(["--tool", tool, "--error-exitcode", "86"]);
    if tool == "racecheck" {
        // cuDNN's and cuBLAS's own would take hours.
        for kernel in vgg_kernels::MODULES.iter().flat_map(|module| module.kernels) {
            command.arg("--kernel-name").arg(format!("kns={kernel}"));
        }
    }
    command.arg(tests);
    command
}

/// Runs the tests whose paths begin with one of the filters.
fn run(
    report: &mut Report,
    name: &str,
    mut command: Command,
    filters: &[&str],
    limit: Duration,
) -> Result<()> {
    status("Testing", name);
    // One after another, so that the last one that began is the one that hangs.
    command.args(filters).arg("--test-threads=1");
    command.env("VGG_REQUIRE_CUDA", "1").current_dir(programs::root().join("tests"));
    if limit.is_zero() {
        report.failed(name, NO_TIME);
        return Ok(());
    }
    let ended = child::run(&mut command, "", limit)?;
    let Tests { passed, failed } = Tests::of(&ended.stdout);
    let seconds = ended.time.as_secs_f64();
    if ended.is_success() && failed.is_empty() && passed > 0 {
        report.passed(name, format!("{passed} tests, {seconds:.1} s"));
    } else {
        let failed = if failed.is_empty() { "none by name".into() } else { failed.join(", ") };
        let how = ended.how();
        report.failed(name, format!("{how}; {passed} tests passed; failed: {failed}"));
        report.output(&format!("{name}, stdout"), end(&ended.stdout));
        report.output(&format!("{name}, stderr"), end(&ended.stderr));
    }
    Ok(())
}

/// What a test program says about its tests.
#[derive(Debug, PartialEq)]
struct Tests {
    passed: usize,
    /// Also one that did not end.
    failed: Vec<String>,
}

impl Tests {
    fn of(stdout: &str) -> Self {
        let mut tests = Self { passed: 0, failed: Vec::new() };
        for line in stdout.lines() {
            match line.strip_prefix("test ").and_then(|line| line.split_once(" ...")) {
                Some((_, result)) if result.trim_end().ends_with("ok") => tests.passed += 1,
                Some((name, _)) => tests.failed.push(name.into()),
                None => {}
            }
        }
        tests
    }
}

/// The last part of a long text.
fn end(text: &str) -> &str {
    const LINES: usize = 100;
    let lines = text.lines().count();
    let skipped: usize =
        text.split_inclusive('\n').take(lines.saturating_sub(LINES)).map(str::len).sum();
    &text[skipped..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_fail_or_do_not_end_are_named() {
        let stdout = "\nrunning 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest a::d ... ";
        let expected = Tests { passed: 1, failed: vec!["a::c".into(), "a::d".into()] };
        assert_eq!(Tests::of(stdout), expected);
        assert_eq!(Tests::of("test result: ok. 0 passed\n"), Tests { passed: 0, failed: vec![] });
    }

    #[test]
    fn racecheck_watches_our_kernels_alone() {
        let arguments = |tool| {
            let command = sanitized(Path::new("sanitizer"), tool, Path::new("tests"));
            command.get_args().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let racecheck = arguments("racecheck");
        let kernels: usize = vgg_kernels::MODULES.iter().map(|module| module.kernels.len()).sum();
        assert_eq!(racecheck.iter().filter(|a| *a == "--kernel-name").count(), kernels);
        assert!(racecheck.contains(&"kns=sgd_f32".to_owned()), "{racecheck:?}");
        assert!(!arguments("memcheck").contains(&"--kernel-name".to_owned()));
    }

    #[test]
    fn the_end_of_a_text() {
        let text: String = (0..250).map(|i| format!("{i}\n")).collect();
        assert!(end(&text).starts_with("150\n") && end(&text).ends_with("249\n"));
        assert_eq!(end("short"), "short");
    }
}
