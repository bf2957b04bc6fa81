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

impl Precision {
    /// How activations and the products' factors are stored.
    pub(crate) const fn storage(self) -> Storage {
        match self {
            Precision::F32 | Precision::Tf32 => Storage::F32,
            Precision::Bf16 => Storage::Bf16,
            Precision::F16 => Storage::F16,
        }
    }

    /// Its name, as in a config.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }
}

/// A type of numbers in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Storage {
    F32,
    Bf16,
    F16,
}

impl Storage {
    /// Bytes of a number.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Storage::F32 => 4,
            Storage::Bf16 | Storage::F16 => 2,
        }
    }

    /// What the names of kernels for it end with.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Storage::F32 => "_f32",
            Storage::Bf16 => "_bf16",
            Storage::F16 => "_f16",
        }
    }
}
