//! Adam with decoupled weight decay.

/// The settings of AdamW, as `torch.optim.AdamW` defines them without `amsgrad` (Loshchilov & Hutter
/// 2019, algorithm 2). With `r = rate · lr` and `t` the steps so far, this one included:
///
/// - `w ← w − r · weight_decay · w`
/// - `mean ← β₁ · mean + (1 − β₁) · dw`
/// - `square ← β₂ · square + (1 − β₂) · dw²`
/// - `w ← w − r · (mean / (1 − β₁ᵗ)) / (√(square / (1 − β₂ᵗ)) + eps)`
///
/// Each step has its own [`crate::Scalars::lr`], and `t` is [`crate::Scalars::step`] and one; where a
/// backend leaves out steps whose gradients overflow, they do not count. The default is PyTorch's, but
/// for the weight decay, of which it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Multiplies the learning rate.
    pub rate: f32,
    /// What a step leaves of the mean of gradients, and of that of their squares.
    pub betas: [f64; 2],
    /// Added to the root, above 0.
    pub eps: f32,
    /// The share of a weight that decays in a step of learning rate 1.
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { rate: 1.0, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamW {
    /// `1 − βᵗ` for both, which undo that the averages start at zero. By multiplications in a set order,
    /// so that every device can come to the same bits.
    ///
    /// ```
    /// use vgg_tensor::spec::AdamW;
    /// let spec = AdamW { betas: [0.5, 0.75], ..AdamW::default() };
    /// assert_eq!(spec.corrections(3), [1.0 - 0.125, 1.0 - 0.421875]);
    /// ```
    pub fn corrections(&self, t: u64) -> [f32; 2] {
        self.betas.map(|beta| (1.0 - power(beta, t)) as f32)
    }
}

/// `xⁿ`, by squares.
fn power(mut x: f64, mut n: u64) -> f64 {
    let mut y = 1.0;
    while n > 0 {
        if n % 2 == 1 {
            y *= x;
        }
        x *= x;
        n /= 2;
    }
    y
}
