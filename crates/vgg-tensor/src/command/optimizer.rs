//! The optimisers.

use crate::InOut;
use crate::spec::{AdamW, Sgd};

/// An optimiser's settings for a parameter, and what it keeps of that parameter from step to step: as
/// much again as the parameter each, all zeros at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer<U = InOut> {
    /// Stochastic gradient descent; [`Sgd`] has the formula.
    Sgd {
        /// The settings.
        spec: Sgd,
        /// The velocity, exactly if momentum is not zero.
        velocity: Option<U>,
    },
    /// Adam with decoupled weight decay; [`AdamW`] has the formulas.
    AdamW {
        /// The settings.
        spec: AdamW,
        /// The mean of gradients.
        mean: U,
        /// The mean of their squares.
        square: U,
    },
}

impl<U> Optimizer<U> {
    /// Its name, as in configs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::AdamW { .. } => "adamw",
        }
    }

    /// The same with what it keeps in another form.
    pub fn map<V>(self, mut to: impl FnMut(U) -> V) -> Optimizer<V> {
        match self {
            Self::Sgd { spec, velocity } => Optimizer::Sgd { spec, velocity: velocity.map(to) },
            Self::AdamW { spec, mean, square } => {
                Optimizer::AdamW { spec, mean: to(mean), square: to(square) }
            }
        }
    }
}
