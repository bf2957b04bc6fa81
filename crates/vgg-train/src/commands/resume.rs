//! `resume RUN`: going on with a run where its last checkpoint was made.

use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_model::{Checkpoint, Input, Progress};

use crate::config::{self, CONFIG, Config, Override};
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::run::best::{Early, ends_early};
use crate::run::checkpoints::{self, difference};
use crate::run::folder::{REPORT, RunDir, Which};
use crate::run::metrics;
use crate::terminal::log::Log;
use crate::terminal::shell;
use crate::terminal::ui::Ui;
use crate::training::outcome::{self, End, Outcome};
use crate::training::processes::{self, Ranks};
use crate::training::rate::Rise;
use crate::training::seen_images::SeenImages;
use crate::training::start::{Resume, RunStart, TrainingJob};
use crate::training::state::State;

/// Resumes the run in the folder `path`.
///
/// With overrides the run goes on under a changed config, as with more epochs or other threads; its
/// `config.toml` is rewritten once all is ready for the first step. On how many ranks it goes on makes no
/// difference to it.
pub(crate) fn command(
    path: &Path,
    overrides: Vec<Override>,
    ranks: Option<u16>,
    json: bool,
    ui: &Ui,
    log: &Log,
) -> Result<Code> {
    processes::command(ranks, overrides.clone(), log, |ranks| {
        outcome::tell(resume(path, overrides, ranks, ui, log)?, json)
    })
}

fn resume(path: &Path, overrides: Vec<Override>, ranks: &Ranks, ui: &Ui, log: &Log) -> Result<End> {
    let run = RunDir::open(path)?;
    let file = run.file(CONFIG);
    // What cannot be read without the overrides is as if it had always been with them.
    let before = config::load(&file, vec![]).ok();
    let changed = !overrides.is_empty();
    let mut loaded = config::load(&file, overrides)?;
    // Another device is no reason to forget what the run is computed with where it has a GPU.
    let config_file = changed.then(|| loaded.effective());
    device::note(&mut loaded, ui)?;
    let config = &loaded.config;
    data::require(config)?;
    let before = before.map_or_else(|| config.clone(), |before| before.config);
    let last = run.checkpoint(Which::Last);
    let checkpoint = match last.is_file() {
        true => Some(Box::new(read(&last, config, &before)?)),
        false => {
            start_over(&run, ui)?;
            None
        }
    };
    let done = checkpoint.as_ref().map(|checkpoint| &checkpoint.progress);
    // Those that the checkpoint counts.
    let mut epochs = metrics::epochs(path).unwrap_or_default();
    epochs.retain(|epoch| done.is_some_and(|progress| epoch.epoch <= progress.epoch));
    let early = ends_early(&config.train, &epochs);
    let is_done = |progress: &&Progress| progress.epoch >= config.train.epochs || early.is_some();
    if let Some(progress) = done.filter(is_done) {
        match &early {
            None => {
                ui.status("Finished", &format!("{} is done already", path.display()));
                tell_how_it_goes_on(config, progress, ui);
            }
            Some(Early { why, goes_on }) => {
                ui.status("Finished", &format!("{} is done already: {why}", path.display()));
                let epochs = config.train.epochs;
                ui.help(&format!("--set {goes_on} goes on with it, to epoch {epochs} at most"));
            }
        }
        if config.report.page && !path.join(REPORT).exists() {
            let run = shell::word(path);
            ui.help(&format!("vgg-train report {run} writes its page, which is not there"));
        }
        let best = checkpoint.as_ref().and_then(|checkpoint| State::of(checkpoint).ok()?.best);
        let last = epochs.pop().filter(|last| last.epoch == progress.epoch);
        let outcome =
            last.zip(best).map(|(last, best)| Box::new(Outcome::new(path, config, &last, best)));
        return Ok(End::Finished(outcome));
    }
    let start = RunStart::Resume(Box::new(Resume { run, checkpoint, before, config_file }));
    TrainingJob { config: &ranks.tell(&loaded)?, ui, log, start }.on(ranks)
}

/// Says how a run that is done can go on, and what of that is not as one might think.
fn tell_how_it_goes_on(config: &Config, progress: &Progress, ui: &Ui) {
    // It may have been asked for fewer epochs than are done.
    let mut config = config.clone();
    config.train.epochs = config.train.epochs.max(progress.epoch);
    let mut longer = config.clone();
    longer.train.epochs = 2 * progress.epoch;
    let help = format!("--set train.epochs={} goes on with it", longer.train.epochs);
    let steps_per_epoch = progress.step / progress.epoch.max(1);
    match Rise::of(&config, &longer, progress, steps_per_epoch) {
        None => ui.help(&help),
        Some(rise) => {
            ui.help(&format!("{help}, but {}", rise.warning()));
            ui.help(&format!("with {}", rise.help()));
        }
    }
}

/// Says that a run without a last checkpoint starts over, with the same seed. That is the same run
/// if it was interrupted before its first one.
///
/// # Errors
/// If it has the network of a later epoch, or records of one, which a run that starts over would replace.
fn start_over(run: &RunDir, ui: &Ui) -> Result<()> {
    let (last, best) = (run.checkpoint(Which::Last), run.checkpoint(Which::Best));
    if best.is_file() && checkpoints::load(&best)?.progress.epoch > 1 {
        let message = format!("{} is missing", last.display());
        let best = shell::word(best);
        let help = format!("a new run can start from the best epoch: --set init.from={best}");
        return Err(Failure::new(Code::Checkpoint, message).help(help).into());
    }
    // An epoch's checkpoint is there before the next one's record is.
    let epochs = metrics::epochs(run.path()).unwrap_or_default().len();
    if epochs > 1 {
        let message = format!("{} is missing, and {epochs} epochs are done", last.display());
        let config = shell::word(run.file(CONFIG));
        let help = format!("vgg-train {config} trains them again, in a new run");
        return Err(Failure::new(Code::Checkpoint, message).help(help).into());
    }
    ui.warn(&format!("there is no {}: the run starts over", last.display()));
    Ok(())
}

/// Reads the checkpoint and makes sure that the run can go on under `config`; `before` is the run's
/// own.
fn read(path: &Path, config: &Config, before: &Config) -> Result<Checkpoint> {
    let checkpoint = Checkpoint::load(path).with_context(|| {
        let best = path.with_file_name("best.safetensors");
        let failure = Failure::new(Code::Checkpoint, "cannot go on from the checkpoint");
        if best.is_file() {
            failure.help(format!("the network of the best epoch is in {}", best.display()))
        } else {
            failure
        }
    })?;
    let wanted = config.vgg();
    if checkpoint.vgg != wanted {
        let message = format!("{} is of another network", path.display());
        let help = difference(&checkpoint.vgg, &wanted)?;
        return Err(Failure::new(Code::Checkpoint, message).help(help).into());
    }
    let Progress { seed, epoch, .. } = checkpoint.progress;
    let problem = if seed != config.train.seed {
        Some(format!("the run's seed is {seed}, not {}", config.train.seed))
    } else if !same_numbers(&checkpoint.input, &config.input())
        || config.data.normalize != before.data.normalize
    {
        Some("the normalisation of the images cannot change within a run".into())
    } else if config.train.best_by != before.train.best_by && epoch > 0 {
        let by = before.train.best_by.name();
        Some(format!("best.safetensors is the best epoch's by {by}, and others are not kept"))
    } else if config.optimizer.kind != before.optimizer.kind {
        let [was, is] = [before, config].map(|config| config.optimizer.kind.name());
        Some(format!("what {was} keeps of the weights is nothing that {is} could go on from"))
    } else if checkpoint.unaveraged.is_some() && config.optimizer.average_decay.is_none() {
        Some(
            "the weights of this run are averaged: optimizer.average_decay cannot be left out"
                .into(),
        )
    } else if config.init != before.init {
        Some("init says how a run begins, and this one has begun".into())
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(Failure::new(Code::Usage, problem).help("start a new run").into());
    }
    // Checkpoints of older versions do not say which images were seen.
    let seen = State::of(&checkpoint)?.images.unwrap_or_else(|| SeenImages::of(before));
    seen.can_become(&SeenImages::of(config), &checkpoint.progress)?;
    Ok(checkpoint)
}

/// Whether pixels become the same numbers. How files become pixels is among [`SeenImages`].
fn same_numbers(was: &Input, is: &Input) -> bool {
    let Input { short_side, turned, background, scaled, .. } = *is;
    *is == Input { short_side, turned, background, scaled, ..was.clone() }
}
