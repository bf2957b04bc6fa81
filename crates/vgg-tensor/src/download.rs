//! Numbers on their way from a device.

use crate::Result;

/// Numbers on their way from a device ([`crate::Backend::start_download`]). Another thread may wait for
/// them.
pub trait Download: Send + 'static {
    /// Whether they have arrived, or never will.
    fn is_done(&self) -> bool;

    /// Waits for them to arrive: whether none is infinite or NaN. It costs less than to have them.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn is_finite(&self) -> Result<bool>;

    /// Waits for them.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn wait(self) -> Result<Vec<f32>>;
}

/// Numbers that have arrived, on devices where work is done when a call returns.
impl Download for Vec<f32> {
    fn is_done(&self) -> bool {
        true
    }

    fn is_finite(&self) -> Result<bool> {
        // No early end within a piece, so that it is done by vectors.
        let finite = |piece: &[f32]| piece.iter().fold(true, |all, x| all & x.is_finite());
        Ok(self.chunks(4096).all(finite))
    }

    fn wait(self) -> Result<Vec<f32>> {
        Ok(self)
    }
}
