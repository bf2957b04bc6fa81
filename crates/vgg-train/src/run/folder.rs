//! The folder of a run: `runs/NAME-N`, made once, never overwritten, used by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use vgg_tensor::new_file;

use super::new_folder::make_folder;
use crate::config::{
    self, CHECKPOINTS, CONFIG, Loaded, Override, is_run, nearest, pretrained_names,
};
use crate::failure::{Code, Failure};
use crate::terminal::shell;

/// A run's folder, locked for as long as this value lives.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// The lock goes with the process, however it ends.
    _lock: File,
}

/// Where the runs are, if it is not said.
pub(crate) const RUNS: &str = "runs";
pub(crate) const LOG: &str = "log.txt";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const METRICS_CSV: &str = "metrics.csv";
pub(crate) const CURVES: &str = "curves.svg";
pub(crate) const CONFUSION: &str = "confusion.csv";
pub(crate) const CONFUSION_SVG: &str = "confusion.svg";
pub(crate) const PREDICTIONS: &str = "predictions.safetensors";
pub(crate) const REPORT: &str = "report.html";
pub(crate) const MISTAKES: &str = "mistakes.png";
pub(crate) const TENSORBOARD: &str = "tensorboard";
pub(super) const LOCK: &str = ".lock";
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The log of a rank that is a process of its own, but for the first one, whose is [`LOG`].
pub(crate) fn log_of_rank(rank: usize) -> String {
    format!("log.rank{rank}.txt")
}

impl RunDir {
    /// Makes `parent/NAME-N` with the lowest N above those there.
    pub(crate) fn create(parent: &Path, name: &str) -> Result<Self> {
        make_folder(parent)?;
        let mut number = last_number(parent, name)? + 1;
        loop {
            let path = parent.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                // Another process took this number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                result => return Self::made(path, result),
            }
        }
    }

    /// Makes the folder `path`.
    ///
    /// # Errors
    /// If it is there already.
    pub(crate) fn create_at(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            make_folder(parent)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let message = format!("{} is there already", path.display());
                Err(Failure::new(Code::Usage, message).help("a run is never overwritten").into())
            }
            result => Self::made(path.into(), result),
        }
    }

    fn made(path: PathBuf, result: io::Result<()>) -> Result<Self> {
        result.with_context(|| cannot("make the run folder", &path))?;
        let checkpoints = path.join(CHECKPOINTS);
        make_folder(&checkpoints)?;
        Self::lock(path)
    }

    /// An existing run's folder.
    ///
    /// # Errors
    /// If there is no run, or another process trains in it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        require_run(path)?;
        let run = Self::lock(path.into())?;
        // It may be gone.
        let checkpoints = run.file(CHECKPOINTS);
        make_folder(&checkpoints)?;
        Ok(run)
    }

    fn lock(path: PathBuf) -> Result<Self> {
        let file = path.join(LOCK);
        let lock = File::create(&file).with_context(|| cannot("write", &file))?;
        // A process that was just killed may need a moment to be gone.
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    std::thread::sleep(LOCK_PATIENCE / 20);
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!("another process is training in {}", path.display());
                    let failure = Failure::new(Code::Other, message);
                    return Err(failure.help("wait for it, or stop it first").into());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| cannot("lock", &file));
                }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn checkpoint(&self, which: Which) -> PathBuf {
        checkpoint_path(&self.path, which)
    }

    /// Writes a whole file; a reader sees the old contents or the new ones, nothing between, even
    /// after a power failure. What this returns from is on the disk.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        let path = self.file(name);
        new_file::replace(&path, |out| out.write_all(contents.as_ref()))
            .with_context(|| cannot("write", &path))
    }
}

/// Whether a run keeps the file `path`, or would if it were there.
pub(crate) fn is_own_file(path: &Path) -> bool {
    const OWN: [&str; 11] = [
        CONFIG,
        LOG,
        METRICS,
        METRICS_CSV,
        CURVES,
        CONFUSION,
        CONFUSION_SVG,
        PREDICTIONS,
        REPORT,
        MISTAKES,
        LOCK,
    ];
    let is_run = |folder: &Path| is_run(folder) && folder.join(CHECKPOINTS).is_dir();
    let Some(folder) = path.parent() else { return false };
    let is_within = |name: &str, mut folders: std::path::Ancestors<'_>| {
        folders.any(|it| it.ends_with(name) && it.parent().is_some_and(is_run))
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rank = name.strip_prefix("log.rank").and_then(|name| name.strip_suffix(".txt"));
    is_within(CHECKPOINTS, folder.ancestors())
        || (rank.is_some_and(|rank| rank.parse::<usize>().is_ok()) && is_run(folder))
        || is_within(TENSORBOARD, folder.ancestors())
        || (OWN.iter().any(|name| path.ends_with(name)) && is_run(folder))
}

/// Fails if `path` is not the folder of a run.
pub(crate) fn require_run(path: &Path) -> Result<()> {
    if is_run(path) {
        return Ok(());
    }
    let name = path.display();
    let looks = || "a run's folder looks like runs/vgg11_small-1".to_owned();
    let run_of_checkpoint = path.parent().and_then(Path::parent).filter(|run| is_run(run));
    let (message, help) = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => (
            format!("{name} is not the folder of a run: it has no {CONFIG}"),
            match runs_in(path)[..] {
                [] => looks(),
                [ref run] => format!("it has the run {run}"),
                [ref run, .., ref last] => format!("it has runs from {run} to {last}"),
            },
        ),
        Ok(_) => (
            format!("{name} is a file, not the folder of a run"),
            match run_of_checkpoint {
                Some(run) => format!("its run is {}", run.display()),
                None if path.extension().is_some_and(|ending| ending == "toml") => {
                    let config = shell::word(path);
                    format!("`vgg-train {config}` trains a new run of this config")
                }
                None => looks(),
            },
        ),
        Err(error) if path.is_symlink() => {
            (format!("{name} is a link that leads nowhere: {error}"), looks())
        }
        Err(_) => {
            let beside = path.parent().map(runs_in).unwrap_or_default();
            let usual = runs_in(Path::new("runs"));
            let given = path.to_string_lossy();
            let below_usual = format!("runs/{given}");
            let known: Vec<String> = pretrained_names().collect();
            let all = || beside.iter().chain(&usual).chain(&known).map(|run| &**run);
            let near = nearest(&given, all()).or_else(|| nearest(&below_usual, all()));
            let help = near.map_or_else(looks, |run| format!("did you mean `{run}`?"));
            (format!("there is no run {name}"), help)
        }
    };
    Err(Failure::new(Code::Usage, message).help(help).into())
}

/// The config of the run in `path`.
///
/// # Errors
/// As [`require_run`] and [`config::load`].
pub(crate) fn config_of(path: &Path, overrides: Vec<Override>) -> Result<Loaded> {
    require_run(path)?;
    config::of(path, overrides)
}

/// The runs in a folder, by path, sorted.
fn runs_in(folder: &Path) -> Vec<String> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(listed).into_iter().flatten().flatten();
    let runs = entries.map(|entry| folder.join(entry.file_name())).filter(|path| is_run(path));
    let mut runs: Vec<_> = runs.map(|path| path.to_string_lossy().into_owned()).collect();
    runs.sort();
    runs
}

/// A checkpoint that every run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    Best,
    Last,
}

/// Where the run in `path` keeps a checkpoint.
pub(crate) fn checkpoint_path(path: &Path, which: Which) -> PathBuf {
    path.join(CHECKPOINTS).join(match which {
        Which::Best => "best.safetensors",
        Which::Last => "last.safetensors",
    })
}

fn last_number(parent: &Path, name: &str) -> Result<u64> {
    let mut last = 0;
    for entry in fs::read_dir(parent).with_context(|| cannot("read", parent))? {
        let entry = entry.with_context(|| cannot("read", parent))?.file_name();
        let number = entry.to_str().and_then(|entry| entry.strip_prefix(name)?.strip_prefix('-'));
        // A number that is the last of all is somebody's own name.
        if let Some(number) =
            number.and_then(|number| number.parse().ok()).filter(|n| *n < u64::MAX)
        {
            last = last.max(number);
        }
    }
    Ok(last)
}

pub(super) fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_and_never_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let create = |name| {
            let run = RunDir::create(&parent.path().join("runs"), name).unwrap();
            run.path().file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(create("a"), "a-1");
        assert_eq!(create("a"), "a-2");
        assert_eq!(create("b"), "b-1");
        fs::create_dir(parent.path().join("runs/a-10")).unwrap();
        fs::create_dir(parent.path().join("runs/a-x")).unwrap();
        assert_eq!(create("a"), "a-11");
        fs::create_dir(parent.path().join(format!("runs/a-{}", u64::MAX))).unwrap();
        assert_eq!(create("a"), "a-12");
        let path = parent.path().join("new/run");
        RunDir::create_at(&path).unwrap();
        let error = RunDir::create_at(&path).unwrap_err().to_string();
        assert!(error.ends_with("/new/run is there already"), "{error}");
    }

    #[test]
    fn one_process_trains_in_a_run() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        run.write(CONFIG, "").unwrap();
        let path = run.path().to_owned();
        let error = RunDir::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("another process is training in "), "{error}");
        drop(run);
        RunDir::open(&path).unwrap();
    }

    #[test]
    fn a_run_has_files_of_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "a").unwrap();
        assert!(!is_own_file(&run.file(CONFIG)), "no run yet");
        run.write(CONFIG, "").unwrap();
        for own in ["config.toml", "log.rank12.txt", "checkpoints/last.safetensors"] {
            assert!(is_own_file(&run.file(own)), "{own}");
        }
        for other in ["features.npy", "log.rank.txt", "x/config.toml", "../config.toml"] {
            assert!(!is_own_file(&run.file(other)), "{other}");
        }
    }

    #[test]
    fn other_folders_are_not_runs() {
        let parent = tempfile::tempdir().unwrap();
        let error = RunDir::open(parent.path()).unwrap_err().to_string();
        assert!(error.ends_with("is not the folder of a run: it has no config.toml"), "{error}");
        let error = RunDir::open(&parent.path().join("x")).unwrap_err().to_string();
        assert!(error.starts_with("there is no run "), "{error}");
    }
}
