//! Batches that are filled ahead of who wants them.

use std::fmt;
use std::io;
use std::iter::StepBy;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vgg_tensor::{Error, Result};

use crate::Batch;

/// One pass over the data: threads fill batches ahead of the caller.
///
/// The batches go round: the caller's goes back to where it came from when the next one is asked for,
/// so that an epoch allocates only the first few. Dropping an `Epoch` early ends its threads. Where no
/// thread can be started, each batch is filled when it is asked for.
#[derive(Debug)]
pub struct Epoch {
    pub(super) source: Source,
    current: Batch,
    waited: Duration,
}

/// Puts a batch of the number into one that is empty.
pub(super) type Fill = Arc<dyn Fn(usize, &mut Batch) -> Result<()> + Send + Sync>;

/// Where batches come from.
pub(super) enum Source {
    /// Threads that fill batches in turn.
    Threads {
        fillers: Vec<Filler>,
        /// Whose turn it is.
        turn: usize,
    },
    Caller {
        indices: Range<usize>,
        fill: Fill,
    },
}

/// A thread that fills batches.
pub(super) struct Filler {
    filled: Receiver<Result<Batch>>,
    empty: Sender<Batch>,
    pub(super) thread: JoinHandle<()>,
}

/// What a filler is to do: the numbers of its batches, and how.
type Task = (StepBy<Range<usize>>, Fill);

impl Epoch {
    /// Batches of these numbers, by so many fillers with so many buffers each.
    pub(super) fn start(
        indices: Range<usize>,
        fill: Fill,
        fillers_and_buffers: [usize; 2],
    ) -> Self {
        let source = Source::start(indices, fill, fillers_and_buffers);
        Epoch { source, current: Batch::default(), waited: Duration::ZERO }
    }

    /// The next batch, or `None` at the end of the epoch.
    ///
    /// # Errors
    /// When an image cannot be read or is damaged, or memory does not suffice; the epoch ends there.
    pub fn next_batch(&mut self) -> Result<Option<&Batch>> {
        let used = std::mem::take(&mut self.current);
        match self.source.next(used, &mut self.waited)? {
            Some(batch) => {
                self.current = batch;
                Ok(Some(&self.current))
            }
            None => Ok(None),
        }
    }

    /// How long the caller has waited for batches that were not ready.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Source {
    fn start(indices: Range<usize>, fill: Fill, [fillers, buffers]: [usize; 2]) -> Self {
        // How many there will be decides who fills which: tasks come once that is known.
        let mut started = vec![];
        for _ in 0..fillers {
            match Filler::start() {
                Ok(filler) => started.push(filler),
                Err(error) if started.is_empty() => {
                    log::warn!("batches are not made ahead: no thread can be started: {error}");
                    return Self::Caller { indices, fill };
                }
                Err(error) => log::warn!("fewer threads fill batches: {error}"),
            }
        }
        let count = started.len();
        let first = |(at, (filler, give)): (usize, (Filler, Sender<Task>))| {
            let own = (indices.start + at..indices.end).step_by(count);
            // The receivers are waiting.
            let _ = give.send((own, fill.clone()));
            // One is with the caller, and will go to the last.
            for _ in usize::from(at + 1 == count)..buffers {
                let _ = filler.empty.send(Batch::default());
            }
            filler
        };
        Self::Threads { fillers: started.into_iter().enumerate().map(first).collect(), turn: 0 }
    }

    /// The next batch, in place of one that is used.
    fn next(&mut self, mut used: Batch, waited: &mut Duration) -> Result<Option<Batch>> {
        let start = Instant::now();
        match self {
            Self::Caller { indices, fill } => {
                let Some(index) = indices.next() else { return Ok(None) };
                let done = refill(fill, index, &mut used);
                *waited += start.elapsed();
                if done.is_err() {
                    *indices = 0..0;
                }
                done.map(|()| Some(used))
            }
            Self::Threads { fillers, turn } => {
                let Some(count) = NonZero::new(fillers.len()) else { return Ok(None) };
                // Whose batch it was; at first, whose it will be. Who has finished needs none.
                let _ = fillers[turn.checked_sub(1).unwrap_or(count.get() - 1)].empty.send(used);
                let filler = &fillers[*turn];
                *turn = (*turn + 1) % count;
                let received = match filler.filled.try_recv() {
                    Err(TryRecvError::Empty) => {
                        let received = filler.filled.recv().ok();
                        *waited += start.elapsed();
                        received
                    }
                    ready => ready.ok(),
                };
                match received {
                    Some(Ok(batch)) => Ok(Some(batch)),
                    Some(Err(error)) => {
                        // What others say then is of no interest.
                        let _ = self.join();
                        Err(error)
                    }
                    None => self.join().map(|()| None),
                }
            }
        }
    }

    /// Ends all threads.
    fn join(&mut self) -> Result<()> {
        let Self::Threads { fillers, .. } = self else { return Ok(()) };
        // All see the closed channels before one is waited for.
        let threads: Vec<_> = fillers.drain(..).map(|filler| filler.thread).collect();
        let ends: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        let Some(panic) = ends.into_iter().find_map(Result::err) else { return Ok(()) };
        let reason = panic
            .downcast::<String>()
            .map(|reason| *reason)
            .or_else(|panic| panic.downcast::<&str>().map(|reason| reason.to_string()))
            .unwrap_or_else(|_| "no message".into());
        Err(Error::Worker { task: "preparing batches", reason })
    }
}

impl Filler {
    /// One that waits for what it is to do.
    fn start() -> io::Result<(Self, Sender<Task>)> {
        let (to_caller, filled) = channel::<Result<Batch>>();
        let (empty, from_caller) = channel::<Batch>();
        let (give, taken) = channel::<Task>();
        let thread = thread::Builder::new().name("batches".into()).spawn(move || {
            let Ok((indices, fill)) = taken.recv() else { return };
            for index in indices {
                // An error on either side means that the caller has gone.
                let Ok(mut batch) = from_caller.recv() else { return };
                let filled = refill(&fill, index, &mut batch).map(|()| batch);
                let failed = filled.is_err();
                if to_caller.send(filled).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok((Self { filled, empty, thread }, give))
    }
}

/// Fills a batch anew.
fn refill(fill: &Fill, index: usize, batch: &mut Batch) -> Result<()> {
    batch.pixels.clear();
    batch.labels.clear();
    batch.mix.clear();
    batch.unreadable.clear();
    fill(index, batch)
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads { .. } => "threads",
            Self::Caller { .. } => "the caller",
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // A filler sees the closed channel at the latest when it has filled the few buffers it still
        // has. The caller no longer asks for errors.
        let _ = self.join();
    }
}
