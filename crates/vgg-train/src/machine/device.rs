//! Where it is computed: the one place that knows more than one backend.

use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::Result;
use vgg_cpu::{Cpu, Isa};
use vgg_cuda::Cuda;
use vgg_tensor::ranks::Peers;
use vgg_tensor::{Backend, Error};

use super::cache::tuning_file;
use crate::config::{Device, DeviceKind, Loaded, Precision};
use crate::failure::{Code, Failure};
use crate::terminal::ui::Ui;

/// Work that any backend can do.
pub(crate) trait Job {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<B: Backend>(self, backend: B) -> Result<Self::Output>;
}

/// Work that several ranks do together.
pub(crate) trait RanksJob {
    /// What comes of it.
    type Output;

    /// Does it, where `make` gives a rank its backend.
    fn run<B: Backend>(
        self,
        ranks: Vec<Arc<dyn Peers>>,
        make: impl Fn(Arc<dyn Peers>) -> Result<B> + Sync,
    ) -> Result<Self::Output>;
}

/// A device that is there.
#[derive(Debug)]
pub(crate) enum Choice {
    Cpu,
    /// The number of a GPU.
    Cuda(usize),
}

/// What the config asks for, if it is there. If it leaves the choice, the first GPU where all that it
/// takes is there, and otherwise the CPU, with the reason why it is no GPU.
///
/// # Errors
/// [`Error::Unavailable`] if what is asked for is not there: nothing falls back in silence.
pub(crate) fn choose(device: &Device) -> Result<(Choice, Option<Error>), Error> {
    let find = |ordinal| vgg_cuda::find(ordinal, device.precision.into());
    match device.kind {
        DeviceKind::Cpu => Ok((Choice::Cpu, None)),
        DeviceKind::Cuda(ordinal) => find(ordinal).map(|_| (Choice::Cuda(ordinal), None)),
        DeviceKind::Auto => Ok(match vgg_cuda::first(device.precision.into()) {
            Ok(first) => (Choice::Cuda(first.ordinal), None),
            Err(reason) => (Choice::Cpu, Some(reason)),
        }),
    }
}

/// Notes in a config what the device computes with, so that a run does not claim a precision that it
/// never had: a CPU has `f32`, and `bf16` where it has instructions for it. What shards come to is the
/// same for any number of ranks, and so in every run.
///
/// # Errors
/// As [`choose`].
pub(crate) fn note(loaded: &mut Loaded, ui: &Ui) -> Result<()> {
    let has_shards = loaded.config.train.shards > 1;
    let device = &mut loaded.config.device;
    let (choice, _) = choose(device)?;
    if matches!(choice, Choice::Cuda(_)) && has_shards && !device.deterministic {
        device.deterministic = true;
        loaded.noted.push("device.deterministic");
    }
    if let Choice::Cpu = choice {
        let asked = device.precision;
        device.precision = match cpu(device).precision {
            vgg_cpu::Precision::F32 => Precision::F32,
            vgg_cpu::Precision::Bf16 => Precision::Bf16,
        };
        match asked {
            Precision::F16 => ui.warn("f16 is for GPUs: the CPU computes in f32"),
            Precision::Bf16 if device.precision == Precision::F32 => {
                ui.warn("this CPU has no instructions for bf16 (AVX-512 BF16): it computes in f32");
            }
            Precision::F32 | Precision::Tf32 | Precision::Bf16 => {}
        }
        loaded.noted.push("device.precision");
    }
    Ok(())
}

/// How the CPU is set up.
pub(crate) fn cpu(device: &Device) -> vgg_cpu::Config {
    let threads = (device.threads > 0).then_some(device.threads);
    let bf16 = device.precision == Precision::Bf16 && Isa::best().has_bf16();
    let precision = if bf16 { vgg_cpu::Precision::Bf16 } else { vgg_cpu::Precision::F32 };
    vgg_cpu::Config { threads, isa: None, precision }
}

/// Does `job` on the device that the config asks for.
///
/// # Errors
/// As [`choose`]; those of the backend and of the job.
pub(crate) fn run<J: Job>(device: &Device, job: J) -> Result<J::Output> {
    let (choice, _) = choose(device)?;
    match choice {
        Choice::Cpu => job.run(Cpu::new(cpu(device))?),
        Choice::Cuda(ordinal) => {
            job.run(cuda(device, ordinal)?).map_err(|error| explain_memory(error, LESS_MEMORY))
        }
    }
}

/// Does `job` on ranks of this process: each on the GPU that has its number, or, without GPUs, on its share
/// of this process's threads. Others may be in other processes.
///
/// # Errors
/// Those of the backend and of the job.
pub(crate) fn run_on_ranks<J: RanksJob>(
    device: &Device,
    ranks: Vec<Arc<dyn Peers>>,
    gpus: Option<&[usize]>,
    job: J,
) -> Result<J::Output> {
    if let Some(gpus) = gpus {
        let make = |peers: Arc<dyn Peers>| Ok(cuda(device, gpus[peers.rank()])?.with_peers(peers));
        return job.run(ranks, make).map_err(|error| explain_memory(error, LESS_MEMORY));
    }
    let config = cpu(device);
    let threads = config.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let config = vgg_cpu::Config { threads: Some((threads / ranks.len()).max(1)), ..config };
    let make = |peers| Ok(Cpu::new(config)?.with_peers(peers));
    job.run(ranks, make)
}

/// The GPU of this number.
fn cuda(device: &Device, ordinal: usize) -> Result<Cuda> {
    let config = vgg_cuda::Config {
        device: ordinal,
        precision: device.precision.into(),
        deterministic: device.deterministic,
        autotune: device.autotune.then(tuning_file),
        unscaled: false,
    };
    Cuda::new(config).map_err(|error| {
        let help = "another program takes its memory: `nvidia-smi` says which";
        explain_memory(error.into(), help)
    })
}

/// What helps where a job has too little of a GPU's memory.
const LESS_MEMORY: &str = "a smaller batch needs less, as do other programs on the device";

/// Says what to do where memory ran out: workspaces, unlike buffers, are only known when they are
/// asked for.
fn explain_memory(error: anyhow::Error, help: &str) -> anyhow::Error {
    match error.downcast_ref::<Error>() {
        Some(Error::OutOfMemory { .. }) => error
            .context(Failure::new(Code::Memory, "the device's memory does not suffice").help(help)),
        _ => error,
    }
}

/// Why the device is not a GPU, where the config leaves the choice.
pub(crate) fn why_no_gpu(device: &Device) -> Option<String> {
    let reason = choose(device).ok()?.1?;
    let [driver, ..] = vgg_cuda::libraries();
    match reason {
        // Who has no driver has no GPU, and need not be told where to get one.
        Error::Unavailable { what, .. } if driver.version.is_none() => {
            Some(format!("no GPU: {what} is not available"))
        }
        other => Some(format!("no GPU: {other}")),
    }
}

/// Says which device it is and, where the config leaves the choice, why it is no GPU.
pub(crate) fn tell(device: &Device, backend: &impl Backend, ui: &Ui) {
    ui.status("Device", &backend.describe());
    if let Some(reason) = why_no_gpu(device) {
        ui.detail(&reason);
    }
}
