//! What moves bytes between ranks: implementations of [`vgg_tensor::ranks::Peers`].
//!
//! They add nothing: in which order numbers are added, and so what training comes to, is decided in
//! `vgg_tensor::ranks`, whatever the bytes travel on. `unsafe` is confined to `mpi/abi.rs`, which calls a
//! C library, and to the calls of it that promise to keep memory where it is.

mod local;
#[cfg(unix)]
mod mpi;

pub use local::local;
#[cfg(unix)]
pub use mpi::{WaitOn, mpi};
