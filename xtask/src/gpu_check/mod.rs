//! `cargo xtask gpu-check`: everything that only a machine with a GPU can tell, in one report.

mod conformance;
mod programs;
mod report;
mod speed;
mod training;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use vgg_cuda::{Device, Precision};

use crate::status;
use report::Report;

/// Check correctness, training and speed on this machine's GPU, and write a report
///
/// A check that fails is reported, and the others go on. None takes forever: what hangs is killed.
/// Of several GPUs the first is used; CUDA_VISIBLE_DEVICES chooses.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to check [default: everything]
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// Python whose PyTorch finds the GPU: whole steps alternate with its
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,

    /// Where to write the report, in Markdown
    #[arg(long, value_name = "FILE", default_value = "gpu-check.md")]
    report: PathBuf,

    /// Train and measure tiny networks: to try the command itself
    #[arg(long)]
    tiny: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Part {
    /// Every operation and whole steps, against the reference, the CPU and PyTorch's numbers
    Conformance,
    /// The reference run at bf16, and an epoch at each other precision
    Training,
    /// Layers, operations and whole steps, against the GPU's limits
    Speed,
}

/// What all checks need to know.
struct Check {
    /// At which the GPU can compute.
    precisions: Vec<Precision>,
    peer: Option<PathBuf>,
    tiny: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let device =
        vgg_cuda::find(0, Precision::F32).context("gpu-check is for a machine with a GPU")?;
    let Device { name, capability: (major, minor), .. } = &device;
    status("Device", format_args!("{name}, compute capability {major}.{minor}"));
    let mut report = Report::new(args.report);
    let all = [Precision::Bf16, Precision::Tf32, Precision::F32, Precision::F16];
    let (precisions, missing): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|precision| device.check(*precision).is_ok());
    let check = Check { precisions, peer: args.peer, tiny: args.tiny };

    report.section("Machine");
    report.text(format!("{name}, compute capability {major}.{minor}."));
    for precision in missing {
        report.text(format!("It has no {}, which is left out.", precision.name()));
    }
    if check.tiny {
        report.text("A trial with tiny networks: it tells nothing about accuracy or speed.");
    }
    report.part("Machine", programs::describe);
    let parts = match &args.parts[..] {
        [] => &[Part::Conformance, Part::Training, Part::Speed][..],
        parts => parts,
    };
    for part in parts {
        report.save()?; // so that an end from outside leaves what was found
        match part {
            Part::Conformance => report.part("Conformance", |r| conformance::check(&check, r)),
            Part::Training => report.part("Training", |r| training::check(&check, r)),
            Part::Speed => report.part("Speed", |r| speed::check(&check, r)),
        }
    }
    report.save()?;
    status("Wrote", report.path().display());
    match report.failures() {
        0 => Ok(()),
        1 => bail!("a check failed: see {}", report.path().display()),
        n => bail!("{n} checks failed: see {}", report.path().display()),
    }
}
