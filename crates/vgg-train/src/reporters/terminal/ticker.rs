//! When progress is worth a line.

use std::time::{Duration, Instant};

/// Lines are not closer than this.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Decides when progress is worth a line.
///
/// After the first step; then at each tenth of an epoch, but not more often than every ten seconds.
/// Where a tenth takes long, the first few lines come sooner, at intervals that double.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    last: Option<(Instant, u64)>,
    interval: Duration,
}

impl Ticker {
    /// Whether a line is due after `step` of `steps_per_epoch` at `now`; if so, it is counted.
    pub(super) fn is_due(&mut self, now: Instant, step: u64, steps_per_epoch: u64) -> bool {
        let tenth = step * 10 / steps_per_epoch;
        let due = match self.last {
            None => true,
            Some((at, last)) => {
                let since = now.saturating_duration_since(at);
                since >= MIN_INTERVAL && (tenth != last || since >= self.interval)
            }
        };
        if due {
            self.last = Some((now, tenth));
            self.interval = self.interval.saturating_mul(2).max(MIN_INTERVAL);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of ten epochs with `step_time` a step.
    fn lines_of_ten_epochs(step_time: Duration) -> Vec<u64> {
        let (mut ticker, mut now) = (Ticker::default(), Instant::now());
        let mut lines = Vec::new();
        for step in 1..=4690 {
            now += step_time;
            if ticker.is_due(now, step, 469) {
                lines.push(step);
            }
        }
        lines
    }

    #[test]
    fn lines_are_soon_and_few() {
        for (step_ms, at_most) in [(1, 1), (100, 48), (4000, 120), (60_000, 120)] {
            let lines = lines_of_ten_epochs(Duration::from_millis(step_ms));
            assert_eq!(lines[0], 1);
            assert!(lines.len() <= at_most, "{step_ms} ms a step: {} lines", lines.len());
        }
        // Ten seconds after the first line there is a second one, even if a tenth takes minutes.
        assert_eq!(lines_of_ten_epochs(Duration::from_secs(4))[..3], [1, 4, 9]);
    }
}
