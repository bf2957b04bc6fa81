//! Where a run starts: at the beginning, or where it was.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use vgg_model::{Checkpoint, Moments, Params, Progress};
use vgg_tensor::Backend;
use vgg_tensor::ranks::Peers;

use super::begin::{Begin, Weights};
use super::epochs::TrainingLoop;
use super::initial::initial;
use super::outcome::End;
use super::processes::{Processes, Ranks};
use super::ranks::{Others, train_together};
use super::rate::Rise;
use super::ready::Ready;
use super::seen_images::SeenImages;
use super::state::State;
use super::together::Together;
use crate::config::{CONFIG, Config, OptimizerKind};
use crate::machine::device::{self, Job, RanksJob};
use crate::machine::equipment::{Equipment, Shared, share};
use crate::report;
use crate::reporters::csv::Csv;
use crate::reporters::jsonl::{Jsonl, Reopened};
use crate::reporters::predictions::PredictionsFile;
use crate::reporters::svg::Svg;
use crate::reporters::tensorboard::TensorBoard;
use crate::reporters::terminal::Terminal;
use crate::reporters::{BestEffort, Reporters, Work};
use crate::run::folder::{LOG, RunDir};
use crate::signals::Stop;
use crate::terminal::log::Log;
use crate::terminal::numbers::grouped;
use crate::terminal::ui::Ui;

/// A run to be started or resumed.
pub(crate) struct TrainingJob<'a> {
    pub config: &'a Config,
    pub ui: &'a Ui,
    pub log: &'a Log,
    pub start: RunStart<'a>,
}

/// Where a run starts.
pub(crate) enum RunStart<'a> {
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

impl Job for TrainingJob<'_> {
    type Output = End;

    fn run<B: Backend>(self, backend: B) -> Result<End> {
        let together = Together::alone(self.config.shards());
        self.train(backend, together, None, |training, _, from| {
            drop(from);
            training.run()
        })
    }
}

/// The same on several ranks.
struct OnRanks<'a> {
    job: TrainingJob<'a>,
    shared: &'a Shared,
    /// Those that are processes.
    processes: Option<&'a Processes>,
}

impl RanksJob for OnRanks<'_> {
    type Output = End;

    fn run<B: Backend>(
        self,
        ranks: Vec<Arc<dyn Peers>>,
        make: impl Fn(Arc<dyn Peers>) -> Result<B> + Sync,
    ) -> Result<End> {
        let Self { job, shared, processes } = self;
        let mut ranks = ranks.into_iter();
        let first = ranks.next().context("a job has a rank at least")?;
        let others = Others { first: first.clone(), ranks: ranks.collect(), make: &make };
        let together = Together::with(first.clone(), job.config.train.shards)?;
        job.ui.status("Ranks", &first.describe());
        if let Shared::Gpus { way, .. } = shared {
            job.ui.detail(way);
        }
        job.train(make(first)?, together, processes, |training, begin, from| {
            train_together(training, begin, from, others)
        })
    }
}

impl TrainingJob<'_> {
    /// Trains on these ranks, which were told of the config.
    pub(crate) fn on(self, ranks: &Ranks) -> Result<End> {
        let device = &self.config.device;
        let (peers, shared, processes) = match ranks {
            Ranks::Threads(1) => return device::run(device, self),
            Ranks::Threads(count) => {
                let shared = share(&vec![Equipment::of(device)?; *count])?;
                (vgg_comm::local(*count), shared, None)
            }
            Ranks::Processes(processes) => {
                (vec![processes.peers()], processes.share(device)?, Some(processes))
            }
        };
        let job = OnRanks { job: self, shared: &shared, processes };
        device::run_on_ranks(device, peers, shared.gpus(), job)
    }

    /// Makes all ready on the first rank, and has it trained by `run`, which is given the loop and what
    /// other ranks begin with.
    fn train<B: Backend>(
        self,
        backend: B,
        together: Together,
        processes: Option<&Processes>,
        run_loop: impl FnOnce(TrainingLoop<'_, B>, &Begin<'_>, Arc<Weights>) -> Result<(End, B)>,
    ) -> Result<End> {
        let Self { config, ui, log, start } = self;
        let held = match &start {
            RunStart::Resume(resume) => resume.checkpoint.as_ref().map_or(0, |it| it.bytes()),
            RunStart::New(_) => 0,
        };
        let shards = together.shards();
        let others = processes.map_or(shards.ranks() - 1, Processes::beside);
        let Ready { vgg, data, batch } = Ready::make(config, ui, &backend, held, shards, others)?;
        let input = config.input();
        let initial = || initial(config, &vgg, ui);
        processes.map_or(Ok(()), |processes| processes.agree(&data))?;
        let (run, weights, before, config_file) = match start {
            RunStart::New(create) => {
                let params = initial()?;
                (create()?, Origin::Initial(params), None, None)
            }
            RunStart::Resume(resume) => {
                let Resume { run, checkpoint, before, config_file } = *resume;
                let weights = match checkpoint {
                    None => Origin::Initial(initial()?),
                    Some(checkpoint) => Origin::Trained(checkpoint),
                };
                (run, weights, Some(before), config_file)
            }
        };
        log.move_to(&run.file(LOG))?;

        let seed = config.train.seed;
        let (params, ema, moments, position, mut state) = match weights {
            Origin::Initial(params) => {
                ui.status("Run", &run.path().display().to_string());
                let position = Progress { seed, ..Progress::default() };
                (params, None, Moments::new(), position, State::default())
            }
            Origin::Trained(checkpoint) => {
                let state = State::of(&checkpoint)?;
                let Checkpoint { params, unaveraged, moments, progress, .. } = *checkpoint;
                let at = format!("epoch {}, step {}", progress.epoch + 1, progress.batch);
                ui.status("Resuming", &format!("{} at {at}", run.path().display()));
                match unaveraged {
                    Some(unaveraged) => (unaveraged, Some(params), moments, progress, state),
                    None => (params, None, moments, progress, state),
                }
            }
        };
        state.images = Some(SeenImages::of(config));
        let work = Work::of(config, &data)?;
        let stop = Stop::listen()?;
        let mut begin = Begin {
            config,
            vgg: &vgg,
            input,
            data: &data,
            run: run.path(),
            batch,
            work,
            position,
            state,
            epochs: vec![],
            stop: &stop,
        };
        let Progress { epoch, step, .. } = position;
        let Reopened { jsonl, epochs, warning } = Jsonl::open(&run, &config.name, epoch, step)?;
        if let Some(warning) = warning {
            ui.warn(&warning);
        }
        begin.epochs = epochs;
        let mut from = Weights { params, ema, moments };
        if let Some(processes) = processes {
            processes.tell(&begin, &mut from)?;
            processes.begin(run.path(), &stop);
            let go_on = processes.how_to_go_on().unwrap_or_default();
            ui.detail(&format!("if a process is lost, {go_on}"));
        }
        let from = Arc::new(from);
        let trainer = begin.trainer(backend, &together, &from)?;
        let classes = data.test.classes();
        let reporters = Reporters::default()
            .with(Terminal::new(ui, config, &run, classes, work, step > 0))
            .with(jsonl)
            .with(Csv::new(&run, classes))
            .with(BestEffort::new(PredictionsFile::new(&run, classes), ui))
            .with(BestEffort::new(
                Svg::new(&run, &config.name, config.train.best_by, work.tested_on, classes),
                ui,
            ));
        let reporters = match config.report.tensorboard {
            true => reporters.with(BestEffort::new(TensorBoard::new(&run, config, &data.test), ui)),
            false => reporters,
        };
        let training = begin.training(trainer, reporters, together)?;
        warn_of_rates(config, before.as_ref(), &position, work.steps_per_epoch, ui);
        if let Some(text) = config_file {
            run.write(CONFIG, &text)?;
        }
        let done = run_loop(training, &begin, from);
        ui.end_bar();
        let (end, backend) = done?;
        if let End::Finished(_) = end
            && config.report.page
        {
            report::at_end(&run, config, &data, backend, &stop, ui);
        }
        Ok(end)
    }
}

/// What a run goes on from.
enum Origin {
    Initial(Params),
    Trained(Box<Checkpoint>),
}

/// Ten times the usual rate of AdamW; SGD's are higher.
const HIGH_FOR_ADAMW: f64 = 0.01;

/// Warns of learning rates that may not be what is wanted.
fn warn_of_rates(
    config: &Config,
    before: Option<&Config>,
    position: &Progress,
    steps_per_epoch: u64,
    ui: &Ui,
) {
    let rise = before.and_then(|before| Rise::of(before, config, position, steps_per_epoch));
    if let Some(rise) = rise {
        ui.warn(&rise.warning());
        ui.help(&format!("with {}", rise.help()));
    }
    let lr = config.optimizer.lr;
    if config.optimizer.kind == OptimizerKind::Adamw && lr > HIGH_FOR_ADAMW {
        ui.warn(&format!(
            "optimizer.lr, {lr}, is high for AdamW, whose steps move each weight by about the rate: \
             0.001 is usual"
        ));
        ui.help("`vgg-train find-lr CONFIG` looks for one that does");
    }
    let (warmup, steps) = (config.schedule.warmup_steps, config.train.epochs * steps_per_epoch);
    if warmup >= steps {
        ui.warn(&format!(
            "schedule.warmup_steps, {}, is not below the steps of the run, {}: the rate stays below \
             optimizer.lr",
            grouped(warmup),
            grouped(steps),
        ));
    }
}
