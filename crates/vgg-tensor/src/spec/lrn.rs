//! Local response normalisation.

use crate::{Result, Shape};

/// Local response normalisation across channels, as in configuration A-LRN:
/// `y_i = x_i / (k + alpha · Σ x_j²)^beta` over the channels `j` from `i − 2` to `i + 2` that exist.
///
/// The constants are those of Krizhevsky et al. (2012), section 3.3, which the VGG paper uses.
/// PyTorch divides its `alpha` by the window: there this is
/// `LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)`.
///
/// # Shapes
/// `x` and `y: [n, c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lrn {
    x: Shape,
}

impl Lrn {
    /// Channels in a window.
    pub const SIZE: usize = 5;
    /// Weight of the sum of squares.
    pub const ALPHA: f32 = 1e-4;
    /// Exponent.
    pub const BETA: f32 = 0.75;
    /// What is added to the weighted sum.
    pub const K: f32 = 2.0;

    /// A normalisation of `x`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if a dimension is zero or huge.
    pub fn new(x: Shape) -> Result<Self> {
        x.check("input")?;
        Ok(Self { x })
    }

    /// The shape of input and output.
    pub const fn x(&self) -> Shape {
        self.x
    }
}
