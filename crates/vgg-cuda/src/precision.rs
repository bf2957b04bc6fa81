//! What numbers are stored as and computed with.

/// How activations are stored, and what the products of convolutions and fully connected layers are
/// computed with. Sums, weights between steps, and the optimiser are `f32` in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Everything in `f32`, as on the CPU.
    F32,
    /// Stored as `f32`; from Ampere on, factors are rounded to 11 bits, so that tensor cores can
    /// multiply them. What PyTorch does in convolutions unless told otherwise.
    #[default]
    Tf32,
    /// Stored and multiplied as `bf16`: half the memory traffic, 8 bits of precision, the range of
    /// `f32`. Needs Ampere or later.
    Bf16,
    /// Stored and multiplied as `f16`: 11 bits of precision, but a small range, so that gradients are
    /// scaled up and updates that overflow are left out. For GPUs before Ampere.
    F16,
}
