//! What this program is.

/// The version, and the commit that the program is built from.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("VGG_TRAIN_COMMIT"), ")");

/// The day of that commit, as 2026-11-26.
pub(crate) const DATE: &str = env!("VGG_TRAIN_DATE");
