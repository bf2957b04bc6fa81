//! When a quicker config is worth a word.

use std::time::Duration;

use crate::terminal::numbers::clock;
use crate::terminal::ui::Ui;

/// A run that takes longer than this is told of a quicker config.
const LONG: Duration = Duration::from_secs(30 * 60);

/// Steps after which an estimate is taken seriously.
const SETTLED: u64 = 3;

/// Tells once of a quicker config, if this run will take long.
#[derive(Debug)]
pub(super) struct LongRunHint {
    /// Steps of this process; none where nobody counts any more.
    steps: Option<u64>,
}

impl LongRunHint {
    /// One that was told already, if the run was.
    pub(super) fn new(resumed: bool) -> Self {
        Self { steps: (!resumed).then_some(0) }
    }

    /// Counts a step, after which the run is estimated to take `eta`.
    pub(super) fn step(&mut self, ui: &Ui, eta: Option<Duration>, quicker: &str) {
        self.steps = self.steps.map(|steps| steps + 1);
        if self.steps != Some(SETTLED) {
            return;
        }
        self.steps = None;
        if let Some(eta) = eta.filter(|eta| *eta > LONG && !quicker.is_empty()) {
            ui.help(&format!("this run takes about {}; {quicker} is quicker", clock(eta)));
        }
    }
}
