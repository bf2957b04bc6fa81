//! `train CONFIG`: a new run.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, value_parser};

use super::profile;
use crate::config::{CONFIG, Override};
use crate::data;
use crate::failure::Code;
use crate::machine::device;
use crate::run::folder::RunDir;
use crate::run::weights;
use crate::terminal::log::Log;
use crate::terminal::ui::Ui;
use crate::training::outcome::{self, End};
use crate::training::processes::{self, Ranks};
use crate::training::start::{RunStart, TrainingJob};

/// What is special to training.
#[derive(Debug, Default, Args)]
pub(crate) struct TrainOptions {
    /// Do not train, but time each operation of a few training steps
    ///
    /// Prints a table and writes the times to FILE (without one: a new NAME-profile-N.json among the
    /// run folders) as a trace that ui.perfetto.dev and chrome://tracing open. There is no run folder.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub profile: Option<Option<PathBuf>>,

    /// Train on N ranks of this process, which share each batch's shards (train.shards) and the threads, or
    /// have a GPU each
    ///
    /// Results depend on the shards and not on the ranks: a run may go on with another number of them.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    #[arg(conflicts_with = "profile")]
    pub ranks: Option<u16>,

    /// Print what came out of training as JSON
    #[arg(long, conflicts_with = "profile")]
    pub json: bool,
}

/// Trains a new run in a new folder in `out`, or times the operations of a few steps.
pub(crate) fn command(
    path: &Path,
    overrides: Vec<Override>,
    out: &Path,
    options: &TrainOptions,
    ui: &Ui,
    log: &Log,
) -> Result<Code> {
    if let Some(trace) = &options.profile {
        profile::command(path, overrides, trace.as_deref(), out, ui)?;
        return Ok(Code::Success);
    }
    processes::command(options.ranks, overrides.clone(), log, |ranks| {
        let (_, end) = run(path, overrides, out, ranks, ui, log)?;
        outcome::tell(end, options.json)
    })
}

/// Trains a new run in a new folder in `out`, on these ranks: the folder, and how it ended.
pub(super) fn run(
    path: &Path,
    overrides: Vec<Override>,
    out: &Path,
    ranks: &Ranks,
    ui: &Ui,
    log: &Log,
) -> Result<(PathBuf, End)> {
    let mut loaded = data::load_noted(path, overrides, ui)?;
    weights::note(&mut loaded, ui)?;
    device::note(&mut loaded, ui)?;
    let config = &ranks.tell(&loaded)?;
    let folder = OnceCell::new();
    let create = || {
        let run = RunDir::create(out, &config.name)?;
        let _ = folder.set(run.path().to_owned());
        run.write(CONFIG, loaded.effective())?;
        Ok(run)
    };
    let start = RunStart::New(&create);
    let end = TrainingJob { config, ui, log, start }.on(ranks)?;
    Ok((folder.into_inner().unwrap_or_default(), end))
}
