//! Speed: the bench on the GPU, at each precision, and beside PyTorch.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::report::Report;
use super::{Check, programs};
use crate::{child, status};

/// More than the bench's own limits on what it starts leave it.
const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

const CASES: [&str; 4] = ["train-small-128", "train-full-128", "infer-small-128", "infer-small-1"];
const TINY: [&str; 2] = ["train-tiny-8", "infer-tiny-1"];

/// Ends when PyTorch has done something on the GPU.
const PROBE: &str = "import torch; print(torch.ones(1, device='cuda').item())";

pub(super) fn check(check: &Check, report: &mut Report) -> Result<()> {
    report.section("Speed");
    let program = std::env::current_exe().context("the path of this program")?;
    // PyTorch measures its algorithms, too.
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let fastest = folder.path().join("fastest");
    let peer = check.peer.as_deref().filter(|peer| has_cuda(peer, report));
    for precision in check.precisions.iter().map(|precision| precision.name()) {
        let bench = |parts: &[&str]| {
            let mut command = Command::new(&program);
            command.arg("bench").args(parts).args(["--device=cuda", "--precision", precision]);
            command.arg("--autotune").arg(&fastest);
            let cases = if check.tiny {
                command.args(["--net=tiny", "--batch=4"]);
                &TINY[..]
            } else {
                &CASES
            };
            command.args(cases.iter().map(|case| format!("--case={case}")));
            command.current_dir(programs::root());
            command
        };
        let alone = bench(&["layers", "operations", "steps"]);
        run(report, &format!("the bench in {precision}"), alone)?;
        if let Some(peer) = peer {
            let mut beside = bench(&["steps", "--rounds=3"]);
            beside.arg("--peer").arg(peer);
            run(report, &format!("beside PyTorch in {precision}"), beside)?;
        }
    }
    Ok(())
}

fn run(report: &mut Report, name: &str, mut command: Command) -> Result<()> {
    status("Measuring", name);
    let ended = child::run(&mut command, "", LIMIT)?;
    let minutes = ended.time.as_secs_f64() / 60.0;
    match ended.checked("cargo xtask bench") {
        Ok(tables) => {
            report.passed(name, format!("{minutes:.1} minutes"));
            report.output(name, &tables);
        }
        Err(error) => report.failed(name, format!("{error:#}")),
    }
    Ok(())
}

/// Whether a Python's PyTorch can use the GPU. It is a failed check if not: it was asked for.
fn has_cuda(peer: &Path, report: &mut Report) -> bool {
    let mut command = Command::new(peer);
    let ended = child::run(command.args(["-c", PROBE]), "", 5 * programs::SHORT);
    let result = ended.and_then(|ended| ended.checked(&peer.display().to_string()));
    if let Err(error) = &result {
        report.failed("PyTorch on the GPU", format!("{error:#}"));
    }
    result.is_ok()
}
