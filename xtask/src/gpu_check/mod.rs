//! `cargo xtask gpu-check`: everything that only a machine with a GPU can tell, in one report.

mod conformance;
mod kernels;
mod pack;
mod programs;
mod ranks;
mod report;
mod speed;
mod training;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use vgg_cuda::{Device, Precision};

use crate::status;
use report::Report;

/// Check correctness, training and speed on this machine's GPU, and write a report
///
/// A check that fails is reported, and the others go on. None takes forever: what hangs is killed.
/// With --pack, everything that the check takes is put into a folder, whose `run` does the same on a
/// machine that has neither Cargo nor this checkout. Of several GPUs the first is used, but by ranks; CUDA_VISIBLE_DEVICES chooses.
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

    /// Stop after so many minutes: what is left then fails as not done
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: Option<u64>,

    /// Check nothing: put programs, configs, tests' files and data into FOLDER, to be carried
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["parts", "peer", "report", "tiny", "minutes"])]
    pack: Option<PathBuf>,

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
    /// Several ranks with a GPU each, where there are several: the same bits, and how fast
    Ranks,
    /// Layers, operations and whole steps, against the GPU's limits
    Speed,
    /// The time of each kernel in training, if Nsight Compute (`ncu`) is in PATH
    Kernels,
}

/// Why a check failed that was not done.
const NO_TIME: &str = "not done: the time is over";

/// What all checks need to know.
struct Check {
    /// At which the GPU can compute.
    precisions: Vec<Precision>,
    peer: Option<PathBuf>,
    tiny: bool,
    /// When all must be done.
    end: Option<Instant>,
}

impl Check {
    /// How long something may take that takes `most` at most.
    fn limit(&self, most: Duration) -> Duration {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        self.end.map_or(most, |end| most.min(left(end)))
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    if let Some(folder) = &args.pack {
        return pack::pack(folder);
    }
    let end = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let device =
        vgg_cuda::find(0, Precision::F32).context("gpu-check is for a machine with a GPU")?;
    let Device { name, capability: (major, minor), .. } = &device;
    status("Device", format_args!("{name}, compute capability {major}.{minor}"));
    let mut report = Report::new(args.report);
    let all = [Precision::Bf16, Precision::Tf32, Precision::F32, Precision::F16];
    let (precisions, missing): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|precision| device.check(*precision).is_ok());
    let check = Check { precisions, peer: args.peer, tiny: args.tiny, end };

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
        [] => &[Part::Conformance, Part::Training, Part::Ranks, Part::Speed, Part::Kernels][..],
        parts => parts,
    };
    for part in parts {
        report.save()?; // so that an end from outside leaves what was found
        match part {
            Part::Conformance => report.part("Conformance", |r| conformance::check(&check, r)),
            Part::Training => report.part("Training", |r| training::check(&check, r)),
            Part::Ranks => report.part("Ranks", |r| ranks::check(&check, r)),
            Part::Speed => report.part("Speed", |r| speed::check(&check, r)),
            Part::Kernels => report.part("Kernels", |r| kernels::check(&check, r)),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn minutes_are_so_many_that_their_end_can_be_told() {
        let minutes = |n: &str| {
            Command::try_parse_from(["gpu-check", "--minutes", n])
                .map(|command| command.args.minutes)
        };
        assert_eq!(minutes("100000").unwrap(), Some(100_000));
        for n in ["0", "100001", "18446744073709551615"] {
            let error = minutes(n).unwrap_err().to_string();
            assert!(error.contains("1..=100000"), "{error}");
        }
    }
}
