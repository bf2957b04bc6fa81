//! What numbers are rounded to.

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
