//! Settings of the optimiser.

use serde::{Deserialize, Serialize};
use vgg_tensor::Result;
use vgg_tensor::spec::Sgd;

use crate::invalid;

/// Stochastic gradient descent as `torch.optim.SGD` (dampening 0), on all parameters alike, biases
/// included, but for what [`crate::Group`]s say; [`Sgd`] has the formula. Keys that are left out are zero or `false`, except `lr`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// The learning rate that a schedule starts from.
    pub lr: f32,
    /// Momentum; zero keeps no velocity.
    #[serde(default)]
    pub momentum: f32,
    /// L2 penalty.
    #[serde(default)]
    pub weight_decay: f32,
    /// Nesterov's variant of momentum.
    #[serde(default)]
    pub nesterov: bool,
}

impl SgdConfig {
    /// Plain SGD.
    pub const fn plain(lr: f32) -> Self {
        Self { lr, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] with the key, its value and what is allowed.
    ///
    /// ```
    /// use vgg_model::SgdConfig;
    /// assert!(SgdConfig::plain(0.05).check().is_ok());
    /// let error = SgdConfig::plain(-1.0).check().unwrap_err();
    /// assert_eq!(error.to_string(), "lr = -1, but it must be finite and at least 0");
    /// ```
    pub fn check(&self) -> Result<()> {
        check_lr(self.lr)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(invalid("momentum", self.momentum, "at least 0 and below 1"));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(invalid("weight_decay", self.weight_decay, "finite and at least 0"));
        }
        if self.nesterov && self.momentum == 0.0 {
            return Err(invalid("nesterov", true, "false where momentum is 0"));
        }
        Ok(())
    }

    /// Whether a velocity is kept for each parameter.
    pub fn has_velocity(&self) -> bool {
        self.momentum != 0.0
    }

    /// What the optimiser is told once; each step has its own learning rate.
    pub(crate) fn settings(&self) -> Sgd {
        let Self { lr: _, momentum, weight_decay, nesterov } = *self;
        Sgd { rate: 1.0, momentum, weight_decay, nesterov }
    }
}

/// Checks the learning rate of a step.
pub(crate) fn check_lr(lr: f32) -> Result<()> {
    if lr.is_finite() && lr >= 0.0 {
        Ok(())
    } else {
        Err(invalid("lr", lr, "finite and at least 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let good = SgdConfig { lr: 0.1, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
        assert!(good.check().is_ok() && good.has_velocity());
        let bad = [
            SgdConfig { lr: f32::INFINITY, ..good },
            SgdConfig { momentum: 1.0, ..good },
            SgdConfig { momentum: f32::NAN, ..good },
            SgdConfig { weight_decay: -1e-4, ..good },
            SgdConfig { momentum: 0.0, ..good },
        ];
        assert!(bad.iter().all(|config| config.check().is_err()));
        let settings = Sgd { rate: 1.0, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
        assert_eq!(good.settings(), settings);
    }
}
