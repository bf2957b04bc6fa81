//! Checkpoints of runs, for the commands that use a trained network.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_data::imagenet::{self, Pretrained};
use vgg_data::names;
use vgg_model::weights::{Convention, Names, Start, WeightFile};
use vgg_model::{
    Arch, Checkpoint, Input, Moments, Params, Progress, Session, Vgg, VggConfig, WeightType,
};
use vgg_tensor::Backend;

use super::folder::{self, Which, checkpoint_path, require_run};
use super::overview::Overview;
use super::weights;
use crate::config::{self, Loaded, Override};
use crate::failure::{Code, Failure};
use crate::terminal::shell;
use crate::terminal::ui::Ui;

/// Which of a run's networks, and how it is kept in memory.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NetworkOptions {
    /// Which checkpoint of the run: that of the best epoch (train.best_by) or the last one
    #[arg(long, value_enum, default_value = "best")]
    pub checkpoint: Which,

    /// How the fully connected layers' weights are stored in memory
    ///
    /// They are nearly all of a VGG's weights, and reading them is most of the time that an image
    /// or a few take: f16 halves both. It rounds weights to 11 bits and refuses those above 65504;
    /// the arithmetic stays in f32.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub linear_weights: LinearWeights,
}

/// A [`WeightType`] for inference as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LinearWeights {
    F32,
    F16,
}

impl From<LinearWeights> for WeightType {
    fn from(weights: LinearWeights) -> Self {
        match weights {
            LinearWeights::F32 => WeightType::Factors,
            LinearWeights::F16 => WeightType::F16,
        }
    }
}

/// How names of images end.
const IMAGES: [&str; 3] = ["png", "jpg", "jpeg"];

/// The file of the network that a user names: weights that are known by name, which are fetched if
/// `download` allows it, or what [`find`] finds.
pub(crate) fn network(named: &Path, which: Which, download: bool, ui: &Ui) -> Result<PathBuf> {
    match config::pretrained(named) {
        Some(pretrained) => Ok(weights::verified(pretrained, download, ui)?.path),
        None => {
            let (path, wanted) = (find(named, which)?, checkpoint_path(named, which));
            // What was imported, and a run that was stopped early, has one alone.
            if named.is_dir() && path != wanted && !Overview::of(named).epochs.is_empty() {
                let (wanted, taken) = (wanted.display(), path.display());
                ui.warn(&format!("{wanted} is missing: {taken} is taken instead"));
            }
            Ok(path)
        }
    }
}

/// The config of the network that a user names: a run's, or one that is known by name.
pub(crate) fn config_of(named: &Path, overrides: Vec<Override>) -> Result<Loaded> {
    match config::pretrained(named) {
        Some(_) => config::of(named, overrides),
        None => folder::config_of(named, overrides),
    }
}

/// The checkpoint that `run` names: a file, or a run's best or last.
pub(crate) fn find(run: &Path, which: Which) -> Result<PathBuf> {
    let ending = run.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if run.is_file() && IMAGES.iter().any(|image| ending.eq_ignore_ascii_case(image)) {
        let message = format!("{} is an image, where a run is asked for", run.display());
        let failure = Failure::new(Code::Usage, message);
        return Err(failure.help("the run comes first, then the images").into());
    }
    if run.is_file() && ending != "toml" {
        return Ok(run.into());
    }
    require_run(run)?;
    // A run that was interrupted early may have one without the other.
    let other = if which == Which::Best { Which::Last } else { Which::Best };
    let paths = [which, other].map(|which| checkpoint_path(run, which));
    if let Some(path) = paths.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let message = format!("{} has no checkpoint", run.display());
    let help = format!("vgg-train resume {} starts it over", shell::word(run));
    Err(Failure::new(Code::Checkpoint, message).help(help).into())
}

/// Reads a checkpoint for its network, or weights that are known by their file's name; what only
/// training needs is left aside.
///
/// # Errors
/// A [`Failure`] with [`Code::Checkpoint`]; of weights that are no checkpoint, it says what to do.
pub(crate) fn load(path: &Path) -> Result<Checkpoint> {
    if let Some(checkpoint) = Checkpoint::load_if_one(path).context(cannot_use())? {
        return Ok(checkpoint);
    }
    if let Some(pretrained) = Pretrained::of_file(path) {
        return of_pretrained(path, pretrained);
    }
    // What it is instead.
    WeightFile::open(path).context(cannot_use())?;
    let message = format!("{} has weights alone, and is no checkpoint", path.display());
    let help = format!("vgg-train import {} --to RUN makes a run of them", shell::word(path));
    Err(Failure::new(Code::Checkpoint, message).help(help).into())
}

/// As [`load`], for a network that has to classify.
///
/// # Errors
/// As [`load`], and with [`Code::Usage`] if it locates objects.
pub(crate) fn classifier(path: &Path) -> Result<Checkpoint> {
    let checkpoint = load(path)?;
    require_classifier(&checkpoint.vgg, path)?;
    Ok(checkpoint)
}

/// Passes if a network classifies.
///
/// # Errors
/// With [`Code::Usage`].
pub(crate) fn require_classifier(network: &VggConfig, path: &Path) -> Result<()> {
    if network.task.is_classification() {
        return Ok(());
    }
    let message = format!("{} locates objects, and says nothing of classes", path.display());
    let help = "eval and predict have boxes of it; a run without model.task classifies";
    Err(Failure::new(Code::Usage, message).help(help).into())
}

/// Passes if the network of the file `path` is of the classes that `whose` are.
///
/// # Errors
/// With [`Code::Checkpoint`].
pub(crate) fn require_classes(
    checkpoint: &Checkpoint,
    classes: &[String],
    whose: &str,
    path: &Path,
) -> Result<()> {
    if names::same(&checkpoint.classes, classes) {
        return Ok(());
    }
    let message = format!("{} tells other classes apart than {whose}", path.display());
    Err(Failure::new(Code::Checkpoint, message).into())
}

/// The network of torchvision's file `path`, with its classes.
fn of_pretrained(path: &Path, pretrained: &Pretrained) -> Result<Checkpoint> {
    let (arch, _) = config::arch_of(pretrained);
    let Starting { vgg, params, input, .. } = starting(path, &arch)?;
    let checkpoint = Checkpoint {
        vgg,
        input,
        classes: imagenet::classes(),
        params,
        moments: Moments::new(),
        unaveraged: None,
        progress: Progress::default(),
        run: serde_json::Value::Null,
    };
    checkpoint.check().context(cannot_use())?;
    Ok(checkpoint)
}

/// A network that another one starts from.
pub(crate) struct Starting {
    pub vgg: VggConfig,
    /// All its parameters, or those that a file of weights has.
    pub params: Params,
    /// What it was shown.
    pub input: Input,
    /// Whose images are taken for what it was shown, where a file of weights does not say it.
    pub as_usual: Option<Names>,
    /// What is to be said of it.
    pub notes: Vec<String>,
}

/// Reads a checkpoint, or weights of another program, most likely of a network of `arch`.
///
/// # Errors
/// As [`load`].
pub(crate) fn starting(path: &Path, arch: &Arch) -> Result<Starting> {
    if let Some(checkpoint) = Checkpoint::load_if_one(path).context(cannot_use())? {
        let Checkpoint { vgg, params, input, .. } = checkpoint;
        return Ok(Starting { vgg, params, input, as_usual: None, notes: vec![] });
    }
    let weights = WeightFile::open(path).context(cannot_use())?;
    let failure = || {
        cannot_use()
            .help("`vgg-train import` has options for it; init.from can be the run that it makes")
    };
    let Start { vgg, convention, params, lacking, beside } =
        weights.start(arch).with_context(failure)?;
    let mut notes =
        vec![format!("weights of {}, by {:?}'s names and orders", vgg.arch, convention.names)];
    if convention == Convention::KERAS_OWN {
        let note = "what images they were trained on is not in the file: they are taken red first, with pixels \
                    from 0 to 1; `vgg-train import` has options for others, and init.from can be the run that \
                    it makes";
        notes.push(note.into());
    }
    notes.extend(lacking);
    notes.extend(left_out(&beside));
    let is_known = Pretrained::of_file(path).is_some();
    let (input, as_usual) = match weights.input(vgg.input) {
        Some(input) => (input, None),
        None => (convention.input(vgg.input), (!is_known).then_some(convention.names)),
    };
    Ok(Starting { vgg, params, input, as_usual, notes })
}

/// Tensors of more than these names are counted.
const NAMES_TOLD: usize = 4;

/// Says what a file has beside a network.
pub(crate) fn left_out(beside: &[String]) -> Option<String> {
    let told = beside.iter().take(NAMES_TOLD).cloned().collect::<Vec<_>>().join(", ");
    match beside.len().saturating_sub(NAMES_TOLD) {
        _ if beside.is_empty() => None,
        0 => Some(format!("beside the network, and left out: {told}")),
        more => Some(format!("beside the network, and left out: {told} and {more} more")),
    }
}

fn cannot_use() -> Failure {
    Failure::new(Code::Checkpoint, "cannot use the checkpoint")
}

/// Gives the network of a checkpoint to a backend, for up to `max_batch` images at once.
pub(crate) fn session<B: Backend>(
    backend: B,
    checkpoint: Checkpoint,
    linear_weights: LinearWeights,
    max_batch: usize,
) -> Result<Session<B>> {
    let Checkpoint { vgg, input, params, .. } = checkpoint;
    let (vgg, weight_type) = (Vgg::new(&vgg)?, linear_weights.into());
    Ok(Session::with_linear_weights(weight_type, backend, &vgg, &input, params, max_batch)?)
}

/// As [`session`], for a network made of the checkpoint's, as by [`Vgg::dense`]. It takes one image
/// of the network's size, until it is told of others.
pub(crate) fn session_of<B: Backend>(
    backend: B,
    checkpoint: Checkpoint,
    vgg: &Vgg,
) -> Result<Session<B>> {
    let [_, height, width] = vgg.config().input;
    let Checkpoint { input, params, .. } = checkpoint;
    let own = params.for_network(vgg)?;
    drop(params);
    Ok(Session::new(backend, vgg, &Input { height, width, ..input }, own, 1)?)
}

/// Which settings of two networks differ, and how.
pub(crate) fn difference(checkpoint: &VggConfig, config: &VggConfig) -> Result<String> {
    let (checkpoint, config) = (serde_json::to_value(checkpoint)?, serde_json::to_value(config)?);
    let settings = checkpoint.as_object().into_iter().flatten();
    let differing = settings.filter(|(key, value)| config[key] != **value);
    let told = differing.map(|(key, value)| {
        format!("{key} is {value} in the checkpoint, but {} in the config", config[key])
    });
    Ok(told.collect::<Vec<_>>().join(", "))
}
