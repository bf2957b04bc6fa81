//! `cargo xtask build-kernels`: from `kernels/src/*.cu` to `kernels/ptx/*.ptx`. It needs Python 3
//! with pip, to install the compiler, but no GPU.

mod assemble;
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
    /// Only compare the result with the PTX in the checkout
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
    let ptx_folder = folder.join("ptx");
    if args.check { check(&ptx_folder, &compiled) } else { write(&ptx_folder, &compiled) }
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
        for resources in &usage.resources {
            print!("  {:>8}", resources.to_string());
        }
        println!();
    }
}

fn check(folder: &Path, compiled: &BTreeMap<String, String>) -> Result<()> {
    let committed = source::read_all(folder, "ptx")?;
    let names: BTreeSet<&String> = committed.keys().chain(compiled.keys()).collect();
    let differs = |name: &&str| committed.get(*name) != compiled.get(*name);
    let differing: Vec<&str> = names.into_iter().map(String::as_str).filter(differs).collect();
    if !differing.is_empty() {
        bail!(
            "PTX that is not what the sources compile to: {}; run `cargo xtask build-kernels` and \
             commit {}",
            differing.join(", "),
            folder.display()
        );
    }
    status("Checked", format_args!("{} modules: as committed", compiled.len()));
    Ok(())
}

fn write(folder: &Path, compiled: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for name in source::read_all(folder, "ptx")?.keys().filter(|name| !compiled.contains_key(*name))
    {
        let path = folder.join(name).with_extension("ptx");
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
        status("Removed", path.display());
    }
    for (name, ptx) in compiled {
        let path = folder.join(name).with_extension("ptx");
        fs::write(&path, ptx).with_context(|| path.display().to_string())?;
    }
    status("Wrote", format_args!("{} modules to {}", compiled.len(), folder.display()));
    Ok(())
}
