//! Where and what: the facts that a figure is worth nothing without.

use std::fs;
use std::process::Command;

use serde::Serialize;

use super::table::gib;
use crate::checkout;

/// The machine, the state of the code, and the command.
#[derive(Serialize)]
pub(super) struct Machine {
    /// The CPU's model, as the system names it.
    cpu: Option<String>,
    /// Threads that this process may use at once.
    cores: usize,
    /// Bytes of memory.
    memory_bytes: Option<u64>,
    /// The commit, with `-dirty` if the working tree differs from it.
    commit: Option<String>,
    /// `dev` or `release`.
    profile: &'static str,
    command: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let args = std::env::args().skip(1);
        Self {
            cpu: fs::read_to_string("/proc/cpuinfo")
                .ok()
                .and_then(|info| Some(field(&info, "model name")?.to_owned())),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|info| kibibytes(field(&info, "MemTotal")?)),
            commit: commit(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
            command: ["cargo xtask".to_owned()]
                .into_iter()
                .chain(args)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    /// One line.
    pub(super) fn describe(&self) -> String {
        let memory = self.memory_bytes.map(|bytes| format!(", {} RAM", gib(bytes)));
        format!(
            "{}, {} core{}{}; commit {}, {} build; {}",
            self.cpu.as_deref().unwrap_or("unknown CPU"),
            self.cores,
            if self.cores == 1 { "" } else { "s" },
            memory.unwrap_or_default(),
            self.commit.as_deref().unwrap_or("unknown"),
            self.profile,
            self.command,
        )
    }
}

/// The most memory that this process has had in use at once; only Linux tells.
pub(super) fn peak_memory_bytes() -> Option<u64> {
    kibibytes(field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM")?)
}

fn commit() -> Option<String> {
    // No tag is called `-`, so that the commit is always named by its hash.
    let describe = ["describe", "--always", "--dirty", "--abbrev=7", "--match=-"];
    let output =
        Command::new("git").arg("-C").arg(checkout::root()).args(describe).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !commit.is_empty()).then(|| commit.trim().to_owned())
}

/// The first value of `name` in lines of `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// Bytes of what the kernel writes as `1234 kB`.
fn kibibytes(text: &str) -> Option<u64> {
    Some(1024 * text.strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let status = "Name:\txtask\nVmHWM:\t    2048 kB\n";
        assert_eq!(field(status, "VmHWM").and_then(kibibytes), Some(2 << 20));
        assert_eq!(field(status, "VmPeak"), None);
        assert_eq!(kibibytes("many"), None);
    }
}
