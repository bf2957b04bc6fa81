//! What moves bytes between ranks: implementations of [`vgg_tensor::ranks::Peers`].
//!
//! They add nothing: in which order numbers are added, and so what training comes to, is decided in
//! `vgg_tensor::ranks`, whatever the bytes travel on. `unsafe` is confined to `mpi/abi.rs`, which calls a
//! C library, and to the calls of it that promise to keep memory where it is.

mod local;
#[cfg(unix)]
mod mpi;
#[cfg(not(unix))]
mod no_mpi;
mod patience;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

pub use local::local;
#[cfg(unix)]
pub use mpi::{is_launched, mpi};
#[cfg(not(unix))]
pub use no_mpi::{is_launched, mpi};
pub use patience::Patience;

/// Where the part of each rank lies in bytes that are all of theirs, one after the other.
fn parts(lens: &[usize]) -> Vec<Range<usize>> {
    let mut end = 0;
    let part = |len: &usize| {
        end += len;
        end - len..end
    };
    lens.iter().map(part).collect()
}

/// A panic of a thread that holds the lock leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
