//! What moves bytes between ranks: implementations of [`vgg_tensor::ranks::Peers`].
//!
//! They add nothing: in which order numbers are added, and so what training comes to, is decided in
//! `vgg_tensor::ranks`, whatever the bytes travel on. `unsafe` is confined to `mpi/abi.rs`, which calls a
//! C library, to the calls of it that promise to keep memory where it is, and to `local.rs`, where threads
//! read each other's memory.

mod local;
#[cfg(unix)]
mod mpi;
#[cfg(not(unix))]
mod no_mpi;
mod patience;

use std::sync::{Mutex, MutexGuard};

pub use local::local;
#[cfg(unix)]
pub use mpi::{launched_rank, mpi};
#[cfg(not(unix))]
pub use no_mpi::{launched_rank, mpi};
pub use patience::Patience;

/// Checks what can be seen of an exchange by a rank.
fn check(rank: usize, ranks: usize, send: &[Vec<&[u8]>], receive: &[Vec<&mut [u8]>]) {
    assert_eq!([send.len(), receive.len()], [ranks; 2], "pieces for all ranks");
    let own =
        [send[rank].iter().all(|to| to.is_empty()), receive[rank].iter().all(|x| x.is_empty())];
    assert_eq!(own, [true; 2], "a rank sends nothing to itself");
}

/// A panic of a thread that holds the lock leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
