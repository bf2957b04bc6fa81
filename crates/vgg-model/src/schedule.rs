//! How the learning rate moves.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use vgg_tensor::Result;

use crate::invalid;

/// The learning rate of each step: a linear warm-up, then a decay.
///
/// With `t` the step from 0, `T` the steps of the whole run and `W` those of the warm-up, `warmup_steps` or
/// the share `warmup_share` of `T`, rounded:
///
/// - while `t < W`: `base · (t + 1) / W`, whatever the decay;
/// - then what [`Decay`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// What follows the warm-up.
    pub decay: Decay,
    /// Steps of the warm-up; zero for none.
    pub warmup_steps: u64,
    /// The same as a share of the run's steps, below 1. One of both is zero.
    pub warmup_share: f32,
}

/// The learning rate after the warm-up; letters as at [`Schedule`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// `base`.
    #[default]
    Constant,
    /// `base · factor^⌊epoch / every_epochs⌋`, where the epoch counts from the start of the run.
    Step {
        /// Epochs from one drop to the next.
        every_epochs: u64,
        /// What each drop multiplies by.
        factor: f32,
    },
    /// `base · factor^drops`, where a [`Plateau`] counts the drops: the paper's rule (section 3.1).
    Plateau {
        /// Epochs without a better accuracy before a drop.
        patience: u64,
        /// What each drop multiplies by.
        factor: f32,
    },
    /// `min_lr + (base − min_lr) / 2 · (1 + cos(π · (t − W) / (T − W)))`, and `min_lr` from `T` on
    /// (SGDR without restarts: Loshchilov & Hutter 2017, equation 5).
    Cosine {
        /// Where it ends.
        #[serde(default)]
        min_lr: f32,
    },
    /// From `base / 25` by a cosine up to `base`, over the share `rise` of the steps, and by a cosine
    /// down to `base / 250,000` at the last one: PyTorch's `OneCycleLR` with its defaults, without a
    /// cycle of the momentum (Smith & Topin 2018). There is no warm-up but this.
    OneCycle {
        /// The share of the steps in which it rises.
        rise: f32,
    },
}

/// What one cycle's first rate is `base` divided by, and its last one the first divided by.
const START: f64 = 25.0;
const END: f64 = 1e4;

impl Schedule {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] with the key, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        match self.decay {
            Decay::Step { every_epochs: 0, .. } => Err(invalid("every_epochs", 0, "at least 1")),
            Decay::Plateau { patience: 0, .. } => Err(invalid("patience", 0, "at least 1")),
            Decay::Step { factor, .. } | Decay::Plateau { factor, .. }
                if !(factor > 0.0 && factor <= 1.0) =>
            {
                Err(invalid("factor", factor, "above 0 and at most 1"))
            }
            Decay::Cosine { min_lr } if !(min_lr.is_finite() && min_lr >= 0.0) => {
                Err(invalid("min_lr", min_lr, "finite and at least 0"))
            }
            Decay::OneCycle { rise } if !(rise > 0.0 && rise < 1.0) => {
                Err(invalid("rise", rise, "above 0 and below 1"))
            }
            Decay::OneCycle { .. } if self.warmup_steps > 0 => {
                Err(invalid("warmup_steps", self.warmup_steps, "0, as one cycle rises by itself"))
            }
            Decay::OneCycle { .. } if self.warmup_share > 0.0 => {
                Err(invalid("warmup_share", self.warmup_share, "0, as one cycle rises by itself"))
            }
            _ if !(0.0..1.0).contains(&self.warmup_share) => {
                Err(invalid("warmup_share", self.warmup_share, "at least 0 and below 1"))
            }
            _ if self.warmup_share > 0.0 && self.warmup_steps > 0 => {
                Err(invalid("warmup_share", self.warmup_share, "0 where there are warmup_steps"))
            }
            _ => Ok(()),
        }
    }

    /// Steps of the warm-up in a run of `total_steps`.
    ///
    /// ```
    /// use vgg_model::Schedule;
    /// let schedule = Schedule { warmup_share: 0.05, ..Schedule::default() };
    /// assert_eq!([100, 4690].map(|steps| schedule.warmup(steps)), [5, 235]);
    /// ```
    pub fn warmup(&self, total_steps: u64) -> u64 {
        let share = (f64::from(self.warmup_share) * total_steps as f64).round() as u64;
        self.warmup_steps.max(share)
    }

    /// The learning rate of step `step` (from 0) of `total_steps`, with `steps_per_epoch` in each
    /// epoch. Drops at plateaus are not part of it: [`Plateau::factor`] has them.
    ///
    /// ```
    /// use vgg_model::{Decay, Schedule};
    /// let decay = Decay::Step { every_epochs: 2, factor: 0.5 };
    /// let schedule = Schedule { decay, warmup_steps: 4, ..Schedule::default() };
    /// assert_eq!(schedule.lr(0.4, 0, 10, 100), 0.1);
    /// assert_eq!(schedule.lr(0.4, 4, 10, 100), 0.4);
    /// assert_eq!(schedule.lr(0.4, 20, 10, 100), 0.2);
    /// ```
    pub fn lr(&self, base: f32, step: u64, steps_per_epoch: u64, total_steps: u64) -> f32 {
        let (base, warmup) = (f64::from(base), self.warmup(total_steps));
        let lr = if step < warmup {
            base * (step + 1) as f64 / warmup as f64
        } else {
            match self.decay {
                Decay::Constant | Decay::Plateau { .. } => base,
                Decay::Step { every_epochs, factor } => {
                    let drops = step / steps_per_epoch.max(1) / every_epochs.max(1);
                    base * f64::from(factor).powf(drops as f64)
                }
                Decay::Cosine { min_lr } => {
                    let min_lr = f64::from(min_lr);
                    let steps = total_steps.saturating_sub(warmup).max(1);
                    cosine(base, min_lr, (step - warmup) as f64 / steps as f64)
                }
                Decay::OneCycle { rise } => {
                    let (first, step) = (base / START, step as f64);
                    let last_step = total_steps.saturating_sub(1) as f64;
                    let peak = f64::from(rise) * total_steps as f64 - 1.0;
                    match step <= peak {
                        true => cosine(first, base, step / peak),
                        false => cosine(base, first / END, (step - peak) / (last_step - peak)),
                    }
                }
            }
        };
        lr as f32
    }
}

/// Half a wave from one rate to another, of which the share `progress` has passed.
fn cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * progress.min(1.0)).cos())
}

/// What a run has come to with [`Decay::Plateau`], part of its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plateau {
    /// The best score so far.
    best: Option<f64>,
    /// Epochs since it, or since the last drop.
    epochs: u64,
    drops: u64,
}

impl Plateau {
    /// Takes an epoch's score on images that are not trained on, of which a higher one is better.
    ///
    /// ```
    /// use vgg_model::{Decay, Plateau};
    /// let decay = Decay::Plateau { patience: 2, factor: 0.5 };
    /// let mut plateau = Plateau::default();
    /// let factors = [0.6, 0.7, 0.7, 0.65, 0.8, 0.8, 0.7].map(|accuracy| {
    ///     plateau.epoch(decay, accuracy);
    ///     plateau.factor(decay)
    /// });
    /// assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
    /// ```
    pub fn epoch(&mut self, decay: Decay, score: f64) {
        let Decay::Plateau { patience, .. } = decay else { return };
        self.epochs += 1;
        if self.best.is_none_or(|best| score > best) {
            (self.best, self.epochs) = (Some(score), 0);
        } else if self.epochs >= patience {
            self.drops += 1;
            self.epochs = 0;
        }
    }

    /// What the learning rate is multiplied by.
    pub fn factor(&self, decay: Decay) -> f32 {
        match decay {
            Decay::Plateau { factor, .. } => f64::from(factor).powf(self.drops as f64) as f32,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lrs(schedule: Schedule, steps: [u64; 5]) -> [f32; 5] {
        steps.map(|step| schedule.lr(0.8, step, 10, 100))
    }

    #[test]
    fn values() {
        let constant = Schedule::default();
        assert_eq!(lrs(constant, [0, 1, 10, 99, 100]), [0.8; 5]);
        let step = Schedule { decay: Decay::Step { every_epochs: 3, factor: 0.5 }, ..constant };
        assert_eq!(lrs(step, [0, 29, 30, 59, 60]), [0.8, 0.8, 0.4, 0.4, 0.2]);
        let cosine = Schedule { decay: Decay::Cosine { min_lr: 0.2 }, ..constant };
        assert_eq!(lrs(cosine, [0, 50, 100, 101, u64::MAX]), [0.8, 0.5, 0.2, 0.2, 0.2]);
    }

    #[test]
    fn warm_up_comes_first() {
        for decay in [Decay::Constant, Decay::Cosine { min_lr: 0.0 }] {
            let schedule = Schedule { decay, warmup_steps: 4, ..Schedule::default() };
            assert_eq!(lrs(schedule, [0, 1, 2, 3, 4]), [0.2, 0.4, 0.6, 0.8, 0.8]);
        }
        // The cosine runs over what the warm-up leaves.
        let steps = Schedule {
            decay: Decay::Cosine { min_lr: 0.0 },
            warmup_steps: 20,
            ..Schedule::default()
        };
        let share = Schedule { warmup_steps: 0, warmup_share: 0.2, ..steps };
        for schedule in [steps, share] {
            assert_eq!(schedule.lr(0.8, 9, 10, 100), 0.4);
            assert_eq!(schedule.lr(0.8, 60, 10, 100), 0.4);
        }
    }

    #[test]
    fn no_settings_divide_by_zero() {
        let step = Decay::Step { every_epochs: 0, factor: 0.1 };
        for decay in [step, Decay::Cosine { min_lr: 0.0 }, Decay::OneCycle { rise: 0.5 }] {
            let schedule = Schedule { decay, ..Schedule::default() };
            for (step, steps) in [(0, 0), (5, 0), (0, 1), (0, 2), (1, 2), (9, 2)] {
                assert!(schedule.lr(0.8, step, 0, steps).is_finite(), "{decay:?} {step} {steps}");
            }
        }
    }

    #[test]
    fn ranges() {
        let check =
            |decay| Schedule { decay, ..Schedule::default() }.check().map_err(|e| e.to_string());
        assert!(check(Decay::Step { every_epochs: 1, factor: 0.1 }).is_ok());
        let message = check(Decay::Step { every_epochs: 0, factor: 0.1 }).unwrap_err();
        assert_eq!(message, "every_epochs = 0, but it must be at least 1");
        assert!(check(Decay::Step { every_epochs: 1, factor: f32::NAN }).is_err());
        assert!(check(Decay::Cosine { min_lr: -0.1 }).is_err());
        assert!(check(Decay::OneCycle { rise: 0.3 }).is_ok());
        for rise in [0.0, 1.0, f32::NAN] {
            assert!(check(Decay::OneCycle { rise }).is_err());
        }
        let one_cycle = Schedule { decay: Decay::OneCycle { rise: 0.3 }, ..Schedule::default() };
        let message = Schedule { warmup_steps: 1, ..one_cycle }.check().unwrap_err().to_string();
        assert_eq!(message, "warmup_steps = 1, but it must be 0, as one cycle rises by itself");
        let plain = Schedule::default();
        for wrong in [
            Schedule { warmup_share: 0.5, ..one_cycle },
            Schedule { warmup_share: 1.0, ..plain },
            Schedule { warmup_share: f32::NAN, ..plain },
            Schedule { warmup_share: 0.5, warmup_steps: 1, ..plain },
        ] {
            let message = wrong.check().unwrap_err().to_string();
            assert!(message.starts_with("warmup_share = "), "{message}");
        }
    }

    #[test]
    fn configs_read_as_documented() {
        let parse = serde_json::from_str::<Schedule>;
        assert_eq!(parse("{}").unwrap(), Schedule::default());
        let decay = Decay::Cosine { min_lr: 0.0 };
        let cosine = Schedule { decay, warmup_steps: 5, ..Schedule::default() };
        assert_eq!(parse(r#"{"decay": {"cosine": {}}, "warmup_steps": 5}"#).unwrap(), cosine);
        assert!(parse(r#"{"decay": {"cosine": {"min": 0}}}"#).is_err());
    }
}
