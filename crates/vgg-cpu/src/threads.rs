//! The threads of a backend, and their scratch memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use rayon::{ThreadPool, Yield};
use vgg_tensor::{Error, Result};

use crate::buffer::AlignedVec;

/// A pool of worker threads, each with scratch memory that is kept from one operation to the next.
///
/// Operations split sums by index into pieces whose number never depends on how many threads there are;
/// these only decide who computes which piece, and how work is split that adds nothing up, so that results do
/// not depend on them.
pub(crate) struct Threads {
    pool: ThreadPool,
    scratch: Vec<Mutex<AlignedVec>>,
}

/// How long threads are waited for to wake up before work begins without them: some 100 µs, which are
/// enough where a core is free.
const MOST_SPINS: usize = 10_000;

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

    /// As [`Threads::run`], for work that comes in many small parts with little between them: until its
    /// end, the threads that come before it begins stay awake.
    ///
    /// A thread that came later might have taken a part of the work first, and stay awake in the midst of
    /// that, for ever: the work does not end without its part.
    pub(crate) fn run_awake<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        /// Tells the threads that wait, also if the work panics.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let awake = AtomicUsize::new(0);
        self.run(|| {
            let this = rayon::current_thread_index();
            rayon::in_place_scope(|scope| {
                scope.spawn_broadcast(|_, context| {
                    if Some(context.index()) == this || begun.load(Ordering::Acquire) {
                        return;
                    }
                    awake.fetch_add(1, Ordering::Relaxed);
                    while !done.load(Ordering::Relaxed) {
                        if rayon::yield_now() != Some(Yield::Executed) {
                            std::thread::yield_now();
                        }
                    }
                });
                let all = self.count() - 1;
                for _ in 0..MOST_SPINS {
                    if awake.load(Ordering::Relaxed) == all {
                        break;
                    }
                    std::hint::spin_loop();
                }
                begun.store(true, Ordering::Release);
                let _done = Done(&done);
                work()
            })
        })
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::prelude::*;

    use super::*;

    /// The leaves of a tree of joins.
    fn sum_of_tree(depth: u64) -> u64 {
        match depth {
            0 => 1,
            _ => {
                (0..200).for_each(|_| std::hint::spin_loop());
                let (a, b) = rayon::join(|| sum_of_tree(depth - 1), || sum_of_tree(depth - 1));
                a + b
            }
        }
    }

    /// A thread that comes late takes parts of parts, and whatever there is while it waits for one.
    #[test]
    fn work_ends_whoever_takes_which_part() {
        let threads = Threads::new(2).unwrap();
        let tree = || threads.run(|| sum_of_tree(6));
        for _ in 0..10_000 {
            assert_eq!(threads.run_awake(tree), 64);
        }
    }

    #[test]
    fn work_ends_however_many_threads_stay_awake_for_it() {
        for count in 1..5 {
            let threads = Threads::new(count).unwrap();
            let sum = || threads.run(|| (0..100u64).into_par_iter().sum::<u64>());
            assert_eq!(threads.run_awake(|| (0..200).map(|_| sum()).sum::<u64>()), 200 * 4950);
            let panics = AssertUnwindSafe(|| threads.run_awake(|| panic!("of the work")));
            assert!(catch_unwind(panics).is_err());
            assert_eq!(threads.run_awake(sum), 4950);
        }
    }
}
