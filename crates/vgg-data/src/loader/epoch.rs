//! Batches that are filled ahead of who wants them.

use std::fmt;
use std::io;
use std::iter::StepBy;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
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
    next: Next,
    waited: Duration,
}

/// How far the next batch is.
#[derive(Debug)]
enum Next {
    NotAsked,
    Asked,
    Ready(Result<Option<Batch>>),
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
        empty: Batch,
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
        let (current, next) = (Batch::default(), Next::NotAsked);
        Epoch { source, current, next, waited: Duration::ZERO }
    }

    /// The next batch, or `None` at the end of the epoch.
    ///
    /// # Errors
    /// When an image cannot be read or is damaged, or memory does not suffice; the epoch ends there.
    pub fn next_batch(&mut self) -> Result<Option<&Batch>> {
        self.wait(Duration::MAX);
        match std::mem::replace(&mut self.next, Next::NotAsked) {
            Next::Ready(batch) => match batch? {
                Some(batch) => {
                    self.current = batch;
                    Ok(Some(&self.current))
                }
                None => Ok(None),
            },
            // It waited without end.
            Next::NotAsked | Next::Asked => Ok(None),
        }
    }

    /// Asks for the next batch, for which the current one is given back, and waits until it is ready,
    /// but no longer than `most`. Whether [`Epoch::next_batch`] will return at once.
    pub fn wait(&mut self, most: Duration) -> bool {
        if let Next::NotAsked = self.next {
            self.source.ask(std::mem::take(&mut self.current));
            self.next = Next::Asked;
        }
        if let Next::Asked = self.next
            && let Some(batch) = self.source.receive(most, &mut self.waited)
        {
            self.next = Next::Ready(batch);
        }
        matches!(self.next, Next::Ready(_))
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
                    return Self::Caller { indices, fill, empty: Batch::default() };
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

    /// Asks for the next batch, in place of one that is used.
    fn ask(&mut self, used: Batch) {
        match self {
            Self::Caller { empty, .. } => *empty = used,
            Self::Threads { fillers, turn } => {
                let Some(count) = NonZero::new(fillers.len()) else { return };
                // Whose batch it was; at first, whose it will be. Who has finished needs none.
                let _ = fillers[turn.checked_sub(1).unwrap_or(count.get() - 1)].empty.send(used);
            }
        }
    }

    /// The batch that was asked for, if it is ready within `most`: none at the end.
    fn receive(&mut self, most: Duration, waited: &mut Duration) -> Option<Result<Option<Batch>>> {
        let start = Instant::now();
        match self {
            Self::Caller { indices, fill, empty } => {
                let Some(index) = indices.next() else { return Some(Ok(None)) };
                let mut batch = std::mem::take(empty);
                let done = refill(fill, index, &mut batch);
                *waited += start.elapsed();
                if done.is_err() {
                    *indices = 0..0;
                }
                Some(done.map(|()| Some(batch)))
            }
            Self::Threads { fillers, turn } => {
                let Some(filler) = fillers.get(*turn) else { return Some(Ok(None)) };
                let received = match filler.filled.try_recv() {
                    Err(TryRecvError::Empty) => {
                        let received = filler.filled.recv_timeout(most);
                        *waited += start.elapsed();
                        match received {
                            Err(RecvTimeoutError::Timeout) => return None,
                            received => received.ok(),
                        }
                    }
                    ready => ready.ok(),
                };
                *turn = (*turn + 1) % fillers.len();
                Some(match received {
                    Some(Ok(batch)) => Ok(Some(batch)),
                    Some(Err(error)) => {
                        // What others say then is of no interest.
                        let _ = self.join();
                        Err(error)
                    }
                    None => self.join().map(|()| None),
                })
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

/// Fills a batch anew; what its pixels were is written over.
fn refill(fill: &Fill, index: usize, batch: &mut Batch) -> Result<()> {
    batch.labels.clear();
    batch.mix.clear();
    batch.boxes.clear();
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
