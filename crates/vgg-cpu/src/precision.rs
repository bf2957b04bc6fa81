//! What numbers are rounded to.

/// What activations, their gradients and the factors of products are rounded to. Everything else is `f32`:
/// weights and their gradients, sums, the optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: they are `f32`.
    #[default]
    F32,
    /// To `bf16`: activations as they are stored, factors as they are multiplied, which is
    /// [at the points](crate#precision) of Winograd's transforms in 3×3 convolutions. Convolutions by other
    /// algorithms, the first one among them, multiply what is stored in `f32`. On processors without instructions for it, it is computed by others, to the same bits and many times as
    /// slowly.
    Bf16,
}

/// An expression with a type for the [`Format`](crate::format::Format) of a precision.
macro_rules! in_format {
    ($precision:expr, $format:ident => $with:expr) => {
        match $precision {
            $crate::Precision::F32 => {
                type $format = $crate::format::F32;
                $with
            }
            $crate::Precision::Bf16 => {
                type $format = $crate::format::Bf16;
                $with
            }
        }
    };
}

pub(crate) use in_format;
