//! Repeating, timing, and what is made of the times.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

/// How often something is measured after a warm-up: at least `runs` times, and until `seconds` are
/// spent.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Repeat {
    pub(super) runs: usize,
    pub(super) seconds: f64,
}

impl Repeat {
    /// For a layer or an operation.
    pub(super) const OPERATION: Repeat = Repeat { runs: 5, seconds: 0.2 };
    /// For whole steps.
    pub(super) const STEP: Repeat = Repeat { runs: 3, seconds: 2.0 };

    /// The median duration of `run`, which returns the part of its time that counts.
    pub(super) fn median(self, mut run: impl FnMut() -> Result<Duration>) -> Result<Duration> {
        run()?;
        let start = Instant::now();
        let mut seconds = Vec::new();
        while seconds.len() < self.runs || start.elapsed().as_secs_f64() < self.seconds {
            seconds.push(run()?.as_secs_f64());
        }
        Ok(Duration::from_secs_f64(median(seconds)))
    }
}

/// How long `work` takes.
pub(super) fn time<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Duration>
where
    anyhow::Error: From<E>,
{
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// The middle of the values, of an even number the mean of the two.
///
/// # Panics
/// Without a value.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// How many times faster we are than a peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratio {
    /// Our median over theirs.
    pub(super) of_medians: f64,
    /// The smallest ratio of a round.
    pub(super) min: f64,
    /// The largest ratio of a round.
    pub(super) max: f64,
}

impl Ratio {
    /// From the rates of each round; there is at least one, and as many of theirs as of ours.
    pub(super) fn of(ours: &[f64], theirs: &[f64]) -> Self {
        let rounds = || ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
        Self {
            of_medians: median(ours.to_vec()) / median(theirs.to_vec()),
            min: rounds().fold(f64::INFINITY, f64::min),
            max: rounds().fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median([7.0]), 7.0);
    }

    #[test]
    fn ratios_are_of_medians_and_their_spread_is_of_rounds() {
        let ratio = Ratio::of(&[10.0, 30.0, 20.0], &[5.0, 10.0, 5.0]);
        assert_eq!(ratio, Ratio { of_medians: 4.0, min: 2.0, max: 4.0 });
    }

    #[test]
    fn repeats_after_a_warm_up_and_counts_what_it_is_told() {
        let mut calls = 0;
        let run = || {
            calls += 1;
            Ok(Duration::from_secs(if calls == 1 { 100 } else { calls }))
        };
        let median = Repeat { runs: 3, seconds: 0.0 }.median(run).unwrap();
        assert_eq!((calls, median.as_secs()), (4, 3));
    }
}
