//! How long other ranks are waited for, where nothing tells that one has gone.

use std::time::Duration;

/// How long other ranks are waited for.
///
/// It must allow for what one rank may have to do more than another between two calls.
pub trait Patience: Send + Sync {
    /// Takes how long this rank took from one call to the next, and so may have been waited for.
    fn took(&self, time: Duration);

    /// Whether a rank, the first one that has not answered, is waited for any longer, after so long: asked
    /// again and again while a call waits.
    fn waits(&self, rank: usize, time: Duration) -> bool;
}
