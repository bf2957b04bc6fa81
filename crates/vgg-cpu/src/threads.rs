//! The threads of a backend, and their scratch memory.

use std::sync::{Mutex, MutexGuard};

use rayon::ThreadPool;
use vgg_tensor::{Error, Result};

use crate::buffer::AlignedVec;

/// A pool of worker threads, each with scratch memory that is kept from one operation to the next.
///
/// Operations split their work by index into pieces whose number never depends on how many threads
/// there are; threads only decide who computes which piece, so results do not depend on them.
pub(crate) struct Threads {
    pool: ThreadPool,
    scratch: Vec<Mutex<AlignedVec>>,
}

impl Threads {
    pub(crate) fn new(count: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("vgg-cpu-{i}"))
            .build()
            .map_err(|error| Error::Unavailable {
                what: format!("a pool of {count} threads"),
                hint: format!("{error}; a limit on processes or memory may be reached"),
            })?;
        Ok(Self { scratch: (0..count).map(|_| Mutex::default()).collect(), pool })
    }

    pub(crate) fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on the pool; what it does in parallel stays there.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Makes room for `len` numbers in each thread's scratch memory.
    pub(crate) fn reserve_scratch(&self, len: usize) -> Result<()> {
        let reserve = |scratch: &Mutex<AlignedVec>| {
            scratch.lock().expect("scratch is free between operations").reserve(len)
        };
        if len > 0 { self.scratch.iter().try_for_each(reserve) } else { Ok(()) }
    }

    /// Bytes of all threads' scratch memory.
    #[cfg(test)]
    pub(crate) fn scratch_bytes(&self) -> usize {
        self.scratch.iter().map(|scratch| scratch.lock().unwrap().as_bytes().len()).sum()
    }

    /// This thread's scratch memory, for which there is room; what it holds is arbitrary.
    ///
    /// # Panics
    /// Outside of [`Threads::run`], or if a caller up the stack holds the scratch.
    pub(crate) fn scratch(&self) -> MutexGuard<'_, AlignedVec> {
        let index = rayon::current_thread_index().expect("scratch is for the pool's threads");
        self.scratch[index].try_lock().expect("scratch has one user at a time")
    }
}
