//! Training: the loop, what it tells and how it ends.
//!
//! What is computed follows `train_ch6` of Dive into Deep Learning: the training loss and accuracy
//! of an epoch are means over its images of the values from the very forward passes used for the
//! updates; the test accuracy is that of all test images after the epoch.
//! Images a second are of wall time, unlike the book's ([`super::pace`]).

mod norms;
mod recording;
mod saving;
mod testing;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vgg_data::{Epoch, Loader};
use vgg_model::{Progress, Trainer};
use vgg_tensor::Backend;

use super::checkpoint_writer::CheckpointWriter;
use super::outcome::End;
use super::pace::Pace;
use super::state::State;
use super::together::{Together, Vote};
use crate::config::Config;
use crate::data::{self, Data};
use crate::failure::{Code, Failure};
use crate::reporters::{Event, Reporters, Work};
use crate::run::best::ends_early;
use crate::run::metrics::EpochRecord;
use crate::signals::Stop;

/// Steps that a device may have before it while the host looks at the metrics of an earlier one.
const AHEAD: usize = 2;

/// How often the host looks whether the device has work left, while it waits for images.
const GLANCE: Duration = Duration::from_micros(200);

/// A step whose metrics are not back yet.
struct InFlight {
    images: u64,
    /// Those whose loss counts.
    counted: u64,
    lr: f32,
}

/// A run on its way.
pub(crate) struct TrainingLoop<'a, B: Backend> {
    config: &'a Config,
    data: &'a Data,
    /// The run's folder, as borrowed of whoever has it locked: the lock outlives the loop, and so its writer.
    run: &'a Path,
    loader: Loader,
    test: Loader,
    work: Work,
    /// Before the trainer, so that it is done with it.
    writer: CheckpointWriter<B::Download>,
    trainer: Trainer<B>,
    reporters: Reporters<'a>,
    position: Progress,
    state: State,
    /// The run's finished epochs.
    epochs: Vec<EpochRecord>,
    /// The place in the schedule of the run's step 0: before or after it, if earlier epochs had other
    /// numbers of steps.
    schedule_start: i64,
    /// Steps that the trainer is given and whose metrics are not back yet.
    in_flight: VecDeque<InFlight>,
    stop: &'a Stop,
    together: Together,
    pace: Pace,
    /// Whether another process did some of the steps.
    resumed: bool,
    /// The step and epoch of the last checkpoint that this process ordered, and when.
    saved: Option<(u64, u64)>,
    saved_at: Instant,
}

impl<'a, B: Backend> TrainingLoop<'a, B> {
    /// A run that goes on from `position`, `state` and its finished `epochs` with what is in the
    /// trainer.
    pub(crate) fn new(
        config: &'a Config,
        data: &'a Data,
        run: &'a Path,
        work: Work,
        trainer: Trainer<B>,
        reporters: Reporters<'a>,
        position: Progress,
        state: State,
        epochs: Vec<EpochRecord>,
        stop: &'a Stop,
        together: Together,
    ) -> Result<Self> {
        let (batch_size, seed) = (config.train.batch_size, config.train.seed);
        let shards = together.shards();
        let loader = data.train.loader(batch_size)?.shuffled(seed).for_rank(shards);
        let size = trainer.plan().batch();
        let test = match shards.ranks() {
            1 => data.test.loader(size)?,
            ranks => {
                let own = testing::images_of(shards.rank(), ranks, data.test.len(), size);
                data.test.subset(&own).loader(size)?
            }
        };
        let place = position.epoch * work.steps_per_epoch + position.batch;
        let schedule_start = place as i64 - position.step as i64;
        Ok(Self {
            config,
            data,
            run,
            loader,
            test,
            work,
            writer: CheckpointWriter::start()?,
            trainer,
            reporters,
            position,
            state,
            epochs,
            schedule_start,
            in_flight: VecDeque::new(),
            stop,
            together,
            pace: Pace::new(work, Instant::now()),
            resumed: position.step > 0,
            saved: None,
            saved_at: Instant::now(),
        })
    }

    /// Trains to the last epoch, or until no better one is waited for or it is asked to stop, and gives the backend back.
    pub(crate) fn run(mut self) -> Result<(End, B)> {
        let end = self.train()?;
        self.together.finish()?;
        Ok((end, self.trainer.into_backend()))
    }

    fn train(&mut self) -> Result<End> {
        let device = self.trainer.backend().describe();
        self.reporters.report(&Event::Started {
            device: &device,
            step: self.position.step,
            epochs: &self.epochs,
        })?;
        let mut tested = None;
        let train = &self.config.train;
        while self.position.epoch < train.epochs && !self.ends_early()? {
            let (start, resumed) = (Instant::now(), self.position.batch > 0);
            self.pace.start_epoch(start);
            let done = match self.train_epoch()? {
                ControlFlow::Continue(()) => match self.measure_ema()? {
                    // What is tested is what is kept.
                    ControlFlow::Continue(()) => {
                        self.wait_for_checkpoint()?;
                        self.take()?;
                        self.evaluate()?
                    }
                    ControlFlow::Break(code) => ControlFlow::Break(code),
                },
                ControlFlow::Break(code) => ControlFlow::Break(code),
            };
            match done {
                ControlFlow::Continue(done) => {
                    self.end_epoch(&done, (!resumed).then(|| start.elapsed()))?;
                    tested = Some(done);
                }
                ControlFlow::Break(code) => return self.leave(code).map(End::Stopped),
            }
        }
        self.wait_for_checkpoint()?;
        self.finish(tested)
    }

    /// Whether training ends although epochs are left. How long they took is another time on each rank.
    fn ends_early(&self) -> Result<bool> {
        self.together.first_says(ends_early(&self.config.train, &self.epochs).is_some())
    }

    /// Trains to the end of the epoch, unless asked to stop.
    fn train_epoch(&mut self) -> Result<ControlFlow<Code>> {
        let mut batches = self.loader.epoch(self.position.epoch, self.position.batch as usize);
        let every = Duration::from_secs_f64(60.0 * self.config.checkpoint.every_minutes);
        loop {
            self.check_checkpoint()?;
            let save = self.saved_at.elapsed() >= every && !self.writer.is_writing();
            let vote = self.together.vote(Vote { stop: self.stop.requested(), save })?;
            if let Some(code) = vote.stop {
                self.collect(0)?;
                return Ok(ControlFlow::Break(code));
            }
            if vote.save {
                self.collect(0)?;
                self.save(false)?;
            }
            let waited = self.wait_for_batch(&mut batches)?;
            let unreadable = || data::unreadable(&self.data.train.images);
            let Some(batch) = batches.next_batch().with_context(unreadable)? else {
                self.collect(0)?;
                return Ok(ControlFlow::Continue(()));
            };
            let (target, lr) = (data::target(batch), self.lr(self.trainer.steps()));
            self.trainer.submit(&batch.pixels, target, lr)?;
            let [images, counted] =
                [target.labels().len(), target.counted()].map(|images| images as u64);
            self.in_flight.push_back(InFlight { images, counted, lr });
            self.pace.waited(waited);
            self.collect(AHEAD)?;
        }
    }

    /// Waits for the next batch. The device goes on with the steps before it meanwhile: lost is the time
    /// in which it has none left, which is given back.
    fn wait_for_batch(&mut self, batches: &mut Epoch) -> Result<Duration> {
        let mut lost = Duration::ZERO;
        loop {
            let (before, is_idle) = (batches.waited(), self.in_flight.is_empty());
            let is_ready = batches.wait(GLANCE);
            if is_idle {
                lost += batches.waited() - before;
            }
            if is_ready {
                return Ok(lost);
            }
            self.collect(AHEAD)?;
        }
    }

    /// Ends the steps that the device is done with, and waits until no more than `ahead` are left.
    fn collect(&mut self, ahead: usize) -> Result<()> {
        loop {
            let metrics = self.trainer.next_metrics(self.trainer.in_flight() > ahead)?;
            let Some(metrics) = metrics else { return Ok(()) };
            let step = self.in_flight.pop_front().context("a step without images")?;
            self.end_step(metrics, &step)?;
        }
    }

    /// The learning rate of step `step` of the run, from 0 on.
    fn lr(&self, step: u64) -> f32 {
        let (base, schedule) = (self.config.optimizer.lr as f32, self.config.schedule());
        let place = self.place(step);
        let lr = schedule.lr(base, place, self.work.steps_per_epoch, self.work.steps());
        lr * self.state.plateau.factor(schedule.decay)
    }

    /// The steps before step `step` of the run, if all epochs had as many as now.
    fn place(&self, step: u64) -> u64 {
        step.saturating_add_signed(self.schedule_start)
    }

    /// Saves, and tells that training was stopped.
    fn leave(&mut self, code: Code) -> Result<Code> {
        self.wait_for_checkpoint()?;
        self.save(false)?;
        self.wait_for_checkpoint()?;
        let Progress { epoch, batch, .. } = self.position;
        self.reporters.report(&Event::Stopped { epoch: epoch + 1, batch })?;
        Ok(code)
    }

    /// The failure of training that cannot go on.
    fn diverged(&mut self, what: &str, at: Progress) -> Failure {
        // What is being written may become the last good checkpoint.
        if self.writer.finish().is_err() {
            tracing::warn!("the checkpoint before was not saved either");
        }
        let Progress { epoch, step, .. } = at;
        Failure::new(Code::Diverged, format!("{what}, at step {step} in epoch {}", epoch + 1)).help(
            format!(
                "try a lower optimizer.lr (now {}) or a warm-up (schedule.warmup_share); {}",
                self.config.optimizer.lr,
                self.last_good()
            ),
        )
    }
}
