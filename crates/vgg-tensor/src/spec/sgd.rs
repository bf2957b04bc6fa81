//! Stochastic gradient descent.

/// The settings of SGD, as `torch.optim.SGD` defines them (dampening 0):
/// `g = dw + weight_decay · w`; with momentum `v ← momentum · v + g` and then `g ← v`, or
/// `g ← g + momentum · v` if `nesterov`; at last `w ← w − rate · lr · g`, where each step has its own
/// [`crate::Scalars::lr`], and `rate · lr` is rounded first. The default is plain SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Multiplies the learning rate.
    pub rate: f32,
    /// Momentum; zero means that no velocity is kept.
    pub momentum: f32,
    /// L2 penalty.
    pub weight_decay: f32,
    /// Nesterov's variant of momentum.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { rate: 1.0, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }
}
