//! The libraries' errors as ours.

use cudarc::cublas::result::CublasError;
use cudarc::cudnn::result::CudnnError;
use cudarc::driver::DriverError;
use vgg_tensor::{Error, Result};

/// An error of the driver, cuDNN or cuBLAS.
pub(crate) trait Status: std::error::Error + Send + Sync + 'static {}

impl Status for DriverError {}
impl Status for CudnnError {}
impl Status for CublasError {}

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
