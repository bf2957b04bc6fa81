//! Ranks of this process: each a thread, which trains its part.
//!
//! The first one is the caller, which alone writes the run's folder and tells how it goes. Whoever fails
//! leaves the others, so that all end, and its error is what is told.

use std::sync::Arc;
use std::thread;

use anyhow::{Error, Result};
use vgg_tensor::Backend;
use vgg_tensor::ranks::Peers;

use super::begin::{Begin, Weights};
use super::epochs::TrainingLoop;
use super::outcome::End;
use super::together::Together;
use crate::failure::{Code, Failure};
use crate::reporters::Reporters;

/// The other ranks.
pub(super) struct Others<'a, Make> {
    /// The first rank's peers.
    pub(super) first: Arc<dyn Peers>,
    pub(super) ranks: Vec<Arc<dyn Peers>>,
    /// Gives a rank its backend.
    pub(super) make: &'a Make,
}

/// Trains on the first rank, and on the others, which begin alike.
pub(super) fn train_together<B: Backend, Make>(
    training: TrainingLoop<'_, B>,
    begin: &Begin<'_>,
    from: Arc<Weights>,
    Others { first, ranks, make }: Others<'_, Make>,
) -> Result<(End, B)>
where
    Make: Fn(Arc<dyn Peers>) -> Result<B> + Sync,
{
    thread::scope(|scope| {
        // Also where a thread cannot be started, and those before it wait.
        let first = Member(first);
        let mut threads = Vec::new();
        for peers in ranks {
            let (rank, from) = (peers.rank(), from.clone());
            let train = move || {
                Member(peers.clone()).of(|| {
                    let together = Together::with(peers.clone(), begin.shards())?;
                    let trainer = begin.trainer(make(peers)?, &together, &from)?;
                    drop(from);
                    begin.training(trainer, Reporters::default(), together)?.run().map(drop)
                })
            };
            let thread = thread::Builder::new().name(format!("rank {rank}"));
            threads.push((rank, first.of(|| Ok(thread.spawn_scoped(scope, train)?))?));
        }
        drop(from);
        let done = first.of(|| training.run());
        let mut failed = Vec::new();
        for (rank, thread) in threads {
            let done = thread.join().unwrap_or_else(|_| {
                let message = format!("the thread of rank {rank} panicked; its message is above");
                Err(Failure::new(Code::Other, message).into())
            });
            failed.extend(done.err().map(|error| error.context(format!("rank {rank} failed"))));
        }
        // That one has failed is nothing that others failed by.
        match done {
            Err(error) if !is_of_another_rank(&error) => Err(error),
            done => match failed.into_iter().find(|error| !is_of_another_rank(error)) {
                Some(error) => Err(error),
                None => done,
            },
        }
    })
}

/// A rank that leaves when it fails, and if it panics.
struct Member(Arc<dyn Peers>);

impl Member {
    fn of<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work().inspect_err(|error| self.0.leave(&format!("{error:#}")))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.leave("its thread panicked");
        }
    }
}

fn is_of_another_rank(error: &Error) -> bool {
    let is_of = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(vgg_tensor::Error::Rank { .. }))
    };
    error.chain().any(is_of)
}
