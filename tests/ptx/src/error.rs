//! What parsing and launching report.

use thiserror::Error;

use crate::memory::MemoryError;

/// PTX that this interpreter does not understand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("PTX line {line}: {message}")]
pub struct ParseError {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// A launch that went wrong: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kernel}, PTX line {line}, block {block:?}, thread {thread:?}: {fault}")]
pub struct LaunchError {
    /// Name of the kernel.
    pub kernel: String,
    /// Line of the PTX text, from 1; that of the entry where no instruction is to blame.
    pub line: u32,
    /// `blockIdx`.
    pub block: [u32; 3],
    /// `threadIdx`.
    pub thread: [u32; 3],
    /// What happened.
    pub fault: Fault,
}

/// What can go wrong in a launch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The arguments of the launch do not fit the kernel.
    #[error("cannot launch: {0}")]
    Launch(String),
    /// Global memory refused the access.
    #[error("{access} of global memory: {source}")]
    Global {
        /// "read", "write" or "atomic".
        access: &'static str,
        /// The reason.
        source: MemoryError,
    },
    /// An access outside of every variable of its space.
    #[error("{access} of {bytes} bytes at {space} address {address:#x}: no variable there")]
    OutOfBounds {
        /// "read", "write" or "atomic".
        access: &'static str,
        /// The state space.
        space: &'static str,
        /// Address in that space.
        address: u64,
        /// Size of the access.
        bytes: usize,
    },
    /// A read of bytes that nobody has written.
    #[error("read of {bytes} bytes at {space} address {address:#x}: not initialised")]
    Uninitialised {
        /// The state space.
        space: &'static str,
        /// Address in that space.
        address: u64,
        /// Size of the access.
        bytes: usize,
    },
    /// An address that is not a multiple of the access's size.
    #[error("{access} of {bytes} bytes at {space} address {address:#x}: misaligned")]
    Misaligned {
        /// "read", "write" or "atomic".
        access: &'static str,
        /// The state space.
        space: &'static str,
        /// Address in that space.
        address: u64,
        /// Size of the access.
        bytes: usize,
    },
    /// A write to memory that a kernel can only read.
    #[error("write to {space} memory")]
    ReadOnly {
        /// The state space.
        space: &'static str,
    },
    /// A barrier that can never complete, or whose warp came by different ways.
    #[error("divergent barrier {barrier}: {detail}")]
    DivergentBarrier {
        /// Number of the barrier.
        barrier: u32,
        /// Who waits, and where the others are.
        detail: String,
    },
    /// A warp-wide instruction whose participants do not come, or whose mask is wrong.
    #[error("divergent warp instruction: {0}")]
    DivergentWarp(String),
    /// Two unordered accesses to one byte, at least one of them a write.
    #[error(
        "race on {space} address {address:#x} with thread {other} of the {scope}, PTX line {other_line}"
    )]
    Race {
        /// The state space.
        space: &'static str,
        /// Address in that space.
        address: u64,
        /// The other thread: its linear index in its block.
        other: u32,
        /// Line of the other access.
        other_line: u32,
        /// "same block" or "another block".
        scope: &'static str,
    },
    /// The kernel executed `trap` (a failed `assert`, for example).
    #[error("trap")]
    Trap,
    /// More instructions than any sensible block: an endless loop or a wait for another block.
    #[error("no end after {0} instructions")]
    Endless(u64),
    /// `brx.idx` with an index past its table.
    #[error("branch index {index} of {targets} targets")]
    BranchIndex {
        /// The index.
        index: usize,
        /// Length of the table.
        targets: usize,
    },
    /// Calls deeper than the interpreter's stack.
    #[error("{0} nested calls")]
    CallDepth(usize),
}
