//! What the best network so far said of each image of its test, as `predictions.safetensors`.

use anyhow::Result;

use super::{Event, Reporter};
use crate::run::folder::{PREDICTIONS, RunDir};
use crate::run::tested;
use crate::scores::tested::Tested;

pub(crate) struct PredictionsFile<'a> {
    run: &'a RunDir,
    /// Names of the tested classes.
    classes: &'a [String],
}

impl<'a> PredictionsFile<'a> {
    pub(crate) fn new(run: &'a RunDir, classes: &'a [String]) -> Self {
        Self { run, classes }
    }
}

impl Reporter for PredictionsFile<'_> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch {
                record,
                tested: Tested::Classes { predictions, .. },
                is_best: true,
                ..
            } => {
                let file = tested::to_file(record.epoch, self.classes, predictions)?;
                self.run.write(PREDICTIONS, file)
            }
            _ => Ok(()),
        }
    }
}
