//! Stochastic gradient descent.

/// The settings of one SGD step, as `torch.optim.SGD` defines them (dampening 0):
/// `g = dw + weight_decay · w`; with momentum `v ← momentum · v + g` and then `g ← v`, or
/// `g ← g + momentum · v` if `nesterov`; at last `w ← w − lr · g`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate of this step.
    pub lr: f32,
    /// Momentum; zero means that no velocity is kept.
    pub momentum: f32,
    /// L2 penalty.
    pub weight_decay: f32,
    /// Nesterov's variant of momentum.
    pub nesterov: bool,
}

impl Sgd {
    /// Plain SGD.
    pub const fn plain(lr: f32) -> Self {
        Self { lr, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }
}
