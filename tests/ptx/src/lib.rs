//! An interpreter of PTX, to run CUDA kernels where there is no GPU and to check what a GPU does not.
//!
//! A kernel that runs here without a report has, for the schedule that the seed chose, read only
//! initialised bytes, stayed inside its buffers, met at its barriers and had no race in shared memory.
//! Threads are scheduled one by one in a random legal order: nothing may rely on lock-step warps.
//!
//! ```text
//! text ─ lexer ─► tokens ─ parser ─► names resolved ─ decode ─► Vec<Instruction> ─ execute ─► memory, or a LaunchError
//! ```
//!
//! What is not the hardware:
//! - `.approx` functions are computed in `f64` and rounded once, which is tighter than any GPU.
//! - Products of matrices are summed in `f64` and cut to `f32` once; tensor cores cut more often.
//! - Blocks run one after another, in random order; a block that waits for another never ends and
//!   is reported ([`Fault::Endless`]).
//! - Caches, time and the order of unsynchronised global memory accesses of different blocks.
#![forbid(unsafe_code)]

mod argument;
mod decode;
mod error;
mod execute;
mod instruction;
mod lexer;
mod memory;
mod module;
mod parser;
mod race;
mod random;
mod types;

pub use error::{Fault, LaunchError, ParseError};
pub use memory::{DeviceMemory, Memory, MemoryError};
pub use module::{Kernel, Module};
