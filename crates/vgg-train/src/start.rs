//! Setting a run up: its data, its network, its memory, its folder, and where it starts.

use std::fs::OpenOptions;

use anyhow::{Context as _, Result};
use vgg_model::{Checkpoint, Mode, Params, Progress, Trainer, Transferred, Vgg};
use vgg_tensor::Backend;

use crate::cli::Which;
use crate::config::Config;
use crate::data::{self, Data};
use crate::device::{self, Job};
use crate::exit::{Code, Failure};
use crate::log::Log;
use crate::memory;
use crate::resume::{Rise, SeenImages};
use crate::run_dir::{CONFIG, LOG, RunDir};
use crate::stored;
use crate::train::{End, State, Training};
use crate::ui::{Ui, bytes, grouped, millions};

/// A run to be started or resumed.
pub(crate) struct Train<'a> {
    pub config: &'a Config,
    pub ui: &'a Ui,
    pub log: &'a Log,
    pub start: Start<'a>,
}

/// Where a run starts.
pub(crate) enum Start<'a> {
    /// At the beginning, in the folder that this makes. It is called once all else is in order, so
    /// that a run that cannot start leaves no folder.
    New(&'a dyn Fn() -> Result<RunDir>),
    /// Where it was.
    Resume(Box<Resume>),
}

/// A run that goes on.
pub(crate) struct Resume {
    pub run: RunDir,
    /// If it has none, it starts over.
    pub checkpoint: Option<Box<Checkpoint>>,
    /// The config that it had so far.
    pub before: Config,
    /// The new contents of its config file, if they are to change: once all else is in order.
    pub config_file: Option<String>,
}

/// What training needs besides a device: checked, loaded, and small enough for memory.
pub(crate) struct Ready {
    pub vgg: Vgg,
    pub data: Data,
    /// Images in a full batch.
    pub batch: usize,
}

impl Ready {
    /// Makes it, and tells of it.
    ///
    /// `held` are bytes of a checkpoint that it goes on from.
    pub(crate) fn make(
        config: &Config,
        ui: &Ui,
        backend: &impl Backend,
        held: u64,
    ) -> Result<Self> {
        device::tell(&config.device, backend, ui);
        if backend.free_memory().is_some() && config.device.autotune {
            let file = device::tuning_file();
            ui.detail(&format!("measures cuDNN's algorithms, kept in {}", file.display()));
        }
        // What the library would refuse is refused before anything is fetched or made.
        config.schedule().check()?;
        config.init().check()?;
        let vgg = Vgg::new(&config.vgg())?;
        let data = data::open(config, ui)?;
        let (batch, part, mode) = batches(config, &vgg, Some(&data))?;
        let mut host = data.memory(batch, part)?;
        host.held += held;
        let plan = memory::plan(&vgg, &config.input(), batch, part, mode, backend, host)?;
        let needed = memory::needed(&vgg, &plan, backend, host);
        ui.status("Model", &describe(config, &vgg));
        ui.detail(&format!("needs {} at batch size {batch}", bytes(needed)));
        Ok(Self { vgg, data, batch })
    }
}

/// Images in a full batch, how many of them pass at a time, and what a plan for them keeps.
pub(crate) fn batches(
    config: &Config,
    vgg: &Vgg,
    data: Option<&Data>,
) -> Result<(usize, usize, Mode)> {
    let recipe = config.recipe();
    recipe.check(vgg)?;
    let batch = config.train.batch_size;
    let batch = data.map_or(batch, |data| batch.min(data.train.len()));
    Ok((batch, recipe.part_of(batch), recipe.mode(vgg)))
}

impl Job for Train<'_> {
    type Output = End;

    fn run<B: Backend>(self, backend: B) -> Result<End> {
        let Self { config, ui, log, start } = self;
        let held = match &start {
            Start::Resume(resume) => resume.checkpoint.as_ref().map_or(0, |it| it.bytes()),
            Start::New(_) => 0,
        };
        let Ready { vgg, data, batch } = Ready::make(config, ui, &backend, held)?;
        let input = config.input();
        let initial = || initial(config, &vgg, ui);
        let (run, weights, before, config_file) = match start {
            Start::New(create) => {
                let params = initial()?;
                (create()?, Weights::Initial(params), None, None)
            }
            Start::Resume(resume) => {
                let Resume { run, checkpoint, before, config_file } = *resume;
                let weights = match checkpoint {
                    None => Weights::Initial(initial()?),
                    Some(checkpoint) => Weights::Trained(checkpoint),
                };
                (run, weights, Some(before), config_file)
            }
        };
        let path = run.file(LOG);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|file| log.move_to(file))
            .with_context(|| format!("cannot write {}", path.display()))?;

        let seed = config.train.seed;
        let (params, average, velocity, position, mut state) = match weights {
            Weights::Initial(params) => {
                ui.status("Run", &run.path().display().to_string());
                let position = Progress { seed, ..Progress::default() };
                (params, None, None, position, State::default())
            }
            Weights::Trained(checkpoint) => {
                let state = State::of(&checkpoint)?;
                let Checkpoint { params, unaveraged, velocity, progress, .. } = *checkpoint;
                let at = format!("epoch {}, step {}", progress.epoch + 1, progress.batch);
                ui.status("Resuming", &format!("{} at {at}", run.path().display()));
                match unaveraged {
                    Some(unaveraged) => (unaveraged, Some(params), velocity, progress, state),
                    None => (params, None, velocity, progress, state),
                }
            }
        };
        let mut trainer =
            Trainer::new(backend, &vgg, &input, &params, batch, config.recipe(), seed)?;
        match &velocity {
            Some(velocity) => trainer.restore(&params, Some(velocity), position.step)?,
            None => trainer.set_steps(position.step),
        }
        if let Some(average) = &average {
            trainer.restore_average(average)?;
        }
        // The trainer has its own copy; these would double the memory of the weights.
        drop((params, average, velocity));
        trainer.restore_backend(&state.backend)?;

        state.images = Some(SeenImages::of(config));

        let training = Training::new(config, ui, &data, run, trainer, position, state)?;
        let rise = before
            .and_then(|before| Rise::of(&before, config, &position, training.steps_per_epoch()));
        if let Some(rise) = rise {
            ui.warn(&rise.warning());
            ui.help(&format!("with {}", rise.help()));
        }
        let (warmup, steps) =
            (config.schedule.warmup_steps, config.train.epochs * training.steps_per_epoch());
        if warmup >= steps {
            ui.warn(&format!(
                "schedule.warmup_steps, {}, is not below the steps of the run, {}: the rate stays \
                 below optimizer.lr",
                grouped(warmup),
                grouped(steps),
            ));
        }
        if let Some(text) = config_file {
            training.folder().write(CONFIG, &text)?;
        }
        let end = training.run();
        ui.end_bar();
        end
    }
}

/// What a run goes on from.
enum Weights {
    Initial(Params),
    Trained(Box<Checkpoint>),
}

/// The weights before the first step.
fn initial(config: &Config, vgg: &Vgg, ui: &Ui) -> Result<Params> {
    let mut params = Params::init(vgg, &config.init(), config.train.seed)?;
    let freeze = &config.optimizer.freeze;
    let Some(from) = &config.init.from else {
        if !freeze.is_empty() {
            let names = freeze.join(", ");
            ui.warn(&format!(
                "{names} stay as they are initialised: optimizer.freeze, without init.from"
            ));
        }
        return Ok(params);
    };
    let path = stored::find(from, Which::Best)?;
    let starting = stored::starting(&path, config.model.arch)?;
    ui.status("Starting", &format!("from {}", path.display()));
    starting.notes.iter().for_each(|note| ui.detail(note));
    let other = Vgg::new(&starting.vgg)?;
    let layers = params.copy_from(vgg, &starting.params, &other, config.init.copying);
    for Transferred { layer, from } in &layers {
        match from {
            Ok(from) => ui.detail(&format!("{layer}: a copy of {from}")),
            Err(reason) => ui.detail(&format!("{layer}: initialised, {reason}")),
        }
    }
    if layers.iter().all(|layer| layer.from.is_err()) {
        let message = format!("nothing of {} fits this network", path.display());
        let help = "another arch, width, fc_width or image size has other shapes".to_owned();
        return Err(Failure::new(Code::Checkpoint, message).help(help).into());
    }
    // What stays random would never learn.
    let is_frozen = |layer: &str| {
        let mut of_layer = vgg
            .params()
            .iter()
            .filter(|spec| spec.name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.')));
        of_layer.any(|spec| freeze.iter().any(|frozen| spec.name.starts_with(frozen)))
    };
    for Transferred { layer, from } in &layers {
        if let (Err(reason), true) = (from, is_frozen(layer)) {
            let message = format!(
                "optimizer.freeze keeps {layer} as it is, but it was just initialised at random: {reason}"
            );
            let help = format!("let it be trained, or give it the shapes of {}", path.display());
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
    }
    let (was, is) = (&starting.input, config.input());
    if was.channels == is.channels && (&was.mean, &was.std) != (&is.mean, &is.std) {
        ui.warn(&format!(
            "the copied layers were trained on images less {:?}, divided by {:?}: data.mean and \
             data.std are others here",
            was.mean, was.std
        ));
    }
    Ok(params)
}

fn describe(config: &Config, vgg: &Vgg) -> String {
    let [c, h, w] = vgg.config().input;
    let width = if config.model.width == 1.0 {
        String::new()
    } else {
        format!(" × {}", config.model.width)
    };
    let norm = if config.model.batch_norm { " with batch norm" } else { "" };
    format!(
        "{}{width}{norm}: {} parameters, {} MACs an image of {c}×{h}×{w}",
        config.model.arch,
        millions(vgg.param_count() as u64),
        millions(vgg.macs()),
    )
}
