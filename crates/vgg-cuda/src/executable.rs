//! A compiled program, which is recorded once and launched as one CUDA graph from then on.
//!
//! Ordering a command takes the host some microseconds for each kernel, and the GPU idles between
//! short ones. A graph orders them all at once.
//!
//! What is launched is what would be ordered: an [`Executable`] holds its program and its buffers, and
//! a recording is used as long as all memory is where it was. Kernels read what else may differ from
//! device memory (`scalars.rs`).

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, CudaStream};
use vgg_tensor::{Command, Program, Result, Shared};

use crate::error::During;
use crate::memory::Address;
use crate::optimizer::Steps;
use crate::{Buffer, Cuda};

/// A program that was compiled by a [`Cuda`], which alone runs it.
///
/// It may be dropped while its work is under way: the driver frees a graph when it is done, and
/// memory in order with the stream's work.
pub struct Executable {
    commands: vgg_tensor::Executable<Buffer>,
    buffers: Vec<Shared<Buffer>>,
    recording: Recording,
    trains: bool,
    stream: Arc<CudaStream>,
}

/// What is recorded of a program.
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

impl Executable {
    pub(crate) fn new(
        stream: &Arc<CudaStream>,
        program: &Program,
        buffers: Vec<Shared<Buffer>>,
    ) -> Result<Self> {
        let commands = vgg_tensor::Executable::new(program, buffers.clone())?;
        // One command is ordered as fast as a graph of it, which would take memory.
        let recording = match program.instructions() {
            [_] => Recording::Never,
            // Nor can waiting for other ranks be recorded.
            _ if program.exchanges() => Recording::Never,
            _ => Recording::NotYet,
        };
        let is_of_step = |command: &Command| {
            matches!(
                command,
                Command::SoftmaxCrossEntropy { .. }
                    | Command::EuclideanLoss { .. }
                    | Command::Step { .. }
            )
        };
        let trains = program.commands().any(is_of_step);
        Ok(Self { commands, buffers, recording, trains, stream: stream.clone() })
    }

    /// Whether it has a part of a training step: a loss, or the optimiser's.
    pub(crate) fn trains(&self) -> bool {
        self.trains
    }

    /// Orders all commands.
    pub(crate) fn run(&mut self, cuda: &mut Cuda) -> Result<()> {
        assert!(Arc::ptr_eq(&self.stream, &cuda.gpu.stream), "a program of another backend");
        match &self.recording {
            Recording::NotYet => {
                self.order(cuda)?;
                self.recording = Recording::Due;
                return Ok(());
            }
            Recording::Never => return self.order(cuda),
            Recording::Done { places, .. } if self.places(cuda).eq(places.iter().copied()) => {}
            Recording::Due | Recording::Done { .. } => self.recording = self.record(cuda)?,
        }
        match &self.recording {
            Recording::Done { graph, .. } => graph.launch().during("launching a graph"),
            _ => self.order(cuda),
        }
    }

    /// Orders the commands one by one, but that steps of the optimiser are one kernel.
    fn order(&self, cuda: &mut Cuda) -> Result<()> {
        let mut steps = Steps::default();
        self.commands.run(|command| cuda.order(command, &mut steps))?;
        steps.order(cuda)
    }

    /// Records the commands, which does none of them.
    fn record(&self, cuda: &mut Cuda) -> Result<Recording> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).during("recording a graph")?;
        let result = self.order(cuda);
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
