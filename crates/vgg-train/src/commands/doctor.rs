//! `doctor`: what this machine has, and what is missing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use vgg_cpu::Cpu;
use vgg_cuda::{Device, Precision};
use vgg_data::fashion_mnist::{self, Split};
use vgg_tensor::{Backend as _, Error};

use crate::config::{self, DeviceKind, Override};
use crate::data;
use crate::machine::device::{self, Choice};
use crate::machine::{free, host};
use crate::terminal::numbers::bytes;
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::version::VERSION;

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    cpu: Processor,
    /// Bytes that are free.
    memory: Option<u64>,
    libraries: Vec<Library>,
    gpus: Vec<Gpu>,
    /// Why there is none.
    no_gpu: Option<String>,
    auto: Auto,
    data: Folder,
    runs: Folder,
}

#[derive(Serialize)]
struct Processor {
    model: Option<String>,
    /// Of the features that matter here, those it has.
    features: Vec<&'static str>,
    /// What the backend makes of it.
    backend: String,
}

#[derive(Serialize)]
struct Library {
    name: &'static str,
    file: String,
    version: Option<String>,
    /// The version of CUDA that it is of.
    cuda: Option<i32>,
    path: Option<PathBuf>,
    /// Of the same name, but only to link programs with.
    stubs: Vec<PathBuf>,
    /// What to do, if it cannot be used.
    install: Option<String>,
}

#[derive(Serialize)]
struct Gpu {
    device: String,
    name: String,
    capability: String,
    processors: usize,
    memory: u64,
    free_memory: Option<u64>,
    /// Precisions that it can compute at.
    precisions: Vec<&'static str>,
}

/// What `--device auto` chooses.
#[derive(Serialize)]
struct Auto {
    device: String,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Folder {
    path: PathBuf,
    state: String,
    /// Bytes that are free there.
    free: Option<u64>,
}

/// Prints it.
pub(crate) fn command(overrides: Vec<Override>, runs: &Path, json: bool) -> Result<()> {
    let report = Report::make(&overrides, runs)?;
    if json {
        return print::json(&serde_json::to_value(&report)?);
    }
    print::lines(report.lines())
}

impl Report {
    fn make(overrides: &[Override], runs: &Path) -> Result<Self> {
        let device = config::device(overrides)?;
        let backend = Cpu::new(device::cpu(&device))?.describe();
        let libraries = vgg_cuda::libraries();
        let driver = libraries[0].check();
        let (gpus, no_gpu): (Vec<Gpu>, _) = match driver.and_then(|()| vgg_cuda::devices()) {
            Ok(devices) => (devices.iter().map(Gpu::new).collect(), None),
            Err(error) => (Vec::new(), Some(format!("{:#}", anyhow::Error::from(error)))),
        };
        Ok(Self {
            version: VERSION,
            cpu: Processor { model: host::processor(), features: features(), backend },
            memory: free::bytes(),
            // One GPU has nobody to exchange gradients with.
            libraries: (libraries.into_iter())
                .chain((gpus.len() > 1).then(|| vgg_cuda::nccl().clone()))
                .map(Library::of)
                .collect(),
            gpus,
            no_gpu,
            auto: Auto::new(device)?,
            data: images(overrides),
            runs: Folder {
                path: runs.to_owned(),
                state: writable(runs),
                free: host::space(existing(runs)),
            },
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut table = Table::bare(2);
        let mut say = |what: &str, text: String| table.row([what.into(), text]);
        say("processor", self.cpu.model.clone().unwrap_or_else(|| "unknown".into()));
        say("", self.cpu.backend.clone());
        if !self.cpu.features.is_empty() {
            say("", self.cpu.features.join(", "));
        }
        say("memory", self.memory.map_or("unknown".into(), |free| bytes(free) + " free"));
        for (i, library) in self.libraries.iter().enumerate() {
            let first = if i == 0 { "CUDA" } else { "" };
            say(first, format!("{} ({}): {}", library.name, library.file, library.state()));
            for stub in &library.stubs {
                say("", format!("  passed over: {}, a stub to link programs with", stub.display()));
            }
            if let Some(install) = &library.install {
                say("", format!("  {install}"));
            }
        }
        for gpu in &self.gpus {
            let precisions = match gpu.precisions.join(", ") {
                none if none.is_empty() => "too old".into(),
                some => some,
            };
            let Gpu { device, name, capability, processors, memory, free_memory, .. } = gpu;
            say("GPU", format!("{device}: {name}, compute capability {capability}; {precisions}"));
            let free = match free_memory {
                Some(free) => format!("{} of", bytes(*free)),
                None => "it does not tell how much of".into(),
            };
            let memory = bytes(*memory);
            say("", format!("{processors} multiprocessors, {free} {memory} free"));
        }
        if let Some(reason) = &self.no_gpu {
            say("GPU", format!("none: {reason}"));
        }
        let reason = self.auto.reason.as_ref().map(|reason| format!(" ({reason})"));
        let reason = reason.unwrap_or_default();
        say("device", format!("--device auto is {}{reason}", self.auto.device));
        for (what, folder) in [("data", &self.data), ("runs", &self.runs)] {
            let free = folder.free.map(|free| format!(", {} free", bytes(free)));
            let (path, state) = (folder.path.display(), &folder.state);
            say(what, format!("{path}: {state}{}", free.unwrap_or_default()));
        }
        [vec![format!("vgg-train {}", self.version)], table.lines()].concat()
    }
}

impl Library {
    fn of(library: vgg_cuda::Library) -> Self {
        Self {
            name: library.name,
            file: library.file,
            version: library.version,
            cuda: library.cuda,
            path: library.path,
            stubs: library.stubs,
            install: library.problem.map(|problem| problem.hint),
        }
    }

    /// Its version and its file, or that there is none.
    fn state(&self) -> String {
        let version = match (&self.version, self.cuda) {
            (None, _) if self.path.is_some() => "not the library it should be".to_owned(),
            (None, _) => "missing".to_owned(),
            // The driver's version, and cuBLAS's, are CUDA's.
            (Some(version), Some(cuda))
                if !version.trim_start_matches("CUDA ").starts_with(&format!("{cuda}.")) =>
            {
                format!("{version} for CUDA {cuda}")
            }
            (Some(version), _) => version.clone(),
        };
        match &self.path {
            Some(path) => format!("{version}, {}", path.display()),
            None => version,
        }
    }
}

impl Gpu {
    fn new(device: &Device) -> Self {
        let all = [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::F16];
        let usable = all.into_iter().filter(|precision| device.check(*precision).is_ok());
        let (major, minor) = device.capability;
        Self {
            device: format!("cuda:{}", device.ordinal),
            name: device.name.clone(),
            capability: format!("{major}.{minor}"),
            processors: device.processors,
            memory: device.memory,
            free_memory: device.free_memory().ok(),
            precisions: usable.map(Precision::name).collect(),
        }
    }
}

impl Auto {
    fn new(device: config::Device) -> Result<Self> {
        let device = config::Device { kind: DeviceKind::Auto, ..device };
        let name = match device::choose(&device)?.0 {
            Choice::Cpu => "cpu".into(),
            Choice::Cuda(ordinal) => format!("cuda:{ordinal}"),
        };
        Ok(Self { device: name, reason: device::why_no_gpu(&device) })
    }
}

/// What the kernels look for in a processor.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let has = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(target_arch = "aarch64")]
    let has = [("neon", std::arch::is_aarch64_feature_detected!("neon"))];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has: [(&str, bool); 0] = [];
    has.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// Fashion-MNIST.
fn images(overrides: &[Override]) -> Folder {
    let named = overrides.iter().rev().find(|set| set.key == "data.dir");
    let named = named.and_then(|set| set.value.as_str()).map(PathBuf::from);
    let path = data::fashion::folder(&config::Data { dir: named, ..Default::default() });
    let load = |split| fashion_mnist::load(&path, split);
    let state = match (load(Split::Train), load(Split::Test)) {
        (Ok(train), Ok(test)) => {
            format!("Fashion-MNIST, {} and {} images, verified", train.len(), test.len())
        }
        (Err(Error::Io { source, .. }), _) | (_, Err(Error::Io { source, .. }))
            if source.kind() == ErrorKind::NotFound =>
        {
            "not there; `vgg-train CONFIG` and `cargo xtask fetch-data` fetch it".into()
        }
        (Err(error), _) | (_, Err(error)) => error.to_string(),
    };
    let free = host::space(existing(&path));
    Folder { path, state, free }
}

/// Whether runs can be written.
fn writable(runs: &Path) -> String {
    let existing = existing(runs);
    match tempfile::tempfile_in(existing) {
        Ok(_) if existing == runs => "writable".into(),
        Ok(_) => "not there, can be made".into(),
        Err(error) => format!("cannot be written: {error}"),
    }
}

/// The folder, or the one that is there and would hold it.
fn existing(path: &Path) -> &Path {
    let parents = path.ancestors().map(|path| match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    });
    parents.into_iter().find(|path| path.is_dir()).unwrap_or(Path::new("."))
}
