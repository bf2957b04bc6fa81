//! The progress of training: how fast it goes, and when it will be done.
//!
//! Images a second are always of wall time. In lines of steps and epochs they are the epoch's
//! training images, from the epoch's start to the end of its last step so far; the test that follows
//! is not training. In the last line they are all images trained on, from the start of the first
//! epoch to when everything is written.

use std::time::{Duration, Instant};

use crate::reporters::Work;
use crate::terminal::throughput::Throughput;

/// An evaluated image costs about a third of a trained one: forward without backward.
const EVALUATION_COST: f64 = 1.0 / 3.0;

/// What was measured in this process. Nothing of it is kept in a checkpoint: times are not part of
/// a run's result.
///
/// A step ends when its metrics are back on the host, on a device that has others before it, too;
/// then its images count. The caller reads the clock.
#[derive(Debug)]
pub(crate) struct Pace {
    work: Work,
    start: Instant,
    epoch_start: Instant,
    /// From the epoch's start to the end of its last step so far.
    epoch: Throughput,
    /// The same of the epochs before, together.
    before: Throughput,
    /// Up to the end of the process's first step, which also warms up caches and allocators, so
    /// that it tells nothing of the steps to come.
    first: Throughput,
    steps: u64,
    /// From an epoch's last step to the next epoch: its test, and what is written. How many of
    /// them, and all their time.
    between: (u32, Duration),
}

impl Pace {
    pub(crate) fn new(work: Work, now: Instant) -> Self {
        let none = Throughput::default();
        Self {
            work,
            start: now,
            epoch_start: now,
            epoch: none,
            before: none,
            first: none,
            steps: 0,
            between: (0, Duration::ZERO),
        }
    }

    pub(crate) fn start_epoch(&mut self, now: Instant) {
        if self.epoch.images > 0 {
            let (count, time) = self.between;
            let last_step = self.epoch_start + self.epoch.wall;
            self.between = (count + 1, time + now.saturating_duration_since(last_step));
        }
        self.before = self.before + std::mem::take(&mut self.epoch);
        self.epoch_start = now;
    }

    /// Counts time in which the device had nothing to do, for lack of images.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.epoch.waited += time;
    }

    /// Counts a step of so many images that has ended.
    pub(crate) fn step(&mut self, images: u64, now: Instant) {
        self.epoch.images += images;
        self.epoch.wall = now.saturating_duration_since(self.epoch_start);
        self.steps += 1;
        if self.steps == 1 {
            self.first = self.epoch;
        }
    }

    /// The current epoch's training so far: from its start, or the resumption of it, to the end of
    /// the last step.
    pub(crate) fn epoch(&self) -> Throughput {
        self.epoch
    }

    /// The process's training so far, tests and checkpoints included.
    pub(crate) fn all(&self, now: Instant) -> Throughput {
        let wall = now.saturating_duration_since(self.start);
        Throughput { wall, ..self.before + self.epoch }
    }

    /// The time to the end of the run, tests and checkpoints included, after `steps` steps of it.
    pub(crate) fn eta(&self, steps: u64) -> Option<Duration> {
        let Work { epochs, steps_per_epoch, train_images, test_images, .. } = self.work;
        let all = self.before + self.epoch;
        let after_first = Throughput {
            images: all.images - self.first.images,
            wall: all.wall - self.first.wall,
            waited: Duration::ZERO,
        };
        let train = after_first.seconds_per_image().or(all.seconds_per_image())?;
        let between = match self.between {
            (0, _) => test_images as f64 * train * EVALUATION_COST,
            (count, time) => time.as_secs_f64() / f64::from(count),
        };
        let epochs_left = epochs as f64 - steps as f64 / steps_per_epoch as f64;
        // After an epoch's last step its test is still to come.
        let tests_left = epochs_left.floor() + 1.0;
        let seconds = epochs_left * train_images as f64 * train + tests_left * between;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        epochs: 10,
        steps_per_epoch: 469,
        train_images: 60_000,
        test_images: 10_000,
        classes: 10,
        tested_on: "test",
    };

    /// A pace and the seconds of a clock that it is told.
    fn pace() -> (Pace, impl Fn(f64) -> Instant) {
        let start = Instant::now();
        (Pace::new(WORK, start), move |seconds| start + Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_rate_is_images_over_wall_time() {
        let (mut pace, at) = pace();
        assert_eq!(pace.epoch().images_per_second(), None);
        pace.start_epoch(at(2.0));
        // Two seconds for the step, once its images have come.
        pace.waited(Duration::from_secs(6));
        pace.step(128, at(10.0));
        assert_eq!(pace.epoch().images_per_second(), Some(128.0 / 8.0));
        assert_eq!(pace.epoch().wait_share(), 6.0 / 8.0);
        // The last batch is short; a checkpoint took five seconds before it.
        pace.step(32, at(18.0));
        assert_eq!(pace.epoch().images_per_second(), Some(160.0 / 16.0));
        assert_eq!(pace.epoch().wait_share(), 6.0 / 16.0);
        // A test does not slow training, but the run.
        assert_eq!(pace.epoch().images_per_second(), Some(160.0 / 16.0));
        let all = pace.all(at(20.0));
        assert_eq!((all.images_per_second(), all.wait_share()), (Some(160.0 / 20.0), 0.3));
        pace.start_epoch(at(22.0));
        assert_eq!(pace.epoch(), Throughput::default());
        pace.step(128, at(24.0));
        assert_eq!(pace.epoch().images_per_second(), Some(128.0 / 2.0));
        let all = pace.all(at(25.0));
        assert_eq!((all.images, all.wall, all.waited.as_secs()), (288, Duration::from_secs(25), 6));
    }

    #[test]
    fn the_end_is_estimated_from_wall_time() {
        let (mut pace, at) = pace();
        pace.start_epoch(at(0.0));
        assert_eq!(pace.eta(0), None);
        let near = |pace: &Pace, steps, expected: f64| {
            let eta = pace.eta(steps).unwrap().as_secs_f64();
            assert!((eta - expected).abs() < 1.0, "{eta} for {expected}");
        };
        pace.step(128, at(100.0));
        // After the epoch's last step: its test, nine epochs and theirs.
        near(&pace, 469, (9.0 * 60_000.0 + 10.0 * 10_000.0 / 3.0) * 100.0 / 128.0);
        // The first step counts only while there is no other. Waiting and saving count always.
        pace.waited(Duration::from_secs(4));
        pace.step(128, at(164.0));
        near(&pace, 469, (9.0 * 60_000.0 + 10.0 * 10_000.0 / 3.0) * 0.5);
        // The test takes 900 seconds, its checkpoint 100.
        pace.start_epoch(at(1164.0));
        near(&pace, 469 + 469, 8.0 * 60_000.0 * 0.5 + 9.0 * 1000.0);
        // In the middle of an epoch, its test is yet to come.
        near(&pace, 469 * 9 + 235, 234.0 / 469.0 * 60_000.0 * 0.5 + 1000.0);
    }

    /// A process that resumes counts what it did itself.
    #[test]
    fn a_test_alone_has_no_rate() {
        let (mut pace, at) = pace();
        pace.start_epoch(at(0.0));
        pace.start_epoch(at(10.0));
        assert_eq!(pace.all(at(10.0)).images_per_second(), None);
        pace.step(64, at(20.0));
        assert_eq!(pace.all(at(20.0)).images, 64);
        assert_eq!(pace.between, (0, Duration::ZERO), "nobody knows when the training ended");
    }
}
