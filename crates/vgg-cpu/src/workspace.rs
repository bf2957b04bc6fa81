//! What programs take besides their buffers.
//!
//! Room for it is made when a program is compiled, and [`vgg_tensor::Backend::workspace`] adds up the
//! same numbers, so that what is told beforehand is what will be allocated.

use vgg_tensor::{Command, Program, Result};

use crate::buffer::{AlignedVec, Form};
use crate::conv2d::Interpolation;
use crate::needs::Needs;
use crate::precision::in_format;
use crate::{Cpu, batch_norm2d, conv2d, linear, lrn, prepare_images};

/// See [`vgg_tensor::Backend::workspace`].
pub(crate) fn bytes(cpu: &Cpu, programs: &[&Program]) -> u64 {
    let bytes = |len: usize| if len > 0 { AlignedVec::bytes_for(len) } else { 0 };
    let most = most(cpu, programs);
    let derived = commands(programs).map(|command| bytes(needs(cpu, command).derived));
    let shared = bytes(most.workspace) + cpu.threads.count() * bytes(most.scratch);
    (shared + derived.sum::<usize>()) as u64
}

/// Takes what a program's commands share, so that it is there when they run.
pub(crate) fn reserve(cpu: &Cpu, program: &Program) -> Result<()> {
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    most(cpu, &[program]).reserve(cpu, workspace)
}

/// What commands share, of that of them which takes most.
fn most(cpu: &Cpu, programs: &[&Program]) -> Needs {
    commands(programs).map(|command| needs(cpu, command)).fold(Needs::default(), |most, needs| {
        Needs {
            workspace: most.workspace.max(needs.workspace),
            scratch: most.scratch.max(needs.scratch),
            derived: 0,
        }
    })
}

fn commands<'a>(programs: &'a [&Program]) -> impl Iterator<Item = &'a Command> {
    programs.iter().flat_map(|program| program.commands())
}

/// What one command takes.
fn needs(cpu: &Cpu, command: &Command) -> Needs {
    in_format!(cpu.precision, F => needs_of::<F>(cpu, command))
}

fn needs_of<F: Interpolation>(cpu: &Cpu, command: &Command) -> Needs {
    match command {
        Command::PrepareImages { spec, .. } => prepare_images::needs(spec),
        Command::Conv2d { spec, .. } => conv2d::needs::<F>(cpu, spec, Form::Forward, true),
        Command::Conv2dBackward { spec, dx, .. } => {
            conv2d::needs::<F>(cpu, spec, Form::Backward, dx.is_some())
        }
        Command::Lrn { spec, .. } => lrn::forward_needs(spec),
        Command::LrnBackward { spec, .. } => lrn::backward_needs(spec),
        Command::BatchNorm2d { spec, .. } => batch_norm2d::forward_needs(spec),
        Command::BatchNorm2dBackward { spec, .. } => batch_norm2d::backward_needs(spec),
        Command::Linear { spec, .. } => linear::forward_needs::<F>(cpu, spec),
        Command::LinearBackward { spec, .. } => linear::backward_needs::<F>(cpu, spec),
        Command::LinearInputBackward { spec, .. } => linear::input_backward_needs::<F>(cpu, spec),
        _ => Needs::default(),
    }
}

#[cfg(test)]
mod tests;
