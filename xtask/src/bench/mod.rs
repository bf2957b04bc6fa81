//! `cargo xtask bench`: how fast it is, next to what the machine could do and to other programs.

mod buffers;
mod case;
mod clock;
mod data;
mod device;
mod layers;
mod machine;
mod measured;
mod operations;
mod peers;
mod report;
mod statistics;
mod steps;
mod table;

use std::path::PathBuf;

use crate::status;
use anyhow::{Result, bail};
use case::{Case, Net};
use device::{Device, Job, Measurable, Roofs, at_least_1};
use layers::Layers;
use machine::Machine;
use operations::Operations;
use peers::Python;
use report::Report;

/// Measure speed and peak memory, and compare them with the machine's limits or with other programs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure [default: everything; with --peer: steps]
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// The network of layers and operations
    #[arg(long, value_enum, default_value_t = Net::Small)]
    net: Net,

    /// Images at once, of layers and operations
    #[arg(long, value_name = "N", default_value = "128", value_parser = at_least_1)]
    batch: usize,

    /// A whole step, as PASS-NET-BATCH; may be repeated.
    /// PASS is train, finetune (with frozen convolutions), infer or infer-f16, NET as of --net
    /// [default: train-small-128, train-full-32, train-accurate-128, train-vgg16-16,
    /// train-vgg16_bn-16, finetune-vgg16-16, train-alexnet-128, infer-small-32, infer-small-1,
    /// infer-f16-small-1, infer-vgg16_bn-16]
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,

    /// Times each whole step is measured, each time in a new process [default: 1; with --peer: 5]
    #[arg(long, value_name = "N", value_parser = at_least_1)]
    rounds: Option<usize>,

    /// Python that has PyTorch, and perhaps ONNX Runtime and OpenVINO: whole steps alternate with theirs, in all ways that
    /// may be the fastest: eager and compiled, on a CPU with bf16 instructions in f32 and bf16
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,

    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,

    /// Measure how fast the images of this folder are made ready for training, and nothing else; with
    /// --peer beside torchvision's workers
    #[arg(long, value_name = "DIR", conflicts_with_all = ["parts", "cases", "json"])]
    data: Option<PathBuf>,

    #[command(flatten)]
    device: Device,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Part {
    /// Each layer, forward and backward
    Layers,
    /// Each operation that is limited by memory
    Operations,
    /// Whole training steps and inference
    Steps,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let peer = args.peer.as_deref().map(Python::find).transpose()?;
    if let Some(dir) = &args.data {
        print(&data::measure(dir, args.rounds.unwrap_or(3), peer.as_ref())?);
        return Ok(());
    }
    let parts = match (&args.parts[..], &args.peer) {
        ([], None) => &[Part::Layers, Part::Operations, Part::Steps],
        ([], Some(_)) => &[Part::Steps][..],
        (parts, _) => parts,
    };
    let has = |part| parts.contains(&part);
    if !has(Part::Steps) && (args.peer.is_some() || !args.cases.is_empty()) {
        bail!("--peer and --case are about whole steps: add `steps` to what is to be measured");
    }
    args.device.check()?;

    let single = Single {
        layers: has(Part::Layers),
        operations: has(Part::Operations),
        net: args.net,
        batch: args.batch,
    };
    // The backend ends with it: its threads and its memory are not the children's.
    let Found { device, roofs, layers, operations } = args.device.run(single)?;
    let steps = match has(Part::Steps) {
        true => {
            let cases = if args.cases.is_empty() { Case::defaults() } else { args.cases };
            let rounds = args.rounds.unwrap_or(if peer.is_some() { 5 } else { 1 });
            Some(steps::measure(&args.device, &cases, rounds, peer.as_ref())?)
        }
        false => None,
    };
    let report = Report { machine: Machine::this(), device, roofs, layers, operations, steps };
    print(&if args.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    Ok(())
}

/// Measure one whole step in this process: what `bench` starts, so that peak memory is the step's
#[derive(clap::Args)]
pub(crate) struct StepArgs {
    case: Case,

    #[command(flatten)]
    device: Device,
}

pub(crate) fn run_step(args: StepArgs) -> Result<()> {
    let measured = args.device.run(steps::Whole(args.case))?;
    print(&serde_json::to_string(&measured)?);
    Ok(())
}

/// Single layers and operations, and what limits them.
struct Single {
    layers: bool,
    operations: bool,
    net: Net,
    batch: usize,
}

struct Found {
    device: String,
    roofs: Roofs,
    layers: Option<Layers>,
    operations: Option<Operations>,
}

impl Job for Single {
    type Output = Found;

    fn run<B: Measurable>(self, mut backend: B) -> Result<Found> {
        let Self { layers, operations, net, batch } = self;
        let device = backend.describe();
        status("Device", &device);
        status("Measuring", "the machine's roofs");
        let roofs = backend.roofs(net == Net::Tiny)?;
        let layers = match layers {
            true => Some(layers::measure(&mut backend, &roofs, net, batch)?),
            false => None,
        };
        let operations = match operations {
            true => Some(operations::measure(&mut backend, &roofs, net, batch)?),
            false => None,
        };
        Ok(Found { device, roofs, layers, operations })
    }
}

#[expect(clippy::print_stdout, reason = "a report is what a bench is for")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
