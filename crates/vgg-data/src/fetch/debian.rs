//! Debian's and Ubuntu's package of the data set, without installing it and without being root.
//!
//! apt works in a temporary folder with lists and a cache of its own, so that it neither needs the
//! system's (a fresh container has none) nor touches them. The system's list of servers, its keys
//! and its proxy settings apply.

use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(super) const PACKAGE: &str = "dataset-fashion-mnist";

/// How long apt may receive nothing: its own limit is for each of many files.
const SILENCE: Duration = Duration::from_secs(10);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Whether this system has what it takes.
pub(super) fn is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    is_there("apt-get") && is_there("dpkg-deb")
}

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
    run(apt_get(dir.path()).arg("update"), dir.path(), SILENCE)?;
    run(apt_get(dir.path()).args(["download", PACKAGE]), dir.path(), SILENCE)?;
    let package = std::fs::read_dir(dir.path())
        .map_err(|error| format!("temporary folder: {error}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or("apt-get has downloaded no package")?;
    let extract = ["--extract".as_ref(), package.as_path(), dir.path()];
    run(Command::new("dpkg-deb").args(extract), dir.path(), SILENCE)?;
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

/// Runs `command`, as long as there is ever more in the folder `dir` and its folders, or waits no
/// longer than `silence` for that. If it fails, the reason is the last error that it printed.
fn run(command: &mut Command, dir: &Path, silence: Duration) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let temporary = |error| format!("temporary file: {error}");
    let mut messages = tempfile::tempfile().map_err(temporary)?;
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(messages.try_clone().map_err(temporary)?)
        .spawn()
        .map_err(|error| format!("{name} cannot be run ({error})"))?;
    let (mut bytes, mut since) = (0, Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("{name}: {error}"))? {
            break status;
        }
        match bytes_below(dir) {
            now if now != bytes => (bytes, since) = (now, Instant::now()),
            _ if since.elapsed() > silence => {
                // What it started ends when it is gone.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} received nothing for {silence:?}"));
            }
            _ => {}
        }
        std::thread::sleep(LOOK.min(silence));
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    messages.rewind().and_then(|()| messages.read_to_end(&mut text)).map_err(temporary)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let last = lines.clone().find(|line| line.starts_with("E:")).or_else(|| lines.next());
    Err(format!("{name} failed: {}", last.unwrap_or("it gave no reason")))
}

/// The length of all files in a folder and its folders, as far as they can be seen.
fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        let result = run(Command::new("sh").args(["-c", script]), dir.path(), SILENCE);
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
    fn silence_is_not_borne_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let silence = Duration::from_millis(50);
        let reason = run(Command::new("sleep").arg("600"), dir.path(), silence).unwrap_err();
        assert_eq!(reason, "sleep received nothing for 50ms");
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), "12345").unwrap();
        assert!(bytes_below(dir.path()) >= 5, "what arrives is counted");
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut command = Command::new("no-such-program");
        let reason = run(&mut command, Path::new("."), SILENCE).unwrap_err();
        assert!(reason.starts_with("no-such-program cannot be run ("), "{reason}");
    }
}
