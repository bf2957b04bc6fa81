//! Timing a program, one command at a time.

use std::time::{Duration, Instant};

use crate::{Backend, BufferId, Content, Instruction, Pass, Program, Result, Scalars, Shared};

/// What is downloaded to wait for the device.
const PROBE: Content = Content::Vector(1);

/// A program whose commands can be timed, on any backend.
///
/// The device is waited for after each command, so that the times are right where commands are ordered
/// before their work is done, too; the whole takes longer then than it would at once.
pub struct Profile<B: Backend> {
    commands: Vec<(Instruction, B::Executable)>,
    probe: B::Buffer,
}

/// Something that was done in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The part of the step.
    pub pass: Pass,
    /// The layer it was done for ([`crate::Instruction::layer`]).
    pub layer: String,
    /// What was done, in words.
    pub operation: String,
    /// [`crate::Command::macs`]
    pub macs: u64,
    /// When it was ordered.
    pub start: Instant,
    /// From then until the device was done.
    pub duration: Duration,
}

impl<B: Backend> Profile<B> {
    /// Compiles each command of a program by itself, in the program's buffers.
    ///
    /// # Errors
    /// Those of [`Backend::compile`].
    pub fn new(backend: &mut B, program: &Program, buffers: &[Shared<B::Buffer>]) -> Result<Self> {
        let compile = |(instruction, (alone, places)): (&Instruction, (Program, Vec<BufferId>))| {
            let buffers = places.into_iter().map(|place| buffers[place.0].clone());
            Ok((instruction.clone(), backend.compile(&alone, buffers.collect())?))
        };
        let commands = program.instructions().iter().zip(program.one_by_one()).map(compile);
        let commands = commands.collect::<Result<_>>()?;
        Ok(Self { commands, probe: backend.alloc(PROBE)? })
    }

    /// Carries the program out.
    ///
    /// # Errors
    /// Those of [`Backend::run`].
    pub fn run(&mut self, backend: &mut B, scalars: Scalars) -> Result<Vec<Event>> {
        let Self { commands, probe } = self;
        let mut time = |(instruction, executable): &mut (Instruction, B::Executable)| {
            let Instruction { pass, layer, command } = instruction;
            let event = (*pass, layer.as_str(), command.to_string(), command.macs());
            timed(backend, probe, event, |backend| backend.run(executable, scalars))
        };
        commands.iter_mut().map(&mut time).collect()
    }

    /// Copies something to or from the device, which is no part of the program.
    ///
    /// # Errors
    /// Those of `copy`.
    pub fn transfer(
        &self,
        backend: &mut B,
        layer: &str,
        operation: String,
        copy: impl FnOnce(&mut B) -> Result<()>,
    ) -> Result<Event> {
        timed(backend, &self.probe, (Pass::Transfer, layer, operation, 0), copy)
    }
}

fn timed<B: Backend>(
    backend: &mut B,
    probe: &B::Buffer,
    (pass, layer, operation, macs): (Pass, &str, String, u64),
    work: impl FnOnce(&mut B) -> Result<()>,
) -> Result<Event> {
    let start = Instant::now();
    work(backend)?;
    backend.download(PROBE, probe, &mut [0.0])?;
    let duration = start.elapsed();
    Ok(Event { pass, layer: layer.into(), operation, macs, start, duration })
}
