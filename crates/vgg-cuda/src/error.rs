//! The libraries' errors as ours.

use cudarc::driver::DriverError;
use vgg_tensor::{Error, Result};

use crate::libraries::{CublasError, CudnnError};

/// An error of the driver, cuDNN or cuBLAS.
pub(crate) trait Status: std::error::Error + Send + Sync + 'static {}

impl Status for DriverError {}
impl Status for CudnnError {}
impl Status for CublasError {}

/// Passes if so many of `what` are not too many for a library that counts them with 31 bits.
///
/// # Errors
/// [`Error::Unavailable`] with the number.
pub(crate) fn fits_31_bits(library: &str, what: &str, len: usize) -> Result<()> {
    const MOST: usize = i32::MAX as usize;
    if len <= MOST {
        return Ok(());
    }
    Err(Error::Unavailable {
        what: format!("an operation on {len} {what}"),
        hint: format!("{library} takes {MOST} at most"),
    })
}

/// Says during what a call failed.
pub(crate) trait During<T> {
    /// The error, if there is one, as one of `op`.
    fn during(self, op: &'static str) -> Result<T>;
}

impl<T, E: Status> During<T> for std::result::Result<T, E> {
    fn during(self, op: &'static str) -> Result<T> {
        self.map_err(|error| Error::Device { op, source: Box::new(error) })
    }
}
