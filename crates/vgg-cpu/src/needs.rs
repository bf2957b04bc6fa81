//! What operations take besides their buffers.
//!
//! Each operation says it in one function. Before it starts, room is made by these numbers, so that
//! it has what it takes or fails with an error; and [`vgg_tensor::Backend::workspace`] adds up the
//! same numbers, so that what is told beforehand is what will be allocated.

use vgg_tensor::Result;
use vgg_tensor::profile::Operation;

use crate::buffer::{AlignedVec, Form};
use crate::{Cpu, batch_norm2d, conv2d, linear, lrn, prepare_images};

/// Numbers that an operation takes besides its buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Needs {
    /// Shared by its threads; operations use the same, one after the other.
    pub(crate) workspace: usize,
    /// In each thread's scratch, which operations share, too.
    pub(crate) scratch: usize,
    /// In a derived form of the weight, which is kept with it.
    pub(crate) derived: usize,
}

impl Needs {
    fn of(cpu: &Cpu, operation: &Operation) -> Self {
        match operation {
            Operation::PrepareImages(op) => prepare_images::needs(op),
            Operation::Conv2d(op) => conv2d::needs(cpu, op, Form::Forward, true),
            Operation::Conv2dBackward { op, dx } => conv2d::needs(cpu, op, Form::Backward, *dx),
            Operation::Lrn(op) => lrn::forward_needs(op),
            Operation::LrnBackward(op) => lrn::backward_needs(op),
            Operation::BatchNorm2d(op) => batch_norm2d::forward_needs(op),
            Operation::BatchNorm2dBackward(op) => batch_norm2d::backward_needs(op),
            Operation::Linear(op) => linear::forward_needs(cpu, op),
            Operation::LinearBackward { op, .. } => linear::backward_needs(cpu, op),
            _ => Self::default(),
        }
    }

    /// Makes room for all but the derived form, which its buffer makes.
    pub(crate) fn reserve(self, cpu: &Cpu, workspace: &mut AlignedVec) -> Result<()> {
        cpu.threads.reserve_scratch(self.scratch)?;
        if self.workspace > 0 { workspace.reserve(self.workspace) } else { Ok(()) }
    }
}

/// See [`vgg_tensor::Backend::workspace`].
pub(crate) fn bytes(cpu: &Cpu, operations: &[Operation]) -> u64 {
    let bytes = |len: usize| if len > 0 { AlignedVec::bytes_for(len) } else { 0 };
    let (mut most, mut derived) = (Needs::default(), 0);
    for operation in operations {
        let needs = Needs::of(cpu, operation);
        most.workspace = most.workspace.max(needs.workspace);
        most.scratch = most.scratch.max(needs.scratch);
        derived += bytes(needs.derived);
    }
    (bytes(most.workspace) + cpu.threads.count() * bytes(most.scratch) + derived) as u64
}

#[cfg(test)]
mod tests;
