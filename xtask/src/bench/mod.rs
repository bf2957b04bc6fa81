//! `cargo xtask bench`: how fast it is, next to what the machine could do and to other programs.

mod buffers;
mod case;
mod layers;
mod machine;
mod operations;
mod peers;
mod report;
mod statistics;
mod steps;
mod table;

use std::path::PathBuf;

use anyhow::{Result, bail};
use vgg_cpu::{Config, Cpu, Isa, roofline};
use vgg_tensor::Backend;

use crate::status;
use case::{Case, Net};
use machine::Machine;
use peers::Python;
use report::{Report, Roofs};

/// Measure speed and peak memory, and compare them with the machine's limits or with other programs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure [default: everything; with --peer: steps]
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// The network of layers and operations: VGG-11 on 1×224×224 with a quarter of the channels, or
    /// with all of them
    #[arg(long, value_enum, default_value_t = Net::Small)]
    net: Net,

    /// Images at once, of layers and operations
    #[arg(long, value_name = "N", default_value = "128", value_parser = at_least_1)]
    batch: usize,

    /// A whole step, as PASS-NET-BATCH; may be repeated.
    /// PASS is train, infer or infer-f16, NET small or full [default: train-small-128,
    /// train-full-32, infer-small-32, infer-small-1, infer-f16-small-1]
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,

    /// Times each whole step is measured, each time in a new process [default: 1; with --peer: 5]
    #[arg(long, value_name = "N", value_parser = at_least_1)]
    rounds: Option<usize>,

    /// Python that has PyTorch and ONNX Runtime: whole steps alternate with theirs
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,

    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: Device,
}

/// What all measurements run on.
#[derive(Clone, Copy, clap::Args)]
struct Device {
    /// Threads [default: as many as the process may use at once]
    #[arg(long, value_name = "N", env = "VGG_THREADS", value_parser = at_least_1)]
    threads: Option<usize>,

    /// Instruction set, by the beginning of its name, as avx2 [default: the CPU's best]
    #[arg(long, value_parser = parse_isa)]
    isa: Option<Isa>,
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
    let parts = match (&args.parts[..], &args.peer) {
        ([], None) => &[Part::Layers, Part::Operations, Part::Steps],
        ([], Some(_)) => &[Part::Steps][..],
        (parts, _) => parts,
    };
    let has = |part| parts.contains(&part);
    if !has(Part::Steps) && (args.peer.is_some() || !args.cases.is_empty()) {
        bail!("--peer and --case are about whole steps: add `steps` to what is to be measured");
    }
    let peer = args.peer.as_deref().map(Python::find).transpose()?;

    let mut cpu = args.device.cpu()?;
    status("Device", cpu.describe());
    status("Measuring", "the machine's roofs");
    let roofs = Roofs {
        fma_gflop_per_s: roofline::fma_peak(&cpu),
        copy_gb_per_s: roofline::copy_bandwidth(&cpu)?,
    };
    let layers = match has(Part::Layers) {
        true => Some(layers::measure(&mut cpu, &roofs, args.net, args.batch)?),
        false => None,
    };
    let operations = match has(Part::Operations) {
        true => Some(operations::measure(&mut cpu, &roofs, args.net, args.batch)?),
        false => None,
    };
    let device = cpu.describe();
    drop(cpu); // its threads and workspaces are not the children's
    let steps = match has(Part::Steps) {
        true => {
            let cases = if args.cases.is_empty() { Case::defaults() } else { args.cases };
            let rounds = args.rounds.unwrap_or(if peer.is_some() { 5 } else { 1 });
            Some(steps::measure(args.device, &cases, rounds, peer.as_ref())?)
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
    let measured = steps::measure_here(args.device.cpu()?, args.case)?;
    print(&serde_json::to_string(&measured)?);
    Ok(())
}

impl Device {
    fn cpu(self) -> Result<Cpu> {
        Ok(Cpu::new(Config { threads: self.threads, isa: self.isa })?)
    }

    /// The options that make a process of ours run on the same.
    fn args(self) -> Vec<String> {
        let threads = self.threads.map(|threads| format!("--threads={threads}"));
        let isa = self.isa.map(|isa| format!("--isa={isa}"));
        threads.into_iter().chain(isa).collect()
    }

    /// Threads to give to another program.
    fn threads(self) -> usize {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(available)
    }
}

fn at_least_1(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number and at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn parse_isa(text: &str) -> Result<Isa, String> {
    let available = Isa::available();
    let named = |isa: &&Isa| isa.to_string().to_lowercase().starts_with(&text.to_lowercase());
    available.iter().find(named).copied().ok_or_else(|| {
        let names: Vec<String> = available.iter().map(Isa::to_string).collect();
        format!("this CPU has {}", names.join(", "))
    })
}

#[expect(clippy::print_stdout, reason = "a report is what a bench is for")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
