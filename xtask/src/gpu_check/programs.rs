//! The programs that the checks start.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::Report;
use crate::{child, status};

/// For a first build of everything on a slow machine.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// For programs that only say something.
pub(super) const SHORT: Duration = Duration::from_secs(60);

/// The checkout.
pub(super) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// `vgg-train`, built.
pub(super) fn vgg_train() -> Result<PathBuf> {
    build(&["build", "--package=vgg-train"])
}

/// The tests across the crates, built.
pub(super) fn tests() -> Result<PathBuf> {
    build(&["test", "--package=vgg-tests", "--test=it", "--no-run"])
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
    let mut git = Command::new("git");
    git.current_dir(root()).args(["describe", "--always", "--dirty", "--match=-"]);
    if let Ok(commit) = child::run(&mut git, "", SHORT).and_then(|git| git.checked("git")) {
        report.text(format!("Commit {}.", commit.trim()));
    }
    if let Some(smi) = find("nvidia-smi") {
        let said = child::run(&mut Command::new(smi), "", SHORT)?.checked("nvidia-smi")?;
        report.output("nvidia-smi", &said);
    }
    let mut doctor = Command::new(vgg_train()?);
    let said = child::run(doctor.arg("doctor").current_dir(root()), "", SHORT)?;
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
