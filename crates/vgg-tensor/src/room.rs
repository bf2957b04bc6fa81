//! Host memory that may not suffice.
//!
//! What is as large as a network, a data set or an image comes from here, so that memory that runs
//! out is an error. What is small still ends the process, as everywhere in Rust.

use crate::{Error, Result};

/// An empty vector with room for `len` values.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn room_for<T>(len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(len) {
        Ok(()) => Ok(values),
        Err(_) => {
            Err(Error::OutOfMemory { bytes: (len as u64).saturating_mul(size_of::<T>() as u64) })
        }
    }
}

/// `len` values that are zero, or whatever else their type starts as.
///
/// # Errors
/// [`Error::OutOfMemory`].
///
/// ```
/// use vgg_tensor::{Error, zeros};
/// assert_eq!(zeros::<f32>(3)?, [0.0; 3]);
/// assert!(matches!(zeros::<f32>(1 << 61), Err(Error::OutOfMemory { .. })));
/// # Ok::<(), Error>(())
/// ```
pub fn zeros<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    let mut values = room_for(len)?;
    values.resize(len, T::default());
    Ok(values)
}
