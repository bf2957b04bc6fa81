//! Notices that training does not learn.

use serde::{Deserialize, Serialize};

/// Steps whose losses are averaged before they are judged.
const WINDOW: u64 = 200;

/// A loss above this share of ln(classes), that of guessing, has learned nothing.
///
/// Healthy runs start slowly too: the reference run's mean loss over its first 93 steps is 0.971 of
/// ln(10), and over 200 steps it is far below.
const FLAT: f64 = 0.99;

/// Watches for a loss that stays where guessing is.
///
/// It is part of a checkpoint, so that an interrupted run is warned as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FlatLossWatch {
    loss_sum: f64,
    images: u64,
    steps: u64,
    told: bool,
}

impl FlatLossWatch {
    /// Takes in a step. The mean loss of the last [`WINDOW`] steps, once, if it is flat.
    pub(crate) fn step(&mut self, loss_sum: f64, images: u64, classes: usize) -> Option<f64> {
        self.loss_sum += loss_sum;
        self.images += images;
        self.steps += 1;
        if self.steps < WINDOW {
            return None;
        }
        let mean = self.loss_sum / self.images as f64;
        let flat = !self.told && mean > FLAT * (classes as f64).ln();
        *self = Self { told: self.told || flat, ..Self::default() };
        flat.then_some(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps after which the guard speaks, of 1000 steps of ten images each with these losses.
    fn told(loss: impl Fn(u64) -> f64) -> Vec<u64> {
        let mut guard = FlatLossWatch::default();
        (1..=1000).filter(|step| guard.step(10.0 * loss(*step), 10, 10).is_some()).collect()
    }

    #[test]
    fn a_flat_loss_is_told_once() {
        assert_eq!(told(|_| 10f64.ln()), [200]);
        assert_eq!(told(|step| if step <= 500 { 1.0 } else { 2.31 }), [800]);
    }

    #[test]
    fn a_slow_start_is_not_flat() {
        // As the reference run: 2.236 over the first 93 steps, then it falls.
        assert_eq!(told(|step| if step <= 93 { 2.236 } else { 1.2 }), [] as [u64; 0]);
        assert_eq!(told(|step| 2.3 - 0.001 * step as f64), [] as [u64; 0]);
    }
}
