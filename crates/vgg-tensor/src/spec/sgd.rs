//! Stochastic gradient descent.

/// The settings of SGD, as `torch.optim.SGD` defines them (dampening 0):
/// `g = dw + weight_decay · w`; with momentum `v ← momentum · v + g` and then `g ← v`, or
/// `g ← g + momentum · v` if `nesterov`; at last `w ← w − lr · g`, where each step has its own
/// [`crate::Scalars::lr`]. The default is plain SGD.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sgd {
    /// Momentum; zero means that no velocity is kept.
    pub momentum: f32,
    /// L2 penalty.
    pub weight_decay: f32,
    /// Nesterov's variant of momentum.
    pub nesterov: bool,
}
