//! The tests that need more than one crate, as one binary.

mod conformance;
mod embedding;
mod facts;
mod golden;
mod kernels;
mod simulated;
