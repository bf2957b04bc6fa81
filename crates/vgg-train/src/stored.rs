//! Checkpoints of runs, for the commands that use a trained network.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vgg_model::Checkpoint;

use crate::cli::Which;
use crate::exit::{Code, Failure};
use crate::run_dir::{checkpoint_path, require_run};

/// The checkpoint that `run` names: a file, or a run's best or last.
pub(crate) fn find(run: &Path, which: Which) -> Result<PathBuf> {
    if run.is_file() {
        return Ok(run.into());
    }
    require_run(run)?;
    let path = checkpoint_path(run, which);
    if path.is_file() {
        return Ok(path);
    }
    // Before the first epoch ends nothing is best, but there may be something.
    let last = checkpoint_path(run, Which::Last);
    if last.is_file() {
        return Ok(last);
    }
    let message = format!("{} has no checkpoint yet", run.display());
    let help = format!("vgg-train resume {} goes on with the run", run.display());
    Err(Failure::new(Code::Checkpoint, message).help(help).into())
}

/// Reads a checkpoint for its network; what only training needs is left aside.
///
/// # Errors
/// A [`Failure`] with [`Code::Checkpoint`].
pub(crate) fn load(path: &Path) -> Result<Checkpoint> {
    Checkpoint::load_weights(path)
        .with_context(|| Failure::new(Code::Checkpoint, "cannot use the checkpoint"))
}
