//! A run in TensorBoard, which shows the files of `tensorboard/` in the run's folder: those of `train/`
//! have what is told of steps, those of `test/` what each epoch's test found.
//!
//! Pictures are of the best networks: what their tests took for what, and their worst mistakes.
//! Curves of the same name share a chart, so both count steps. The test's run has the settings, too,
//! so that TensorBoard's table of runs has those beside what they led to.
//!
//! A process that goes on with a run writes new files, which begin by taking back what was told of the
//! steps that it does again. Norms that were told before a checkpoint failed to follow are told again,
//! to the same effect.

mod event_file;
mod hparams;
mod images;
mod record;
mod summary;

use anyhow::{Context as _, Result};

use self::event_file::EventFile;
use self::summary::Summary;
use super::svg::title;
use super::{Event, LayerNorms, Reporter};
use crate::config::{CONFIG, Config};
use crate::data::Part;
use crate::run::folder::{RunDir, TENSORBOARD};
use crate::run::metrics::{EpochRecord, StepRecord};
use crate::scores::evaluation::tells_top5;
use crate::scores::tested::Tested;

pub(crate) struct TensorBoard<'a> {
    run: &'a RunDir,
    config: &'a Config,
    /// What each epoch is tested on.
    test: &'a Part,
    /// From the start on, if they could be made.
    files: Option<Files>,
}

/// What this process writes.
struct Files {
    train: EventFile,
    test: EventFile,
}

impl<'a> TensorBoard<'a> {
    pub(crate) fn new(run: &'a RunDir, config: &'a Config, test: &'a Part) -> Self {
        Self { run, config, test, files: None }
    }

    /// Makes the files of a process that does the steps after `step`, and the tests after `tested`.
    fn start(&self, step: u64, tested: u64) -> Result<Files> {
        let folder = self.run.file(TENSORBOARD);
        let [step, tested] = [step + 1, tested + 1];
        let mut train = EventFile::create(&folder.join("train"), step)?;
        let mut test = EventFile::create(&folder.join("test"), tested)?;
        let config = self.run.file(CONFIG);
        let text = std::fs::read_to_string(&config)
            .with_context(|| format!("cannot read {}", config.display()))?;
        // A block of code, whatever is in it.
        let lines = text.lines().map(|line| format!("    {line}\n"));
        train.write(step, Summary::default().text("config", &lines.collect::<String>()))?;
        test.write(tested, hparams::start(self.config))?;
        Ok(Files { train, test })
    }
}

impl Reporter for TensorBoard<'_> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Started { step, epochs, .. } = event {
            let tested = epochs.last().map_or(0, |epoch| epoch.step);
            self.files = Some(self.start(*step, tested)?);
        }
        let Some(Files { train, test }) = &mut self.files else { return Ok(()) };
        match event {
            Event::Step { record, is_recorded: true, .. } => {
                train.write(record.step, of_step(record))
            }
            Event::Epoch { record, tested, is_best, norms, .. } => {
                train.write(record.step, of_norms(norms, record.gradient_norm))?;
                test.write(record.step, of_test(record, self.test.classes().len()))?;
                if let (true, Tested::Classes { predictions, evaluation }) = (*is_best, *tested) {
                    let tested_on = self.config.data.tested_on();
                    let title = title(&self.config.name, record.epoch, tested.images(), tested_on);
                    let images = images::of_test(&title, self.test, evaluation, predictions)?;
                    test.write(record.step, images)?;
                }
                Ok(())
            }
            Event::Finished { step, .. } => test.write(*step, hparams::end()),
            _ => Ok(()),
        }
    }
}

fn of_step(step: &StepRecord) -> Summary {
    Summary::default()
        .scalar("loss", step.train_loss)
        .scalar("accuracy", step.train_accuracy)
        .scalar("batch_loss", step.batch_loss)
        .scalar("learning_rate", f64::from(step.lr))
        .scalar("images_per_second", step.images_per_second)
        .scalar("wait_share", step.wait_share)
}

fn of_test(epoch: &EpochRecord, classes: usize) -> Summary {
    let named = [
        ("loss", Some(epoch.test_loss)),
        ("accuracy", Some(epoch.test_accuracy)),
        ("top5", epoch.test_top5.filter(|_| tells_top5(classes))),
        ("balanced_accuracy", epoch.test_balanced_accuracy),
        ("macro_f1", epoch.test_macro_f1),
        ("mean_iou", epoch.test_mean_iou),
    ];
    let known = named.into_iter().filter_map(|(name, score)| Some((name, score?)));
    known.fold(Summary::default(), |summary, (name, score)| summary.scalar(name, score))
}

fn of_norms(norms: &[LayerNorms], all_gradients: Option<f64>) -> Summary {
    let all = all_gradients.map(|norm| Summary::default().scalar("gradient_norm", norm));
    norms.iter().fold(
        all.unwrap_or_default(),
        |summary, LayerNorms { layer, weights, gradients }| {
            summary
                .scalar(&format!("weights/{layer}"), *weights)
                .scalar(&format!("gradients/{layer}"), *gradients)
        },
    )
}
