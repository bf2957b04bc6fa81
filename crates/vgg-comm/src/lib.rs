//! What moves bytes between ranks: implementations of [`vgg_tensor::ranks::Peers`].
//!
//! They add nothing: in which order numbers are added, and so what training comes to, is decided in
//! `vgg_tensor::ranks`, whatever the bytes travel on.
#![forbid(unsafe_code)]

mod local;

pub use local::local;
