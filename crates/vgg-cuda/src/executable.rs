//! A compiled program, which is recorded once and launched as a CUDA graph from then on.
//!
//! Ordering a command takes the host some microseconds for each kernel, and the GPU idles between
//! short ones. A graph orders them all at once.
//!
//! What is launched is what would be ordered: an [`Executable`] holds its program and its buffers, and
//! a recording is used as long as all memory is where it was. Kernels read what else may differ from
//! device memory (`scalars.rs`).
//!
//! What ranks exchange cannot be recorded, as each rank records for itself. So a program of several is cut
//! where it exchanges, and where it waits for that: each part is a graph.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, CudaStream};
use vgg_tensor::{Command, Program, Result, Shared};

use crate::error::During;
use crate::memory::Address;
use crate::optimizer::Steps;
use crate::{Buffer, Cuda, exchange};

/// A program that was compiled by a [`Cuda`], which alone runs it.
///
/// It may be dropped while its work is under way: the driver frees a graph when it is done, and
/// memory in order with the stream's work.
pub struct Executable {
    commands: vgg_tensor::Executable<Buffer>,
    buffers: Vec<Shared<Buffer>>,
    parts: Vec<Part>,
    trains: bool,
    stream: Arc<CudaStream>,
}

/// Some commands of a program.
struct Part {
    commands: Range<usize>,
    /// Whether they touch what is exchanged before them.
    waits: bool,
    recording: Recording,
}

/// What is recorded of a part.
enum Recording {
    /// Nothing, before it has run for the first time: that run allocates and measures, which cannot be
    /// recorded.
    NotYet,
    /// Nothing, before it runs for the second time.
    Due,
    /// All of it, on memory at these places.
    Done { graph: CudaGraph, places: Vec<Address> },
    /// Nothing, ever.
    Never,
}

/// Cuts a program.
fn cut(commands: &vgg_tensor::Executable<Buffer>) -> Vec<Part> {
    let (mut parts, mut under_way): (Vec<Part>, Vec<usize>) = Default::default();
    let mut is_open = false;
    for (at, command) in commands.program().commands().enumerate() {
        let waits = under_way.iter().any(|exchange| !commands.are_apart(*exchange, at));
        if waits {
            under_way.clear();
        }
        let exchanges = command.exchanges();
        match parts.last_mut().filter(|_| is_open && !waits && !exchanges) {
            Some(part) => part.commands.end = at + 1,
            None => {
                let commands = at..at + 1;
                parts.push(Part { commands, waits, recording: Recording::NotYet });
            }
        }
        is_open = !exchanges;
        under_way.extend(exchanges.then_some(at));
    }
    for part in &mut parts {
        // One command is ordered as fast as a graph of it, which would take memory.
        if part.commands.len() == 1 {
            part.recording = Recording::Never;
        }
    }
    parts
}

impl Executable {
    pub(crate) fn new(
        stream: &Arc<CudaStream>,
        program: &Program,
        buffers: Vec<Shared<Buffer>>,
    ) -> Result<Self> {
        let commands = vgg_tensor::Executable::new(program, buffers.clone())?;
        let is_of_step = |command: &Command| {
            matches!(
                command,
                Command::SoftmaxCrossEntropy { .. }
                    | Command::EuclideanLoss { .. }
                    | Command::Step { .. }
            )
        };
        let trains = program.commands().any(is_of_step);
        let parts = cut(&commands);
        Ok(Self { commands, buffers, parts, trains, stream: stream.clone() })
    }

    /// Whether it has a part of a training step: a loss, or the optimiser's.
    pub(crate) fn trains(&self) -> bool {
        self.trains
    }

    /// Orders all commands.
    pub(crate) fn run(&mut self, cuda: &mut Cuda) -> Result<()> {
        assert!(Arc::ptr_eq(&self.stream, &cuda.gpu.stream), "a program of another backend");
        let mut parts = 0..self.parts.len();
        let done = parts.try_for_each(|part| {
            if self.parts[part].waits {
                exchange::finish(cuda)?;
            }
            self.run_part(part, cuda)
        });
        // Also where one has failed: the memory of what was begun is in use.
        let ended =
            if self.commands.program().exchanges() { exchange::finish(cuda) } else { Ok(()) };
        done.and(ended)
    }

    /// Orders the commands of a part.
    fn run_part(&mut self, part: usize, cuda: &mut Cuda) -> Result<()> {
        let Part { commands, recording, .. } = &self.parts[part];
        match recording {
            Recording::NotYet => {
                self.order(commands.clone(), cuda)?;
                self.parts[part].recording = Recording::Due;
                return Ok(());
            }
            Recording::Never => return self.order(commands.clone(), cuda),
            Recording::Done { places, .. } if self.places(cuda).eq(places.iter().copied()) => {}
            Recording::Due | Recording::Done { .. } => {
                self.parts[part].recording = self.record(commands.clone(), cuda)?;
            }
        }
        let Part { commands, recording, .. } = &self.parts[part];
        match recording {
            Recording::Done { graph, .. } => graph.launch().during("launching a graph"),
            _ => self.order(commands.clone(), cuda),
        }
    }

    /// Orders commands one by one, but that steps of the optimiser are one kernel.
    fn order(&self, mut commands: Range<usize>, cuda: &mut Cuda) -> Result<()> {
        let mut steps = Steps::default();
        commands.try_for_each(|at| {
            self.commands.run_one(at, |command| cuda.order(command, &mut steps))
        })?;
        steps.order(cuda)
    }

    /// Records commands, which does none of them.
    fn record(&self, commands: Range<usize>, cuda: &mut Cuda) -> Result<Recording> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).during("recording a graph")?;
        let result = self.order(commands, cuda);
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0));
        let reason = match (result, graph) {
            (Ok(()), Ok(Some(graph))) => {
                return Ok(Recording::Done { graph, places: self.places(cuda).collect() });
            }
            (Err(error), _) => error.to_string(),
            (_, Err(error)) => error.to_string(),
            (_, Ok(None)) => "the driver gives no graph".into(),
        };
        log::debug!("a program is not recorded as a graph: {reason}");
        Ok(Recording::Never)
    }

    /// Where its memory is at the moment: the scratch memory moves when it grows, and whoever shares a
    /// buffer may have put another one in its place.
    fn places(&self, cuda: &Cuda) -> impl Iterator<Item = Address> {
        const FREE: &str = "a program's buffers are its own while it runs";
        let place = |buffer: &Shared<Buffer>| buffer.try_read().expect(FREE).memory.address();
        [cuda.scratch.address()].into_iter().chain(self.buffers.iter().map(place))
    }
}
