//! The pictures of a run, drawn anew after each epoch: `curves.svg`, and `confusion.svg` of its test.

use anyhow::Result;

use super::{Event, Reporter};
use crate::config::BestBy;
use crate::drawing::matrix;
use crate::run::curves;
use crate::run::folder::{CONFUSION_SVG, CURVES, RunDir};
use crate::terminal::numbers::grouped;

pub(crate) struct Svg<'a> {
    run: &'a RunDir,
    /// The run's name.
    name: &'a str,
    best_by: BestBy,
    /// What the images are called that each epoch is tested on.
    tested_on: &'a str,
    /// Names of the tested classes.
    classes: &'a [String],
}

impl<'a> Svg<'a> {
    pub(crate) fn new(
        run: &'a RunDir,
        name: &'a str,
        best_by: BestBy,
        tested_on: &'a str,
        classes: &'a [String],
    ) -> Self {
        Self { run, name, best_by, tested_on, classes }
    }
}

impl Reporter for Svg<'_> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Epoch { epochs, record, tested, is_best, .. } = event {
            let curves = curves::picture(self.name, self.tested_on, self.best_by, epochs);
            self.run.write(CURVES, curves.file())?;
            if let Some(evaluation) = tested.evaluation().filter(|_| *is_best) {
                let title = title(self.name, record.epoch, tested.images(), self.tested_on);
                let confusion = matrix::picture(&title, self.classes, &evaluation.confusion);
                self.run.write(CONFUSION_SVG, confusion.file())?;
            }
        }
        Ok(())
    }
}

/// What a test is called that pictures are of.
pub(super) fn title(name: &str, epoch: u64, images: u64, tested_on: &str) -> String {
    format!("{name}, epoch {epoch}: {} {tested_on} images", grouped(images))
}
