//! What a run's spreadsheets have: `metrics.csv`, a row an epoch, and `confusion.csv`, of the best one's
//! test.

use anyhow::Result;

use super::{Event, Reporter};
use crate::run::folder::{CONFUSION, METRICS_CSV, RunDir};
use crate::run::metrics::EpochRecord;
use crate::terminal::table::csv;

pub(crate) struct Csv<'a> {
    run: &'a RunDir,
    /// Names of the tested classes.
    classes: &'a [String],
}

impl<'a> Csv<'a> {
    pub(crate) fn new(run: &'a RunDir, classes: &'a [String]) -> Self {
        Self { run, classes }
    }
}

impl Reporter for Csv<'_> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Started { epochs, .. } => self.run.write(METRICS_CSV, to_csv(epochs)),
            Event::Epoch { epochs, tested, is_best, .. } => {
                self.run.write(METRICS_CSV, to_csv(epochs))?;
                match tested.evaluation().filter(|_| *is_best) {
                    Some(it) => self.run.write(CONFUSION, it.confusion.to_csv(self.classes)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

const COLUMNS: [&str; 16] = [
    "epoch",
    "step",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "test_top5",
    "lr",
    "images_per_second",
    "wait_share",
    "seconds",
    // Later than the others, which stay in their places.
    "test_balanced_accuracy",
    "test_macro_f1",
    "gradient_norm",
    "train_mean_iou",
    "test_mean_iou",
];

/// Epochs as CSV, below a header.
fn to_csv(epochs: &[EpochRecord]) -> Vec<u8> {
    let header = COLUMNS.map(String::from);
    csv([header].into_iter().chain(epochs.iter().map(row)).map(Vec::from))
}

/// The values of the columns.
fn row(epoch: &EpochRecord) -> [String; 16] {
    let time = |value: Option<f64>, digits| {
        value.map_or(String::new(), |value| format!("{value:.digits$}"))
    };
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    [
        epoch.epoch.to_string(),
        epoch.step.to_string(),
        epoch.train_loss.to_string(),
        epoch.train_accuracy.to_string(),
        epoch.test_loss.to_string(),
        epoch.test_accuracy.to_string(),
        number(epoch.test_top5),
        epoch.lr.to_string(),
        time(epoch.images_per_second, 1),
        time(epoch.wait_share, 3),
        // All digits, as it is decided by them whether one more epoch would take too long.
        number(epoch.seconds),
        number(epoch.test_balanced_accuracy),
        number(epoch.test_macro_f1),
        number(epoch.gradient_norm),
        number(epoch.train_mean_iou),
        number(epoch.test_mean_iou),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_column_a_number() {
        let epoch = EpochRecord {
            epoch: 3,
            step: 6,
            images_per_second: Some(100.0),
            wait_share: Some(0.0625),
            seconds: Some(1.25),
            gradient_norm: Some(1.5),
            ..EpochRecord::sample()
        };
        let resumed = EpochRecord {
            test_balanced_accuracy: None,
            test_macro_f1: None,
            gradient_norm: None,
            images_per_second: None,
            wait_share: None,
            seconds: None,
            ..epoch.clone()
        };
        insta::assert_snapshot!(String::from_utf8(to_csv(&[epoch, resumed])).unwrap(), @r#"
        epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,test_top5,lr,images_per_second,wait_share,seconds,test_balanced_accuracy,test_macro_f1,gradient_norm,train_mean_iou,test_mean_iou
        3,6,2.25,0.125,2,0.25,0.5,0.5,100.0,0.062,1.25,0.375,0.3125,1.5,,
        3,6,2.25,0.125,2,0.25,0.5,0.5,,,,,,,,
        "#);
    }
}
