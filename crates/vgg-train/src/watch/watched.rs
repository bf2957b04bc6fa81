//! The runs that are watched.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::request::encoded;
use crate::config::{CONFIG, is_run};
use crate::run::folder::{METRICS, METRICS_CSV, PREDICTIONS, REPORT, Which, checkpoint_path};
use crate::run::overview::{folders, is_training, require_folder, seems_a_run};

/// A folder of runs, or a run alone.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    Folder(PathBuf),
    Run(PathBuf),
}

impl Watched {
    /// What `path` is.
    ///
    /// # Errors
    /// If it is no folder.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        require_folder(path)?;
        if !is_run(path) {
            return Ok(Self::Folder(path.into()));
        }
        // With a name, which `.` is not.
        let whole =
            fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::Run(whole))
    }

    /// The folders of the runs that there are.
    pub(super) fn runs(&self) -> Vec<PathBuf> {
        match self {
            Self::Folder(folder) => folders(folder).map_or(vec![], |found| found.runs),
            Self::Run(run) => [run.clone()].into_iter().filter(|run| seems_a_run(run)).collect(),
        }
    }

    /// The run of a name, which is looked for among the names that there are.
    pub(super) fn run(&self, name: &[u8]) -> Option<PathBuf> {
        let found = match self {
            Self::Folder(folder) => {
                let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
                folder.join({ names }.find(|other| other.as_encoded_bytes() == name)?)
            }
            Self::Run(run) => Some(run).filter(|run| own_name(run) == name)?.clone(),
        };
        seems_a_run(&found).then_some(found)
    }
}

/// The path of a run's page.
pub(super) fn address(run: &Path) -> String {
    address_of(own_name(run))
}

/// That of a run of this name.
pub(super) fn address_of(name: &[u8]) -> String {
    format!("/runs/{}", encoded(name))
}

fn own_name(run: &Path) -> &[u8] {
    run.file_name().unwrap_or(run.as_os_str()).as_encoded_bytes()
}

/// A short text that changes when something of the runs does that pages show.
pub(super) fn version(runs: &[PathBuf]) -> String {
    let mut hasher = DefaultHasher::new();
    for run in runs {
        run.hash(&mut hasher);
        let files = [CONFIG, METRICS, METRICS_CSV, PREDICTIONS, REPORT];
        let files = files.map(|name| run.join(name));
        for file in files.into_iter().chain([checkpoint_path(run, Which::Best)]) {
            stamp(&file).hash(&mut hasher);
        }
        is_training(run).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// What changes when a file does; nothing if it is not there.
pub(super) type Stamp = Option<(u64, Option<SystemTime>)>;

/// That of a file.
pub(super) fn stamp(file: &Path) -> Stamp {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}
