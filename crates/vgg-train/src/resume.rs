//! `resume RUN`: going on with a run where its last checkpoint was made.

use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_model::{Checkpoint, Progress, VggConfig};

use crate::cli::Which;
use crate::config::{self, Config, Override};
use crate::device;
use crate::exit::{Code, Failure};
use crate::log::Log;
use crate::run_dir::{CONFIG, RunDir};
use crate::start::{Start, Train};
use crate::ui::Ui;

/// Resumes the run in the folder `path`.
///
/// With overrides the run goes on under a changed config, as with more epochs or other threads; its
/// `config.toml` is then rewritten.
pub(crate) fn command(path: &Path, overrides: Vec<Override>, ui: &Ui, log: &Log) -> Result<Code> {
    let run = RunDir::open(path)?;
    let changed = !overrides.is_empty();
    let loaded = config::load(&run.file(CONFIG), overrides)?;
    let config = &loaded.config;
    let last = run.checkpoint(Which::Last);
    let checkpoint = match last.is_file() {
        true => Some(Box::new(read(&last, config)?)),
        // Interrupted before the first checkpoint: it starts over, with the same seed.
        false => None,
    };
    if checkpoint.as_ref().is_some_and(|c| c.progress.epoch >= config.train.epochs) {
        ui.status("Finished", &format!("{} is done already", path.display()));
        ui.help(&format!("--set train.epochs={} goes on with it", 2 * config.train.epochs));
        return Ok(Code::Success);
    }
    if changed {
        run.write(CONFIG, &loaded.effective())?;
    }
    device::run(&config.device, Train { config, ui, log, start: Start::Resume(run, checkpoint) })
}

/// Reads the checkpoint and makes sure that it is one of this config.
fn read(path: &Path, config: &Config) -> Result<Checkpoint> {
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
    let Progress { batch, images, seed, .. } = checkpoint.progress;
    // All batches of an epoch are whole, but for the last one.
    let same_batches = images.div_ceil(config.train.batch_size as u64) == batch;
    let problem = if seed != config.train.seed {
        Some(format!("the run's seed is {seed}, not {}", config.train.seed))
    } else if checkpoint.input != config.input() {
        Some("the normalisation of the images cannot change within a run".into())
    } else if !same_batches {
        Some("the batch size cannot change within an epoch".into())
    } else {
        None
    };
    match problem {
        Some(problem) => Err(Failure::new(Code::Usage, problem).help("start a new run").into()),
        None => Ok(checkpoint),
    }
}

/// Which settings of two networks differ, and how.
fn difference(checkpoint: &VggConfig, config: &VggConfig) -> Result<String> {
    let (checkpoint, config) = (serde_json::to_value(checkpoint)?, serde_json::to_value(config)?);
    let settings = checkpoint.as_object().into_iter().flatten();
    let differing = settings.filter(|(key, value)| config[key] != **value);
    let told = differing.map(|(key, value)| {
        format!("{key} is {value} in the checkpoint, but {} in the config", config[key])
    });
    Ok(told.collect::<Vec<_>>().join(", "))
}
