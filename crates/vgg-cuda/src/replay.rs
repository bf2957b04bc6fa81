//! Work that is recorded once and replayed: a training step as one CUDA graph.
//!
//! Ordering an operation takes the host some microseconds for each kernel, and the GPU idles between
//! short ones. A graph orders them all at once.
//!
//! Whether work is the same as before is not promised by the caller but found out: it is *rehearsed*
//! first, which orders nothing and takes a fingerprint of all operations, with their specs, settings
//! and addresses. Only the learning rate and dropout's step may differ. They are read by kernels from
//! device memory and set before each replay.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode, cuMemsetD32Async};
use cudarc::driver::{CudaGraph, CudaStream};
use vgg_tensor::Result;

use crate::error::During;
use crate::memory::{Address, Memory};

/// Different work that is remembered. A trainer has a full and a short last batch.
const REMEMBERED: usize = 16;

/// How operations are ordered at the moment.
#[derive(Default)]
pub(crate) enum Mode {
    /// At once.
    #[default]
    Direct,
    /// Not at all.
    Rehearsal(Rehearsal),
    /// Into a graph.
    Capture,
}

/// What a rehearsal learns.
#[derive(Default)]
pub(crate) struct Rehearsal {
    hasher: DefaultHasher,
    lr: Option<f32>,
    step: Option<u64>,
    /// Whether a scalar has two values, so that one place in memory cannot hold it.
    differs: bool,
}

/// Work that was seen before.
pub(crate) enum Known {
    /// It was ordered directly, so that everything it needs is allocated.
    Seen,
    /// It was recorded.
    Recorded(CudaGraph),
    /// It cannot be recorded.
    Direct,
}

/// The scalars in device memory and the graphs that read them.
pub(crate) struct Replay {
    pub(crate) mode: Mode,
    stream: Arc<CudaStream>,
    memory: Memory,
    lr: f32,
    step: u64,
    known: HashMap<u64, Known>,
}

/// Where the step is, behind the learning rate.
const STEP: usize = 8;

impl Replay {
    pub(crate) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let memory = Memory::zeroed(stream, STEP + 8)?;
        let stream = stream.clone();
        Ok(Self { mode: Mode::Direct, stream, memory, lr: 0.0, step: 0, known: HashMap::new() })
    }

    /// Whether `operation` need not be ordered, as this is a rehearsal.
    pub(crate) fn skips(&mut self, operation: impl Hash) -> bool {
        match &mut self.mode {
            Mode::Rehearsal(rehearsal) => {
                operation.hash(&mut rehearsal.hasher);
                true
            }
            Mode::Direct | Mode::Capture => false,
        }
    }

    /// Where kernels find the learning rate, which is set to `lr`.
    pub(crate) fn lr(&mut self, lr: f32) -> Result<Address> {
        match &mut self.mode {
            Mode::Rehearsal(rehearsal) => {
                let other = |known: f32| known.to_bits() != lr.to_bits();
                rehearsal.differs |= rehearsal.lr.is_some_and(other);
                rehearsal.lr = Some(lr);
            }
            Mode::Direct if self.lr.to_bits() != lr.to_bits() => {
                self.set(0, lr.to_bits())?;
                self.lr = lr;
            }
            Mode::Direct | Mode::Capture => {}
        }
        Ok(self.memory.address())
    }

    /// Where kernels find dropout's step, which is set to `step`.
    pub(crate) fn step(&mut self, step: u64) -> Result<Address> {
        match &mut self.mode {
            Mode::Rehearsal(rehearsal) => {
                rehearsal.differs |= rehearsal.step.is_some_and(|known| known != step);
                rehearsal.step = Some(step);
            }
            Mode::Direct if self.step != step => {
                self.set(STEP, step as u32)?;
                self.set(STEP + 4, (step >> 32) as u32)?;
                self.step = step;
            }
            Mode::Direct | Mode::Capture => {}
        }
        Ok(self.memory.address().add(STEP))
    }

    /// Orders a word to be written. It is part of the call, so no host memory has to live on.
    fn set(&self, offset: usize, word: u32) -> Result<()> {
        let address = self.memory.address().add(offset).0;
        self.stream.context().bind_to_thread().during("setting a scalar")?;
        // SAFETY: the memory has room for a word at every offset used above.
        unsafe { cuMemsetD32Async(address, word, 1, self.stream.cu_stream()) }
            .result()
            .during("setting a scalar")
    }

    /// Starts a rehearsal.
    pub(crate) fn rehearse(&mut self) {
        self.mode = Mode::Rehearsal(Rehearsal::default());
    }

    /// Ends the rehearsal, of which `result` came. Returns the work's fingerprint, or nothing if it
    /// cannot be replayed, and sets the scalars that it reads.
    pub(crate) fn rehearsed(&mut self, result: Result<()>) -> Result<Option<u64>> {
        let Mode::Rehearsal(rehearsal) = std::mem::take(&mut self.mode) else { return Ok(None) };
        result?;
        if rehearsal.differs {
            return Ok(None);
        }
        if let Some(lr) = rehearsal.lr {
            self.lr(lr)?;
        }
        if let Some(step) = rehearsal.step {
            self.step(step)?;
        }
        Ok(Some(rehearsal.hasher.finish()))
    }

    /// What is known of work. From now on it is known as seen.
    pub(crate) fn known(&mut self, fingerprint: u64) -> Option<&Known> {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(&fingerprint) {
            self.known.clear();
        }
        match self.known.entry(fingerprint) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => {
                entry.insert(Known::Seen);
                None
            }
        }
    }

    /// Starts to record.
    pub(crate) fn record(&mut self) -> Result<()> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).during("recording a graph")?;
        self.mode = Mode::Capture;
        Ok(())
    }

    /// Ends recording work, of which `result` came. Whether there is a graph of it.
    pub(crate) fn recorded(&mut self, fingerprint: u64, result: Result<()>) -> bool {
        self.mode = Mode::Direct;
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0));
        let known = match (result, graph) {
            (Ok(()), Ok(Some(graph))) => Known::Recorded(graph),
            (result, graph) => {
                let reason = match (result, graph) {
                    (Err(error), _) => error.to_string(),
                    (_, Err(error)) => error.to_string(),
                    _ => "the driver gives no graph".into(),
                };
                log::debug!("this work is not recorded as a graph: {reason}");
                Known::Direct
            }
        };
        let recorded = matches!(known, Known::Recorded(_));
        self.known.insert(fingerprint, known);
        recorded
    }
}
