//! What all that is random follows from, beside the image.

/// When a picture is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
}
