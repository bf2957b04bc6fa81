//! The progress of training: how fast it goes, when it will be done, and when to say so.

use std::time::{Duration, Instant};

use crate::ui::{Ui, clock};

/// A run that takes longer than this is told of a quicker config.
const LONG: Duration = Duration::from_secs(30 * 60);

/// Lines are not closer than this.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// An evaluated image costs about a third of a trained one: forward without backward.
const EVALUATION_COST: f64 = 1.0 / 3.0;

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub epochs: u64,
    pub steps_per_epoch: u64,
    pub train_images: u64,
    pub test_images: u64,
}

/// What was measured in this process. Nothing of it is kept in a checkpoint: times are not part of
/// a run's result.
#[derive(Debug)]
pub(crate) struct Pace {
    work: Work,
    epoch: Timed,
    /// Of the epochs before the current one.
    before: Timed,
    evaluation: Timed,
    /// The first step of a process also warms up caches and allocators, so it tells nothing of the
    /// steps to come.
    first: Timed,
    steps: u64,
}

/// Images, and the time they took.
#[derive(Clone, Copy, Debug, Default)]
struct Timed {
    images: u64,
    /// From the batch being there to its metrics being back on the host.
    busy: Duration,
    waiting: Duration,
}

impl Timed {
    fn add(&mut self, images: u64, busy: Duration, waiting: Duration) {
        self.images += images;
        self.busy += busy;
        self.waiting += waiting;
    }

    fn images_per_second(&self) -> Option<f64> {
        (self.images > 0).then(|| self.images as f64 / self.busy.as_secs_f64().max(1e-9))
    }

    fn wait_share(&self) -> f64 {
        let all = (self.busy + self.waiting).as_secs_f64();
        if all == 0.0 { 0.0 } else { self.waiting.as_secs_f64() / all }
    }

    fn seconds_per_image(&self) -> Option<f64> {
        (self.images > 0).then(|| (self.busy + self.waiting).as_secs_f64() / self.images as f64)
    }
}

impl Pace {
    pub(crate) fn new(work: Work) -> Self {
        let none = Timed::default();
        Self { work, epoch: none, before: none, evaluation: none, first: none, steps: 0 }
    }

    pub(crate) fn start_epoch(&mut self) {
        let Timed { images, busy, waiting } = std::mem::take(&mut self.epoch);
        self.before.add(images, busy, waiting);
    }

    pub(crate) fn step(&mut self, images: u64, busy: Duration, waiting: Duration) {
        self.epoch.add(images, busy, waiting);
        self.steps += 1;
        if self.steps == 1 {
            self.first = self.epoch;
        }
    }

    /// Of the time of steps, what passes until their metrics are back.
    pub(crate) fn waited_for_device(&mut self, time: Duration) {
        self.epoch.busy += time;
        if self.steps == 1 {
            self.first = self.epoch;
        }
    }

    pub(crate) fn evaluated(&mut self, images: u64, time: Duration) {
        self.evaluation.add(images, time, Duration::ZERO);
    }

    /// Of the current epoch, in images a second of step time; none before its first step.
    pub(crate) fn images_per_second(&self) -> Option<f64> {
        self.epoch.images_per_second()
    }

    /// Of the current epoch.
    pub(crate) fn wait_share(&self) -> f64 {
        self.epoch.wait_share()
    }

    fn all(&self) -> Timed {
        let mut all = self.before;
        all.add(self.epoch.images, self.epoch.busy, self.epoch.waiting);
        all
    }

    /// The time to the end of the run, evaluations included, after `steps` steps of it.
    pub(crate) fn eta(&self, steps: u64) -> Option<Duration> {
        let Work { epochs, steps_per_epoch, train_images, test_images } = self.work;
        let all = self.all();
        let after_first = Timed {
            images: all.images - self.first.images,
            busy: all.busy - self.first.busy,
            waiting: all.waiting - self.first.waiting,
        };
        let train = after_first.seconds_per_image().or(all.seconds_per_image())?;
        let test = self.evaluation.seconds_per_image().unwrap_or(train * EVALUATION_COST);
        let epochs_left = epochs as f64 - steps as f64 / steps_per_epoch as f64;
        let seconds = epochs_left * train_images as f64 * train
            + epochs_left.ceil() * test_images as f64 * test;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whether there were enough steps for an estimate to be taken seriously.
    pub(crate) fn is_settled(&self) -> bool {
        self.steps >= 3
    }
}

/// Decides when progress is worth a line.
///
/// After the first step; then at each tenth of an epoch, but not more often than every ten seconds.
/// Where a tenth takes long, the first few lines come sooner, at intervals that double.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    last: Option<(Instant, u64)>,
    interval: Duration,
}

impl Ticker {
    /// Whether a line is due after `step` of `steps_per_epoch` at `now`; if so, it is counted.
    pub(crate) fn is_due(&mut self, now: Instant, step: u64, steps_per_epoch: u64) -> bool {
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

/// Tells once of a quicker config, if this run will take long.
#[derive(Debug, Default)]
pub(crate) struct LongRunHint {
    done: bool,
}

impl LongRunHint {
    pub(crate) fn check(&mut self, ui: &Ui, pace: &Pace, eta: Option<Duration>, quicker: &str) {
        if self.done || !pace.is_settled() {
            return;
        }
        self.done = true;
        if let Some(eta) = eta.filter(|eta| *eta > LONG && !quicker.is_empty()) {
            ui.help(&format!("this run takes about {}; {quicker} is quicker", clock(eta)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work =
        Work { epochs: 10, steps_per_epoch: 469, train_images: 60_000, test_images: 10_000 };

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

    #[test]
    fn the_end_is_estimated_with_evaluations() {
        let mut pace = Pace::new(WORK);
        assert_eq!(pace.eta(0), None);
        let second = Duration::from_secs(1);
        pace.step(128, 100 * second, Duration::ZERO);
        // The first step does not count.
        pace.step(128, 60 * second, 4 * second);
        let eta = pace.eta(469).unwrap().as_secs_f64();
        assert!((eta - 9.0 * (60_000.0 * 0.5 + 10_000.0 * 0.5 / 3.0)).abs() < 1.0, "{eta}");
        pace.evaluated(10_000, 1000 * second);
        let eta = pace.eta(469).unwrap().as_secs_f64();
        assert!((eta - 9.0 * (60_000.0 * 0.5 + 1000.0)).abs() < 1.0, "{eta}");
        assert!((pace.wait_share() - 4.0 / 164.0).abs() < 1e-9);
        assert!((pace.images_per_second().unwrap() - 256.0 / 160.0).abs() < 1e-9);
        pace.start_epoch();
        assert_eq!(pace.images_per_second(), None);
    }
}
