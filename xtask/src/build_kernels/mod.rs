//! `cargo xtask build-kernels`: from `kernels/src/*.cu` to `kernels/ptx/*.ptx` and
//! `kernels/src/signatures.rs`. It needs Python 3 with pip, to install the compiler, but no GPU.

mod assemble;
mod signatures;
mod source;
#[cfg(test)]
mod tests;
mod toolchain;
mod wheel;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use self::assemble::Usage;
use self::source::Sources;
use self::toolchain::Toolchain;
use crate::status;

/// Compile the CUDA kernels to PTX and assemble them for each kind of GPU
///
/// The pinned compiler is installed under `target`; no GPU and no CUDA toolkit is needed. A kernel
/// that needs more registers than a thread may have is an error.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare the result with what is in the checkout
    #[arg(long)]
    check: bool,
    /// Python 3 with pip
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    python: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let folder = source::kernels_folder();
    let sources = Sources::read(&folder.join("src"))?;
    let toolchain = Toolchain::install(&args.python)?;
    let compiled = toolchain.compile(&args.python, &sources)?;
    let usages = assemble::all(toolchain.ptxas(), &compiled)?;
    print_table(&usages);
    let spilling: Vec<_> =
        usages.iter().filter(|usage| usage.spills()).map(|usage| usage.kernel.as_str()).collect();
    ensure!(spilling.is_empty(), "registers are spilled by {}", spilling.join(", "));
    let mut made = BTreeMap::from([(signatures::path(&folder), signatures::file(&sources)?)]);
    let ptx = |(name, ptx): (String, String)| (ptx_folder(&folder).join(name + ".ptx"), ptx);
    made.extend(compiled.into_iter().map(ptx));
    if args.check { check(&folder, &made) } else { write(&folder, &made) }
}

fn ptx_folder(folder: &Path) -> PathBuf {
    folder.join("ptx")
}

/// Kernels by architectures: registers a thread, and the bytes it spills if it does.
#[expect(clippy::print_stdout, reason = "the result of the command")]
fn print_table(usages: &[Usage]) {
    let width = usages.iter().map(|usage| usage.kernel.len()).max().unwrap_or(0);
    print!("{:width$}", "registers");
    assemble::ARCHITECTURES.iter().for_each(|architecture| print!("  {architecture:>8}"));
    println!();
    for usage in usages {
        print!("{:width$}", usage.kernel);
        for resources in usage.resources {
            print!("  {:>8}", resources.map_or("-".into(), |resources| resources.to_string()));
        }
        println!();
    }
}

/// The files that are there of those that are made here.
fn committed(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let ptx = ptx_folder(folder);
    let names = source::read_all(&ptx, "ptx")?.into_keys();
    Ok(names.map(|name| ptx.join(name + ".ptx")).chain([signatures::path(folder)]).collect())
}

fn check(folder: &Path, made: &BTreeMap<PathBuf, String>) -> Result<()> {
    let mut paths = committed(folder)?;
    paths.extend(made.keys().cloned());
    let differs = |path: &&PathBuf| fs::read_to_string(path).ok().as_ref() != made.get(*path);
    let differing: Vec<String> =
        paths.iter().filter(differs).map(|path| path.display().to_string()).collect();
    if !differing.is_empty() {
        bail!(
            "not what is made of the sources: {}; run `cargo xtask build-kernels` and commit {}",
            differing.join(", "),
            folder.display()
        );
    }
    status("Checked", format_args!("{} files: as committed", made.len()));
    Ok(())
}

fn write(folder: &Path, made: &BTreeMap<PathBuf, String>) -> Result<()> {
    let ptx = ptx_folder(folder);
    fs::create_dir_all(&ptx).with_context(|| ptx.display().to_string())?;
    for path in committed(folder)?.iter().filter(|path| !made.contains_key(*path)) {
        fs::remove_file(path).with_context(|| path.display().to_string())?;
        status("Removed", path.display());
    }
    for (path, text) in made {
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    status("Wrote", format_args!("{} files to {}", made.len(), folder.display()));
    Ok(())
}
