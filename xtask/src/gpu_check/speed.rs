//! Speed: the bench on the GPU, at each precision, and beside PyTorch.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use vgg_cuda::Precision;

use super::report::Report;
use super::{Check, NO_TIME, programs};
use crate::{child, status};

/// More than the bench's own limits on what it starts leave it.
const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

const CASES: [&str; 4] = ["train-small-128", "train-full-128", "infer-small-128", "infer-small-1"];
const TINY: [&str; 2] = ["train-tiny-2", "infer-tiny-1"];

/// Networks whose layers are measured, and how: one whose convolutions have few channels, and one whose
/// first has no pool behind it.
const NETS: [(&str, &[&str]); 2] = [("small", &[]), ("vgg16", &["--net=vgg16"])];
const TINY_NETS: [(&str, &[&str]); 1] = [("tiny", &["--net=tiny", "--batch=4"])];

/// Ends when PyTorch has done something on the GPU.
const PROBE: &str = "import torch; print(torch.ones(1, device='cuda').item())";

pub(super) fn check(check: &Check, report: &mut Report) -> Result<()> {
    report.section("Speed");
    let program = std::env::current_exe().context("the path of this program")?;
    // PyTorch measures its algorithms, too.
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let fastest = folder.path().join("fastest");
    let peer = check.peer.as_deref().filter(|peer| has_cuda(peer, report));
    let (nets, cases): (&[(&str, &[&str])], &[&str]) =
        if check.tiny { (&TINY_NETS, &TINY) } else { (&NETS, &CASES) };
    let bench = |precision: Precision, args: &[&str], net: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("bench").args(args).args(["--device=cuda", "--precision", precision.name()]);
        command.args(net).arg("--autotune").arg(&fastest).current_dir(programs::root());
        command
    };
    for precision in &check.precisions {
        let name = precision.name();
        for (of, net) in nets {
            let single = bench(*precision, &["layers", "operations"], net);
            run(report, &format!("layers and operations of {of} in {name}"), single, check)?;
            if matches!(precision, Precision::Bf16 | Precision::F16) {
                let mut without = bench(*precision, &["layers"], net);
                without.env("VGG_CUDA_KERNELS", "cudnn");
                let name = format!("layers of {of} in {name} without our products");
                run(report, &name, without, check)?;
            }
        }
        // Also where only steps are measured: of the tiny network, limits are hardly measured.
        let (_, net) = nets[0];
        // Each by itself: the largest may need more memory than there is.
        for case in cases {
            let step = ["steps", "--case", case];
            run(report, &format!("{case} in {name}"), bench(*precision, &step, net), check)?;
            if let Some(peer) = peer {
                let mut beside = bench(*precision, &step, net);
                beside.arg("--rounds=3").arg("--peer").arg(peer);
                run(report, &format!("{case} in {name} beside PyTorch"), beside, check)?;
            }
        }
    }
    Ok(())
}

fn run(report: &mut Report, name: &str, mut command: Command, check: &Check) -> Result<()> {
    let limit = check.limit(LIMIT);
    if limit.is_zero() {
        report.failed(name, NO_TIME);
        return Ok(());
    }
    status("Measuring", name);
    let ended = child::run(&mut command, "", limit)?;
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
