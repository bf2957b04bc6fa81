//! Parameters that are trained otherwise than the others.

use vgg_tensor::Result;

use crate::vgg::ParamSpec;
use crate::{Vgg, invalid};

/// Some of a network's parameters, with their own settings of the optimiser (`torch.optim`'s
/// `param_groups`).
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which: those whose names begin so, as `features` or `classifier.0`, or `features.0..features.10`,
    /// from one such name to another, both included, in the network's order.
    pub layers: String,
    /// Multiplies each step's learning rate.
    pub lr: f32,
    /// Instead of the recipe's, if there is one.
    pub weight_decay: Option<f32>,
}

impl Group {
    /// Checks the ranges, and that there are such parameters.
    pub(crate) fn check(&self, vgg: &Vgg) -> Result<()> {
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return Err(invalid("groups.lr", self.lr, "finite and above 0"));
        }
        if let Some(decay) = self.weight_decay.filter(|x| !(x.is_finite() && *x >= 0.0)) {
            return Err(invalid("groups.weight_decay", decay, "finite and at least 0"));
        }
        if !self.members(vgg.params()).contains(&true) {
            let first = vgg.params().first().map_or("", |param| param.name.as_str());
            let allowed = format!(
                "how parameters' names begin, as in features or {first}, or from one to another, \
                 as in features.0..features.3"
            );
            return Err(invalid("groups.layers", &self.layers, &allowed));
        }
        Ok(())
    }

    /// Of each parameter, whether it is one of the group.
    pub(crate) fn members(&self, params: &[ParamSpec]) -> Vec<bool> {
        let (first, last) = self.layers.split_once("..").unwrap_or((&self.layers, &self.layers));
        let first = params.iter().position(|param| is_within(&param.name, first));
        let last = params.iter().rposition(|param| is_within(&param.name, last));
        let is_member =
            |i| first.is_some_and(|first| first <= i) && last.is_some_and(|last| i <= last);
        (0..params.len()).map(is_member).collect()
    }
}

/// Whether a parameter's name begins with whole words of `prefix`.
pub fn is_within(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
