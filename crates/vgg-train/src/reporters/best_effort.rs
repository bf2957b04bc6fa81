//! Reports that a run can do without.

use anyhow::Result;

use super::{Event, Reporter};
use crate::terminal::ui::Ui;

/// A reporter whose first failure is a warning, and none of whose failures ends training: a picture
/// is no reason to lose a run. It is told what follows, as the disk may have room again.
pub(crate) struct BestEffort<'a, R> {
    reporter: R,
    ui: &'a Ui,
    failed: bool,
}

impl<'a, R: Reporter> BestEffort<'a, R> {
    pub(crate) fn new(reporter: R, ui: &'a Ui) -> Self {
        Self { reporter, ui, failed: false }
    }
}

impl<R: Reporter> Reporter for BestEffort<'_, R> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        if let Err(error) = self.reporter.report(event) {
            if !self.failed {
                self.ui.warn(&format!("{error:#}; training goes on without"));
            }
            self.failed = true;
        }
        Ok(())
    }
}
