//! What a run came to: the result of `train` and `resume`, on standard output.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::state::Best;
use crate::config::{BestBy, Config};
use crate::failure::Code;
use crate::run::folder::{Which, checkpoint_path};
use crate::run::metrics::EpochRecord;
use crate::scores::confusion::Confusion;
use crate::terminal::print;
use crate::terminal::throughput::Throughput;

/// How training ended.
pub(crate) enum End {
    /// After the last epoch, or early, with what came out.
    Finished(Option<Box<Outcome>>),
    /// When asked to, with the code to leave the program with.
    Stopped(Code),
}

/// The last epoch and the best one.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    run: PathBuf,
    tested_on: &'static str,
    best_by: BestBy,
    last: EpochRecord,
    best: Best,
    /// Of all epochs, if this process did them.
    done: Option<Throughput>,
    classes: Vec<Value>,
}

impl Outcome {
    pub(crate) fn new(run: &Path, config: &Config, last: &EpochRecord, best: Best) -> Self {
        Self {
            run: run.into(),
            tested_on: config.data.tested_on(),
            best_by: config.train.best_by,
            last: last.clone(),
            best,
            done: None,
            classes: vec![],
        }
    }

    /// The same with the images that were trained on and the time it took.
    #[must_use]
    pub(crate) fn timed(self, done: Option<Throughput>) -> Self {
        Self { done, ..self }
    }

    /// The same with the accuracy of each class after the last epoch.
    #[must_use]
    pub(crate) fn with_classes(self, names: &[String], confusion: Option<&Confusion>) -> Self {
        let classes = confusion.map_or(vec![], |confusion| confusion.to_json(names));
        Self { classes, ..self }
    }

    /// `runs/vgg11_small-1: test accuracy 91.83 %, best 91.95 % on the test images (epoch 8)`
    ///
    /// Chosen by another score, `best by macro F1 81.25 %, with accuracy 91.95 % on …`.
    fn to_text(&self) -> String {
        let Self { run, last, best, best_by, .. } = self;
        let score = match best_by {
            BestBy::Accuracy => String::new(),
            _ => format!("{} {}, with accuracy", best_by.words(), best_by.shown(best.score())),
        };
        format!(
            "{}: {part} accuracy {:.2} %, best{score} {:.2} % on the {part} images (epoch {})",
            run.display(),
            100.0 * last.test_accuracy,
            100.0 * best.accuracy,
            best.epoch,
            part = self.tested_on,
        )
    }

    fn to_json(&self) -> Value {
        let Self { run, tested_on, best_by, last, best, done, classes } = self;
        let path = |which| checkpoint_path(run, which);
        let mut json = json!({
            "run": run,
            "tested_on": tested_on,
            "epochs": last.epoch,
            "steps": last.step,
            "train_loss": last.train_loss,
            "train_accuracy": last.train_accuracy,
            "test_loss": last.test_loss,
            "test_accuracy": last.test_accuracy,
            "test_top5": last.test_top5,
            "test_balanced_accuracy": last.test_balanced_accuracy,
            "test_macro_f1": last.test_macro_f1,
            "best": {
                "epoch": best.epoch,
                "accuracy": best.accuracy,
                "by": best_by,
                "score": best.score(),
            },
            "checkpoints": { "best": path(Which::Best), "last": path(Which::Last) },
        });
        if let Some(done) = done {
            json["seconds"] = done.wall.as_secs_f64().into();
            json["images_per_second"] = done.images_per_second().into();
        }
        if !classes.is_empty() {
            json["classes"] = classes.clone().into();
        }
        json
    }
}

/// Prints what came out, if training came to its end. The code to leave the program with.
pub(crate) fn tell(end: End, json: bool) -> Result<Code> {
    match end {
        End::Stopped(code) => return Ok(code),
        End::Finished(None) => {}
        End::Finished(Some(outcome)) if json => print::json(&outcome.to_json())?,
        End::Finished(Some(outcome)) => print::lines([outcome.to_text()])?,
    }
    Ok(Code::Success)
}
