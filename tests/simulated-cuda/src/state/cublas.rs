//! What cuBLAS keeps.

use crate::ffi::Handle;

/// A handle's settings.
#[derive(Clone, Copy)]
pub(crate) struct Blas {
    pub(crate) stream: Handle,
    pub(crate) scalars_on_device: bool,
    /// Whether parts of a sum are added as they are stored: what nobody forbids is done.
    pub(crate) reduced_sums: bool,
}
