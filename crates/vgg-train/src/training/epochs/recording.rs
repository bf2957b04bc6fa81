//! What is recorded and told of steps and epochs.

use std::time::{Duration, Instant};

use anyhow::Result;
use vgg_model::{Metrics, Progress, Score};
use vgg_tensor::Backend;

use super::{InFlight, TrainingLoop};
use crate::config::{FlatLoss, TaskName, Weights};
use crate::failure::{Code, Failure};
use crate::reporters::Event;
use crate::run::best::ends_early;
use crate::run::metrics::{EpochRecord, StepRecord};
use crate::scores::evaluation::Evaluation;
use crate::scores::per_class::PerClass;
use crate::scores::tested::Tested;
use crate::training::checkpoint_writer::NOT_FINITE;
use crate::training::outcome::{End, Outcome};
use crate::training::state::Best;

/// Steps of an epoch that `metrics.jsonl` has records of, besides the first.
const RECORDS_PER_EPOCH: u64 = 20;

impl<B: Backend> TrainingLoop<'_, B> {
    /// Counts a step, judges it and tells of it.
    pub(super) fn end_step(&mut self, metrics: Metrics, step: &InFlight) -> Result<()> {
        let loss_sum = f64::from(metrics.loss_sum);
        self.pace.step(step.images, Instant::now());
        let position = &mut self.position;
        position.step += 1;
        position.batch += 1;
        position.images += step.counted;
        position.loss_sum += loss_sum;
        position.top1 += metrics.right() as u64;
        match metrics.score {
            Score::Classes { top5, .. } => position.top5 += top5 as u64,
            Score::Boxes { iou_sum, .. } => position.iou_sum += f64::from(iou_sum),
        }
        if !loss_sum.is_finite() {
            let what = "the training loss is not a number any more";
            return Err(self.diverged(what, self.position).into());
        }
        let classes = self.data.train.classes().len();
        let guards = self.config.model.task == TaskName::Classification
            && self.config.guard.flat_loss != FlatLoss::Off;
        if guards && let Some(mean) = self.state.flat_loss.step(loss_sum, step.images, classes) {
            self.flat_loss(mean, classes)?;
        }

        let record = self.step_record(loss_sum / step.counted.max(1) as f64, step.lr);
        let (batch, all) = (self.position.batch, self.work.steps_per_epoch);
        let done = self.place(self.position.step);
        self.reporters.report(&Event::Step {
            record: &record,
            batch,
            is_recorded: batch.is_multiple_of(all.div_ceil(RECORDS_PER_EPOCH))
                || batch == 1
                || batch == all,
            done,
            eta: self.pace.eta(done),
        })
    }

    fn step_record(&self, batch_loss: f64, lr: f32) -> StepRecord {
        let Progress { epoch, step, images, loss_sum, top1, .. } = self.position;
        // Of the images so far none may have a box.
        let images = images.max(1);
        StepRecord {
            epoch: epoch + 1,
            step,
            batch_loss,
            train_loss: loss_sum / images as f64,
            train_accuracy: top1 as f64 / images as f64,
            lr,
            images_per_second: self.pace.epoch().images_per_second().unwrap_or_default(),
            wait_share: self.pace.epoch().wait_share(),
        }
    }

    fn flat_loss(&mut self, mean: f64, classes: usize) -> Result<()> {
        let guess = (classes as f64).ln();
        let message = format!(
            "the loss stays at {mean:.3}, that of guessing ({guess:.3} = ln {classes}), after {} steps",
            self.position.step
        );
        let other = match self.config.init.weights {
            Weights::KaimingNormal | Weights::KaimingUniform => "",
            _ => ", or another start (init.weights = \"kaiming_normal\")",
        };
        let advice = format!(
            "try a lower optimizer.lr (now {}), a warm-up (schedule.warmup_share){other}",
            self.config.optimizer.lr
        );
        if self.config.guard.flat_loss == FlatLoss::Stop {
            return Err(Failure::new(Code::Diverged, message).help(advice).into());
        }
        self.reporters.report(&Event::Doubt { text: &message, help: &advice })
    }

    /// Records an epoch and saves the state after it. `time` is there if this process did all of
    /// the epoch.
    ///
    /// The checkpoint comes last: what is written before it is written again, to the same effect,
    /// if the process ends in between, or while the checkpoint is being written.
    pub(super) fn end_epoch(&mut self, tested: &Tested, time: Option<Duration>) -> Result<()> {
        // An update can overflow although its loss did not, and a network of such weights test well:
        // ReLU makes zero of NaN.
        if !self.writer.is_finite()? {
            return Err(self.diverged(NOT_FINITE, self.position).into());
        }
        if !tested.loss().is_finite() {
            let what = "the test loss is not a number any more";
            return Err(self.diverged(what, self.position).into());
        }
        let Progress { epoch, step, images, loss_sum, top1, iou_sum, .. } = self.position;
        let images = images.max(1);
        let training = self.pace.epoch();
        let images_per_second = training.images_per_second();
        let evaluation = tested.evaluation();
        let per_class = evaluation.map(|evaluation| PerClass::of(&evaluation.confusion));
        let (norms, gradient_norm) = self.norms()?;
        let record = EpochRecord {
            epoch: epoch + 1,
            step,
            train_loss: loss_sum / images as f64,
            train_accuracy: top1 as f64 / images as f64,
            test_loss: tested.loss(),
            test_accuracy: tested.accuracy(),
            test_top5: evaluation.map(Evaluation::top5),
            test_balanced_accuracy: per_class.as_ref().and_then(|it| it.balanced_accuracy),
            test_macro_f1: per_class.and_then(|it| it.macro_mean).map(|mean| mean.f1),
            train_mean_iou: tested.mean_iou().map(|_| iou_sum / images as f64),
            test_mean_iou: tested.mean_iou(),
            gradient_norm,
            lr: self.lr(step - 1),
            images_per_second,
            wait_share: images_per_second.map(|_| training.wait_share()),
            seconds: time.map(|time| time.as_secs_f64()),
        };
        let by = self.config.train.best_by;
        let this = Best::new(&record, by);
        let is_best = self.state.best.is_none_or(|best| by.gain(best.score(), this.score()) > 0.0);
        if is_best {
            self.state.best = Some(this);
        }
        self.state.plateau.epoch(self.config.schedule().decay, by.gain(0.0, this.score()));
        self.epochs.push(record.clone());
        self.reporters.report(&Event::Epoch {
            record: &record,
            epochs: &self.epochs,
            tested,
            is_best,
            norms: &norms,
        })?;

        let Progress { step, seed, .. } = self.position;
        self.position = Progress { epoch: epoch + 1, step, seed, ..Progress::default() };
        self.save(is_best)
    }

    /// Tells that all is done, and what came out.
    pub(super) fn finish(&mut self, tested: Option<Tested>) -> Result<End> {
        let evaluation = tested.as_ref().and_then(Tested::evaluation);
        let done = self.pace.all(Instant::now());
        let Progress { epoch: epochs, step, .. } = self.position;
        let early = ends_early(&self.config.train, &self.epochs);
        let early = early.as_ref().map(|early| early.why.as_str());
        self.reporters.report(&Event::Finished { epochs, early, step, done })?;
        let last = self.epochs.last().filter(|last| last.epoch == epochs);
        Ok(End::Finished(last.zip(self.state.best).map(|(last, best)| {
            let time = Some(done).filter(|_| !self.resumed);
            let outcome = Outcome::new(self.run, self.config, last, best).timed(time);
            let confusion = evaluation.map(|evaluation| &evaluation.confusion);
            Box::new(outcome.with_classes(self.data.test.classes(), confusion))
        })))
    }
}
