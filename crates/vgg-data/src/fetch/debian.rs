//! Debian's and Ubuntu's package of the data set, without installing it and without being root.
//!
//! apt works in a temporary folder with lists and a cache of its own, so that it neither needs the
//! system's (a fresh container has none) nor touches them. The system's list of servers, its keys
//! and its proxy settings apply.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(super) const PACKAGE: &str = "dataset-fashion-mnist";

/// Downloads the package and unpacks its files below a temporary folder.
///
/// # Errors
/// Why it failed, in a line.
pub(super) fn unpack() -> Result<TempDir, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(dir.path().join(folder))
            .map_err(|error| format!("temporary folder: {error}"))?;
    }
    run(apt_get(dir.path()).arg("update"))?;
    run(apt_get(dir.path()).args(["download", PACKAGE]))?;
    let package = std::fs::read_dir(dir.path())
        .map_err(|error| format!("temporary folder: {error}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or("apt-get has downloaded no package")?;
    run(Command::new("dpkg-deb").arg("--extract").args([package.as_path(), dir.path()]))?;
    Ok(dir)
}

fn apt_get(dir: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(dir);
    let options = [
        format!("Dir::State::Lists={}", dir.join("lists").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
        // apt would hand the download to a user who may not write here.
        "APT::Sandbox::User=".into(),
        "Debug::NoLocking=1".into(),
        "Acquire::Retries=1".into(),
        "Acquire::http::Timeout=10".into(),
        "Acquire::https::Timeout=10".into(),
    ];
    for option in options {
        command.args(["-o", &option]);
    }
    command
}

/// Runs `command`. If it fails, the reason is the last error that it printed.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name} cannot be run ({error})"))?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    let mut lines = messages.lines().rev().filter(|line| !line.trim().is_empty());
    let last = lines.clone().find(|line| line.starts_with("E:")).or_else(|| lines.next());
    Err(format!("{name} failed: {}", last.unwrap_or("it gave no reason")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: Result<(), &str>) {
        let result = run(Command::new("sh").args(["-c", script]));
        assert_eq!(result, expected.map_err(String::from));
    }

    #[test]
    fn the_reason_is_the_last_error() {
        check("echo W: odd >&2", Ok(()));
        check(
            "echo 'E: no such package' >&2; echo 'W: odd' >&2; exit 100",
            Err("sh failed: E: no such package"),
        );
        check("echo; echo 'bad archive' >&2; echo >&2; exit 2", Err("sh failed: bad archive"));
        check("exit 1", Err("sh failed: it gave no reason"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let reason = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(reason.starts_with("no-such-program cannot be run ("), "{reason}");
    }
}
