//! The compiler: NVRTC and `ptxas` from NVIDIA's Python wheels, in a folder of their own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::source::{self, Sources};
use super::wheel::{NVCC, NVRTC};
use crate::{checkout, status};

/// Loading NVRTC takes a foreign-function interface, and installing it a Python: with Python's own
/// interface, this program needs neither `unsafe` nor a dependency for it.
const SCRIPT: &str = include_str!("nvrtc.py");

/// An installed compiler.
pub(super) struct Toolchain {
    nvrtc: PathBuf,
    ptxas: PathBuf,
}

impl Toolchain {
    /// Installs it unless that has been done before.
    pub(super) fn install(python: &Path) -> Result<Self> {
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64")),
            "kernels are compiled on Linux on x86-64 alone: the pinned compiler is for it"
        );
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => PathBuf::from(target),
            None => checkout::root().join("target"),
        };
        let parent = target.join("cuda-toolchain");
        // Another version is another folder.
        let folder = parent.join(format!("{}-{}", NVRTC.version, NVCC.version));
        if !folder.exists() {
            status("Installing", format_args!("{NVRTC} and {NVCC} to {}", folder.display()));
            fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
            // Renamed at last, so that what exists is complete.
            let unfinished = tempfile::tempdir_in(&parent).context("no temporary folder")?;
            install_wheels(python, &unfinished)?;
            fs::rename(unfinished.path().join("wheels"), &folder)
                .with_context(|| folder.display().to_string())?;
        }
        let nvrtc = folder.join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        let ptxas = folder.join("nvidia/cuda_nvcc/bin/ptxas");
        for path in [&nvrtc, &ptxas] {
            ensure!(
                path.exists(),
                "{} is missing; remove {} to install it again",
                path.display(),
                folder.display()
            );
        }
        Ok(Self { nvrtc, ptxas })
    }

    /// The assembler.
    pub(super) fn ptxas(&self) -> &Path {
        &self.ptxas
    }

    /// The PTX of each module.
    pub(super) fn compile(
        &self,
        python: &Path,
        sources: &Sources,
    ) -> Result<BTreeMap<String, String>> {
        status("Compiling", format_args!("{} modules with {NVRTC}", sources.modules.len()));
        // NVRTC's messages name the file.
        let file = |(name, text): (&String, &String)| {
            (format!("{name}.cu"), json!({"text": text, "options": source::options(name)}))
        };
        let files: BTreeMap<String, Value> = sources.modules.iter().map(file).collect();
        let request = json!({
            "library": self.nvrtc,
            "headers": sources.headers,
            "sources": files,
        });
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", python.display()))?;
        // It reads everything before it writes anything.
        let mut stdin = child.stdin.take().context("the script has an input")?;
        stdin.write_all(request.to_string().as_bytes()).context("the compiler script stopped")?;
        drop(stdin);
        let output = child.wait_with_output().context("the compiler script stopped")?;
        ensure!(output.status.success(), "the kernels do not compile");
        let compiled: BTreeMap<String, String> =
            serde_json::from_slice(&output.stdout).context("what the compiler script wrote")?;
        sources
            .modules
            .keys()
            .map(|name| {
                let ptx = compiled.get(&format!("{name}.cu")).context("a module is missing")?;
                Ok((name.clone(), sources.first_lines(name) + ptx))
            })
            .collect()
    }
}

/// Installs into the folder `wheels` in `folder`.
fn install_wheels(python: &Path, folder: &TempDir) -> Result<()> {
    let requirements = folder.path().join("requirements.txt");
    let lines = [NVRTC, NVCC].map(|wheel| format!("{wheel} --hash=sha256:{}\n", wheel.sha256));
    fs::write(&requirements, lines.concat()).context("a list of what to install")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--require-hashes", "--target"])
        .arg(folder.path().join("wheels"))
        .arg("--requirement")
        .arg(requirements)
        .env("PIP_ROOT_USER_ACTION", "ignore");
    let hint = "Python 3 with pip is needed (Debian and Ubuntu: apt install python3-pip), \
                --python names another interpreter";
    match pip.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{} -m pip ended with {status}; {hint}", python.display()),
        Err(error) => bail!("cannot run {}: {error}; {hint}", python.display()),
    }
}
