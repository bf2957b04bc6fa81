//! A system whose launchers of MPI are not known: every process is alone.

use std::sync::Arc;

use vgg_tensor::Result;
use vgg_tensor::ranks::Peers;

use crate::Patience;

/// This process among those that were started together: it is alone.
///
/// # Errors
/// None.
pub fn mpi(_: Arc<dyn Patience>) -> Result<Option<Arc<dyn Peers>>> {
    Ok(None)
}

/// Which rank this process is to be of those that were started together: it is alone.
pub fn launched_rank() -> Option<usize> {
    None
}
