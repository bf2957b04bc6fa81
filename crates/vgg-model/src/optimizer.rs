//! Settings of the optimiser.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use vgg_tensor::spec::{AdamW, Sgd};
use vgg_tensor::{Optimizer, Result};

use crate::{Params, invalid};

/// The optimiser of a recipe, on all parameters alike, biases included, but for what
/// [`crate::Group`]s say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

/// Stochastic gradient descent as `torch.optim.SGD` (dampening 0); [`Sgd`] has the formula. Keys that
/// are left out are zero or `false`, except `lr`.
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

/// Adam with decoupled weight decay as `torch.optim.AdamW`; [`AdamW`] has the formulas. Keys that are
/// left out are PyTorch's defaults, except `lr`, and `weight_decay`, which is zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// The learning rate that a schedule starts from.
    pub lr: f32,
    /// What a step leaves of the mean of gradients, and of that of their squares.
    #[serde(default = "usual_betas")]
    pub betas: [f64; 2],
    /// Added to the root of the mean of squares.
    #[serde(default = "usual_eps")]
    pub eps: f32,
    /// The share of a weight that decays in a step of learning rate 1.
    #[serde(default)]
    pub weight_decay: f32,
}

fn usual_betas() -> [f64; 2] {
    AdamW::default().betas
}

fn usual_eps() -> f32 {
    AdamW::default().eps
}

/// What an optimiser keeps of each parameter from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// SGD's with momentum.
    Velocity,
    /// AdamW's mean of gradients.
    Mean,
    /// AdamW's mean of their squares.
    Square,
}

impl Moment {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Velocity, Self::Mean, Self::Square];

    /// As files are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::Velocity => "velocity",
            Self::Mean => "mean",
            Self::Square => "square",
        }
    }
}

/// All that an optimiser keeps: nothing, a velocity, or a mean and a square.
pub type Moments = BTreeMap<Moment, Params>;

impl From<SgdConfig> for OptimizerConfig {
    fn from(sgd: SgdConfig) -> Self {
        Self::Sgd(sgd)
    }
}

impl From<AdamWConfig> for OptimizerConfig {
    fn from(adamw: AdamWConfig) -> Self {
        Self::AdamW(adamw)
    }
}

/// In words, as `SGD with momentum`.
impl fmt::Display for OptimizerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd(sgd) if sgd.momentum == 0.0 => "SGD",
            Self::Sgd(_) => "SGD with momentum",
            Self::AdamW(_) => "AdamW",
        })
    }
}

impl OptimizerConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] with the key, its value and what is allowed.
    ///
    /// ```
    /// use vgg_model::{AdamWConfig, OptimizerConfig, SgdConfig};
    /// let check = |optimizer: OptimizerConfig| optimizer.check().map_err(|e| e.to_string());
    /// assert!(check(SgdConfig::plain(0.05).into()).is_ok());
    /// let message = check(AdamWConfig { eps: 0.0, ..AdamWConfig::usual(1e-3) }.into()).unwrap_err();
    /// assert_eq!(message, "eps = 0, but it must be finite and above 0");
    /// ```
    pub fn check(&self) -> Result<()> {
        let (lr, weight_decay) = match self {
            Self::Sgd(sgd) => (sgd.lr, sgd.weight_decay),
            Self::AdamW(adamw) => (adamw.lr, adamw.weight_decay),
        };
        check_lr(lr)?;
        if !(weight_decay.is_finite() && weight_decay >= 0.0) {
            return Err(invalid("weight_decay", weight_decay, "finite and at least 0"));
        }
        match self {
            Self::Sgd(SgdConfig { momentum, nesterov, .. }) => {
                if !(0.0..1.0).contains(momentum) {
                    return Err(invalid("momentum", momentum, "at least 0 and below 1"));
                }
                if *nesterov && *momentum == 0.0 {
                    return Err(invalid("nesterov", true, "false where momentum is 0"));
                }
            }
            Self::AdamW(AdamWConfig { betas, eps, .. }) => {
                if let Some(beta) = betas.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
                    return Err(invalid("betas", beta, "at least 0 and below 1"));
                }
                if !(eps.is_finite() && *eps > 0.0) {
                    return Err(invalid("eps", eps, "finite and above 0"));
                }
            }
        }
        Ok(())
    }

    /// What is kept of each parameter.
    pub fn moments(&self) -> Vec<Moment> {
        let mut moments = Vec::new();
        self.settings(1.0, None).map(|moment| moments.push(moment));
        moments
    }

    /// What the optimiser is told of a parameter once, and what it keeps; each step has its own learning
    /// rate, which `rate` multiplies. `weight_decay` is instead of its own.
    pub(crate) fn settings(&self, rate: f32, weight_decay: Option<f32>) -> Optimizer<Moment> {
        match *self {
            Self::Sgd(SgdConfig { lr: _, momentum, weight_decay: own, nesterov }) => {
                let weight_decay = weight_decay.unwrap_or(own);
                Optimizer::Sgd {
                    spec: Sgd { rate, momentum, weight_decay, nesterov },
                    velocity: (momentum != 0.0).then_some(Moment::Velocity),
                }
            }
            Self::AdamW(AdamWConfig { lr: _, betas, eps, weight_decay: own }) => {
                let weight_decay = weight_decay.unwrap_or(own);
                Optimizer::AdamW {
                    spec: AdamW { rate, betas, eps, weight_decay },
                    mean: Moment::Mean,
                    square: Moment::Square,
                }
            }
        }
    }

    /// Checks that a run can go on after `steps` steps from what was kept in them. Without a velocity,
    /// SGD begins one. AdamW cannot do without its averages: their correction counts the steps that are
    /// in them.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`], saying which optimiser can.
    pub(crate) fn check_moments(&self, moments: &Moments, steps: u64) -> Result<()> {
        let given: Vec<Moment> = moments.keys().copied().collect();
        let goes_on = given == self.moments()
            || given.is_empty() && (steps == 0 || matches!(self, Self::Sgd(_)));
        if goes_on {
            return Ok(());
        }
        let allowed = match given.first() {
            None => "SGD to go on from steps without averages",
            Some(Moment::Velocity) => "SGD with momentum to go on from a velocity",
            Some(Moment::Mean | Moment::Square) => "AdamW to go on from its averages",
        };
        Err(invalid("the optimiser", self, allowed))
    }
}

impl SgdConfig {
    /// Plain SGD.
    pub const fn plain(lr: f32) -> Self {
        Self { lr, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }
}

impl AdamWConfig {
    /// With PyTorch's settings, and no weight decay.
    pub fn usual(lr: f32) -> Self {
        Self { lr, betas: usual_betas(), eps: usual_eps(), weight_decay: 0.0 }
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
        let check = |optimizer: OptimizerConfig| optimizer.check();
        let sgd = SgdConfig { lr: 0.1, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
        let adamw = AdamWConfig { weight_decay: 0.01, ..AdamWConfig::usual(1e-3) };
        assert!(check(sgd.into()).is_ok() && check(adamw.into()).is_ok());
        let bad = [
            SgdConfig { lr: f32::INFINITY, ..sgd },
            SgdConfig { momentum: 1.0, ..sgd },
            SgdConfig { momentum: f32::NAN, ..sgd },
            SgdConfig { weight_decay: -1e-4, ..sgd },
            SgdConfig { momentum: 0.0, ..sgd },
        ];
        assert!(bad.iter().all(|sgd| check((*sgd).into()).is_err()));
        let bad = [
            AdamWConfig { lr: -1.0, ..adamw },
            AdamWConfig { betas: [0.9, 1.0], ..adamw },
            AdamWConfig { betas: [-0.1, 0.9], ..adamw },
            AdamWConfig { betas: [0.9, f64::NAN], ..adamw },
            AdamWConfig { eps: 0.0, ..adamw },
            AdamWConfig { eps: f32::INFINITY, ..adamw },
            AdamWConfig { weight_decay: f32::NAN, ..adamw },
        ];
        assert!(bad.iter().all(|adamw| check((*adamw).into()).is_err()));
    }

    #[test]
    fn what_is_kept() {
        let moments = |optimizer: OptimizerConfig| optimizer.moments();
        let momentum = SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.1) };
        assert_eq!(moments(SgdConfig::plain(0.1).into()), []);
        assert_eq!(moments(momentum.into()), [Moment::Velocity]);
        assert_eq!(moments(AdamWConfig::usual(0.1).into()), [Moment::Mean, Moment::Square]);
    }

    #[test]
    fn what_a_run_goes_on_from() {
        let params = || Params::some(Vec::new());
        let moments =
            |kinds: &[Moment]| kinds.iter().map(|kind| (*kind, params())).collect::<Moments>();
        let [none, velocity, averages] =
            [&[][..], &[Moment::Velocity], &[Moment::Mean, Moment::Square]].map(moments);
        let plain = OptimizerConfig::from(SgdConfig::plain(0.1));
        let momentum = SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.1) }.into();
        let adamw = OptimizerConfig::from(AdamWConfig::usual(0.1));
        let goes_on = [
            (plain, &none, 5),
            (momentum, &none, 5),
            (momentum, &velocity, 5),
            (adamw, &none, 0),
            (adamw, &averages, 5),
        ];
        for (optimizer, moments, steps) in goes_on {
            assert!(optimizer.check_moments(moments, steps).is_ok(), "{optimizer}");
        }
        for (optimizer, moments, problem) in [
            (plain, &velocity, "SGD, but it must be SGD with momentum to go on from a velocity"),
            (
                momentum,
                &averages,
                "SGD with momentum, but it must be AdamW to go on from its averages",
            ),
            (adamw, &velocity, "AdamW, but it must be SGD with momentum to go on from a velocity"),
            (adamw, &none, "AdamW, but it must be SGD to go on from steps without averages"),
        ] {
            let message = optimizer.check_moments(moments, 5).unwrap_err().to_string();
            assert_eq!(message, format!("the optimiser = {problem}"));
        }
    }

    #[test]
    fn settings_of_a_group() {
        let adamw = AdamWConfig { weight_decay: 0.01, ..AdamWConfig::usual(1e-3) };
        let spec =
            |rate, weight_decay| match OptimizerConfig::from(adamw).settings(rate, weight_decay) {
                Optimizer::AdamW { spec, .. } => spec,
                Optimizer::Sgd { .. } => unreachable!("AdamW's settings"),
            };
        let expected = AdamW { rate: 0.5, weight_decay: 0.01, ..AdamW::default() };
        assert_eq!(spec(0.5, None), expected);
        assert_eq!(spec(0.5, Some(0.0)), AdamW { weight_decay: 0.0, ..expected });
    }

    #[test]
    fn configs_read_as_documented() {
        let parse = serde_json::from_str::<OptimizerConfig>;
        assert_eq!(parse(r#"{"sgd": {"lr": 0.5}}"#).unwrap(), SgdConfig::plain(0.5).into());
        let adamw = AdamWConfig { betas: [0.5, 0.75], ..AdamWConfig::usual(0.5) };
        assert_eq!(parse(r#"{"adamw": {"lr": 0.5, "betas": [0.5, 0.75]}}"#).unwrap(), adamw.into());
        assert!(parse(r#"{"adamw": {"lr": 0.5, "momentum": 0.9}}"#).is_err());
    }
}
