//! The simulated libraries, called through `cudarc` as the backend calls the real ones.

#![expect(clippy::print_stdout, reason = "a test tells the process that started it")]
mod convolutions;
mod faults;
mod gpu;
mod graphs;
mod machine;
mod memory;
mod products;
mod streams;
