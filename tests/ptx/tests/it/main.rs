//! The interpreter against the PTX manual, and against kernels that NVRTC has compiled.

mod arithmetic;
mod compare;
mod convert;
mod faults;
mod float;
mod harness;
mod kernels;
mod matrix;
mod parse;
mod together;
