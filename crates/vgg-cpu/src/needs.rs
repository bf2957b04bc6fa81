//! What a command takes besides its buffers.
//!
//! Each command's file says it in one function. Before a command starts, room is made by these
//! numbers, so that it has what it takes or fails with an error.

use vgg_tensor::Result;

use crate::Cpu;
use crate::buffer::AlignedVec;

/// Numbers that a command takes besides its buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Needs {
    /// Shared by its threads; commands use the same, one after the other.
    pub(crate) workspace: usize,
    /// In each thread's scratch, which commands share, too.
    pub(crate) scratch: usize,
    /// In a derived form of the weight, which is kept with it.
    pub(crate) derived: usize,
}

impl Needs {
    /// Makes room for all but the derived form, which its buffer makes.
    pub(crate) fn reserve(self, cpu: &Cpu, workspace: &mut AlignedVec) -> Result<()> {
        cpu.threads.reserve_scratch(self.scratch)?;
        if self.workspace > 0 { workspace.reserve(self.workspace) } else { Ok(()) }
    }
}
