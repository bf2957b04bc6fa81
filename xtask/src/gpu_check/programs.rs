//! The programs that the checks start.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use vgg_data::DATA_DIR_VARIABLE;

use super::report::Report;
use crate::{checkout, child, status};

/// For a first build of everything on a slow machine.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// For programs that only say something.
pub(super) const SHORT: Duration = Duration::from_secs(60);

/// The folder of the data sets in a pack.
pub(super) const DATA: &str = "data";

/// Where a pack says which commit it is of.
pub(super) const COMMIT: &str = "COMMIT";

/// The checkout, or what was packed of it.
pub(super) fn root() -> &'static Path {
    packed().unwrap_or_else(checkout::root)
}

/// The folder that this program was packed into, if it was.
fn packed() -> Option<&'static Path> {
    static PACKED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let program = env::current_exe().ok()?;
        let folder = program.parent()?.parent()?;
        folder.join(COMMIT).is_file().then(|| folder.to_owned())
    };
    PACKED.get_or_init(find).as_deref()
}

/// `vgg-train`, built.
pub(super) fn vgg_train() -> Result<PathBuf> {
    match packed() {
        Some(folder) => Ok(folder.join("bin/vgg-train")),
        None => build(&["build", "--package=vgg-train"]),
    }
}

/// The tests across the crates, built.
pub(super) fn tests() -> Result<PathBuf> {
    match packed() {
        Some(folder) => Ok(folder.join("bin/tests")),
        None => build(&["test", "--package=vgg-tests", "--test=it", "--no-run"]),
    }
}

/// `vgg-train` as it is to be started: with its configs, and the data where they are.
pub(super) fn in_root(command: &mut Command) {
    command.current_dir(root());
    if let Some(folder) = packed() {
        command.env(DATA_DIR_VARIABLE, folder.join(DATA));
    }
}

/// The commit that is checked out, or was packed.
pub(super) fn commit() -> Option<String> {
    if let Some(folder) = packed() {
        return std::fs::read_to_string(folder.join(COMMIT)).ok();
    }
    let mut git = Command::new("git");
    git.current_dir(root()).args(["describe", "--always", "--dirty", "--match=-"]);
    child::run(&mut git, "", SHORT).and_then(|git| git.checked("git")).ok()
}

/// Builds a program; returns where it is. It is started without Cargo, so that killing it ends it.
fn build(args: &[&str]) -> Result<PathBuf> {
    status("Building", args[1].trim_start_matches("--package="));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).args(["--locked", "--message-format=json"]).current_dir(root());
    let messages = child::run(&mut command, "", BUILD)?.checked("cargo")?;
    executable(&messages).with_context(|| format!("cargo {} built no program", args.join(" ")))
}

/// The last program that Cargo's messages, in JSON, are about.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| Some(message["executable"].as_str()?.into())).next_back()
}

/// The file of a program in `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// What the machine and its libraries are.
pub(super) fn describe(report: &mut Report) -> Result<()> {
    if let Some(commit) = commit() {
        report.text(format!("Commit {}.", commit.trim()));
    }
    if let Some(smi) = find("nvidia-smi") {
        let said = child::run(&mut Command::new(smi), "", SHORT)?.checked("nvidia-smi")?;
        report.output("nvidia-smi", &said);
    }
    let mut doctor = Command::new(vgg_train()?);
    doctor.arg("doctor");
    in_root(&mut doctor);
    let said = child::run(&mut doctor, "", SHORT)?;
    report.output("vgg-train doctor", &said.checked("vgg-train doctor")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_in_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\nnot JSON\n\
                        {\"executable\":\"/target/debug/it\"}\n{\"reason\":\"build-finished\"}\n";
        assert_eq!(executable(messages), Some("/target/debug/it".into()));
        assert_eq!(executable(""), None);
    }
}
