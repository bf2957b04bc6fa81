//! What numbers are rounded to.

use std::fmt;

/// What the factors of products are rounded to. Everything else is `f32`: weights, activations, sums, the
/// optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: they are `f32`.
    #[default]
    F32,
    /// Those of 3×3 convolutions, [at the points](crate#precision) of Winograd's transforms, to `bf16`. On
    /// processors without instructions for it, it is computed by others, to the same bits and many times as
    /// slowly.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}
