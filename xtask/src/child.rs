//! Other programs, which are killed if they take too long, with all that they have started.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often to look whether one has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if it was killed because its time was over.
    status: Option<ExitStatus>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) time: Duration,
}

impl Ended {
    /// Whether it ended as it should.
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, in words.
    pub(crate) fn how(&self) -> String {
        match self.status {
            Some(status) => status.to_string(),
            None => format!("killed after {:.0} s", self.time.as_secs_f64()),
        }
    }

    /// What it printed, if it ended as it should.
    ///
    /// # Errors
    /// How it ended otherwise, and what it said.
    pub(crate) fn checked(self, name: &str) -> Result<String> {
        if !self.is_success() {
            bail!("{name}: {}: {}", self.how(), self.stderr.trim());
        }
        Ok(self.stdout)
    }
}

/// Runs a program with `stdin` as its input until it ends, for `limit` at most.
///
/// # Errors
/// If it cannot be started. That it fails is not an error here.
pub(crate) fn run(command: &mut Command, stdin: &str, limit: Duration) -> Result<Ended> {
    // Files, unlike pipes, are never full.
    let file = || tempfile::tempfile().context("no temporary file");
    let (mut input, stdout, stderr) = (file()?, file()?, file()?);
    input.write_all(stdin.as_bytes()).and_then(|()| input.rewind()).context("a temporary file")?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::from(input))
        .stdout(stdout.try_clone().context("a temporary file")?)
        .stderr(stderr.try_clone().context("a temporary file")?)
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let status = loop {
        if let Some(status) = child.try_wait().context("a program was lost")? {
            break Some(status);
        }
        if start.elapsed() > limit {
            kill(&mut child);
            child.wait().context("a program was lost")?;
            break None;
        }
        std::thread::sleep(LOOK);
    };
    let time = start.elapsed();
    Ok(Ended { status, stdout: text(stdout)?, stderr: text(stderr)?, time })
}

/// Kills a program and those that it has started: a sanitizer's, say, would go on without it.
fn kill(child: &mut Child) {
    let others = descendants(child.id());
    // Each may have ended just now, which is no failure to kill it.
    let _ = child.kill();
    if !others.is_empty() {
        let _ = Command::new("kill").arg("-KILL").args(others.iter().map(u32::to_string)).output();
    }
}

/// The processes that a process has started, and those that these have, where the system tells.
fn descendants(of: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    // `PID (NAME) STATE PARENT …`, where the name may have anything in it.
    let parent = |id: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let parents: Vec<(u32, u32)> = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent(id)?)))
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let children = parents.iter().filter(|(_, parent)| *parent == found[next]);
        let children: Vec<u32> = children.map(|(id, _)| *id).collect();
        found.extend(children);
        next += 1;
    }
    found.split_off(1)
}

fn text(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).context("a temporary file")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Ended {
        run(&mut Command::new("sh"), script, limit).unwrap()
    }

    #[test]
    fn output_and_status_come_back() {
        let ended = sh("echo out; echo err >&2; exit 3", Duration::from_secs(600));
        assert_eq!((&*ended.stdout, &*ended.stderr), ("out\n", "err\n"));
        let error = ended.checked("it").unwrap_err().to_string();
        assert!(error.contains("status: 3") && error.contains("err"), "{error}");
        assert_eq!(sh("echo out", Duration::from_secs(600)).checked("it").unwrap(), "out\n");
    }

    #[test]
    fn what_takes_too_long_is_killed() {
        let ended = sh("exec sleep 6000", Duration::ZERO);
        assert!(!ended.is_success());
        assert!(ended.how().starts_with("killed after"), "{}", ended.how());
    }

    #[test]
    fn what_it_has_started_is_killed_with_it() {
        use std::io::BufRead as _;
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'sleep 6000 & echo $!; wait' & wait"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufReader::new(stdout).read_line(&mut line).unwrap();
        let sleep: u32 = line.trim().parse().unwrap();
        assert!(descendants(child.id()).contains(&sleep));
        kill(&mut child);
        child.wait().unwrap();
        // It is gone, or dead and waits for its parent to ask.
        let stat = || fs::read_to_string(format!("/proc/{sleep}/stat")).unwrap_or_default();
        while !stat().is_empty() && !stat().contains(") Z ") {
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = run(&mut Command::new("no/such/program"), "", Duration::ZERO).unwrap_err();
        assert!(format!("{error:#}").contains("no/such/program"), "{error:#}");
    }
}
