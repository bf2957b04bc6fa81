//! What each architecture makes of a kernel, by the word of `ptxas`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::status;

/// Turing, A100, other Ampere, Ada, Hopper, and both Blackwells.
pub(super) const ARCHITECTURES: [&str; 7] =
    ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"];

/// What a thread of a kernel takes on one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Resources {
    pub(super) registers: u32,
    /// Stored to and loaded from memory for want of registers.
    pub(super) spilled_bytes: u32,
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spilled_bytes {
            0 => write!(f, "{}", self.registers),
            spilled => write!(f, "{}+{spilled}B", self.registers),
        }
    }
}

/// A kernel on all architectures, in their order; nothing on those that are too old for it.
pub(super) struct Usage {
    pub(super) kernel: String,
    pub(super) resources: [Option<Resources>; ARCHITECTURES.len()],
}

impl Usage {
    pub(super) fn spills(&self) -> bool {
        self.resources.iter().flatten().any(|resources| resources.spilled_bytes > 0)
    }
}

/// Whether an architecture has what a module takes.
fn able(architecture: &str, module: &str) -> bool {
    let (major, minor) = vgg_kernels::capability(module);
    let number = architecture.strip_prefix("sm_").and_then(|digits| digits.parse().ok());
    number.is_some_and(|number: i32| number >= 10 * major + minor)
}

/// The kernels of all modules, assembled for all architectures, a module a thread.
pub(super) fn all(ptxas: &Path, modules: &BTreeMap<String, String>) -> Result<Vec<Usage>> {
    status("Assembling", format_args!("for {}", ARCHITECTURES.join(", ")));
    let queue = Mutex::new(modules.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || -> Result<BTreeMap<&str, Vec<Usage>>> {
        std::iter::from_fn(next)
            .map(|(name, ptx)| Ok((name.as_str(), module(ptxas, name, ptx)?)))
            .collect()
    };
    let assembled = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        results.collect::<Result<Vec<_>>>()
    })?;
    let by_name: BTreeMap<&str, Vec<Usage>> = assembled.into_iter().flatten().collect();
    Ok(by_name.into_values().flatten().collect())
}

/// The kernels of one module.
fn module(ptxas: &Path, name: &str, ptx: &str) -> Result<Vec<Usage>> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let path = folder.path().join(name).with_extension("ptx");
    fs::write(&path, ptx).with_context(|| path.display().to_string())?;
    let mut usages: Vec<Usage> = Vec::new();
    let able = ARCHITECTURES.map(|architecture| able(architecture, name));
    for (index, architecture) in ARCHITECTURES.into_iter().enumerate().filter(|(i, _)| able[*i]) {
        let output = Command::new(ptxas)
            .args(["--verbose", "--gpu-name", architecture, "--output-file"])
            .arg(folder.path().join("cubin"))
            .arg(&path)
            .output()
            .with_context(|| format!("cannot run {}", ptxas.display()))?;
        let report = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} for {architecture}: {}", report.trim());
        for (kernel, resources) in parse(&report)? {
            let place = usages.iter().position(|usage| usage.kernel == kernel);
            let place = place.unwrap_or_else(|| {
                usages.push(Usage { kernel, resources: Default::default() });
                usages.len() - 1
            });
            usages[place].resources[index] = Some(resources);
        }
    }
    let complete = |usage: &Usage| usage.resources.map(|resources| resources.is_some()) == able;
    ensure!(usages.iter().all(complete), "ptxas did not report on all kernels of {name}");
    usages.sort_by(|a, b| a.kernel.cmp(&b.kernel));
    Ok(usages)
}

/// Kernels and their resources from the messages of `ptxas --verbose`.
pub(super) fn parse(report: &str) -> Result<Vec<(String, Resources)>> {
    let number_before = |line: &str, unit: &str| -> Option<u32> {
        line.split_once(unit)?.0.trim_end().rsplit(' ').next()?.parse().ok()
    };
    let mut kernels = Vec::new();
    let mut spilled_bytes = 0;
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or(rest);
            kernels.push((name.to_owned(), Resources::default()));
        } else if let Some(stores) = number_before(line, " bytes spill stores") {
            let loads = number_before(line, " bytes spill loads").context(line.to_owned())?;
            spilled_bytes = stores + loads;
        } else if let Some(registers) = number_before(line, " registers") {
            let (_, resources) = kernels.last_mut().context("registers of no kernel")?;
            *resources = Resources { registers, spilled_bytes };
        }
    }
    ensure!(
        !kernels.is_empty() && kernels.iter().all(|(_, resources)| resources.registers > 0),
        "ptxas reported no registers: {report}"
    );
    Ok(kernels)
}
