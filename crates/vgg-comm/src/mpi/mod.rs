//! Ranks that are processes, on one machine or several, joined by the MPI that started them.
//!
//! The library is opened at run time, as it is installed: the program needs none to be built or to run
//! alone. Only transfers of bytes between two ranks are used of it, so that nothing depends on how an
//! MPI adds.

mod abi;
mod launcher;
mod owner;
mod places;

use std::mem::take;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vgg_tensor::ranks::Peers;
use vgg_tensor::{Error, Result};

use crate::{Patience, check, lock};
use launcher::{Launch, Launcher};
use owner::{Exchange, Ready};

/// This process among those that `mpirun`, `mpiexec` or `srun` started together; nothing if it is alone.
///
/// A process that ends without [`Peers::finish`] and without dropping them, or after a failed call, ends all:
/// the launcher sees to it.
///
/// # Errors
/// [`Error::Unavailable`] if the launcher's library is not found, cannot be used, or is another MPI's
/// than the launcher.
pub fn mpi(patience: Arc<dyn Patience>) -> Result<Option<Arc<dyn Peers>>> {
    match Launch::of(|name| std::env::var(name).ok()) {
        Some(launch) => Ok(Some(Arc::new(Ranks::open(launch, patience)?))),
        None => Ok(None),
    }
}

/// Which rank this process is to be of those that `mpirun`, `mpiexec` or `srun` started together, as its
/// environment says; nothing if it is alone.
pub fn launched_rank() -> Option<usize> {
    Launch::of(|name| std::env::var(name).ok()).map(|launch| launch.rank)
}

/// The ranks, from this process.
struct Ranks {
    rank: usize,
    ranks: usize,
    version: String,
    patience: Arc<dyn Patience>,
    /// Nothing once this rank has left.
    owner: Mutex<Option<Owner>>,
    /// Why a call failed, or this rank has left.
    reason: Mutex<Option<(usize, String)>>,
}

/// The thread that calls MPI.
struct Owner {
    jobs: Sender<Exchange>,
    answers: Receiver<Result<Exchange>>,
    thread: JoinHandle<()>,
    /// Memory of the last exchange, for the next one.
    room: Exchange,
}

impl Ranks {
    fn open(launch: Launch, patience: Arc<dyn Patience>) -> Result<Self> {
        let (ready, opened) = channel();
        let (jobs, jobs_of_owner) = channel();
        let (answers_of_owner, answers) = channel();
        let patient = patience.clone();
        let own = move || match owner::open(&places::candidates(launch.launcher)) {
            Ok((mpi, found)) => {
                // Nobody listens if the process is about to end.
                let _ = ready.send(Ok(found));
                owner::serve(&*mpi, &*patient, &jobs_of_owner, &answers_of_owner);
            }
            Err(reason) => {
                let _ = ready.send(Err(reason));
            }
        };
        let thread = thread::Builder::new()
            .name("mpi".into())
            .spawn(own)
            .map_err(|error| unavailable(launch.launcher, format!("no thread for it: {error}")))?;
        let found = opened.recv().map_err(|_| Error::Worker {
            task: "opening MPI",
            reason: "its message is above".into(),
        })?;
        let Ready { version, rank, ranks } = found.map_err(|reason| {
            let hint = format!(
                "its library cannot be opened ({reason}); set {} to its file",
                places::VARIABLE
            );
            unavailable(launch.launcher, hint)
        })?;
        if ranks != launch.ranks {
            let way = match launch.launcher {
                Launcher::Slurm { .. } => {
                    "; `srun --mpi=pmix` starts them for Open MPI, `srun --mpi=pmi2` for MPICH"
                }
                _ => "",
            };
            let hint = format!(
                "it started {} processes, but {version} sees {ranks}, so that is another MPI's \
                 library; set {} to the launcher's{way}",
                launch.ranks,
                places::VARIABLE
            );
            return Err(unavailable(launch.launcher, hint));
        }
        let owner = Mutex::new(Some(Owner { jobs, answers, thread, room: Exchange::default() }));
        Ok(Self { rank, ranks, version, patience, owner, reason: Mutex::new(None) })
    }

    fn reason(&self) -> Error {
        let known = lock(&self.reason).clone();
        let (rank, reason) =
            known.unwrap_or_else(|| (self.rank, "its thread of MPI has ended".into()));
        Error::Rank { rank, reason }
    }
}

impl Peers for Ranks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn describe(&self) -> String {
        format!("{} ranks, {}", self.ranks, self.version)
    }

    fn exchange(&self, send: &[Vec<&[u8]>], receive: &mut [Vec<&mut [u8]>]) -> Result<()> {
        check(self.rank, self.ranks, send, receive);
        let mut place = lock(&self.owner);
        let Some(owner) = &mut *place else { return Err(self.reason()) };
        let mut job = take(&mut owner.room);
        job.take_in(send, receive)?;
        let answer = match owner.jobs.send(job) {
            Ok(()) => owner.answers.recv().ok(),
            Err(_) => None,
        };
        match answer {
            Some(Ok(job)) => {
                job.give_out(receive);
                owner.room = job;
                Ok(())
            }
            failed => {
                *place = None;
                if let Some(Err(Error::Rank { rank, reason })) = failed {
                    lock(&self.reason).get_or_insert((rank, reason));
                }
                Err(self.reason())
            }
        }
    }

    fn waits(&self, time: Duration) -> Result<()> {
        if lock(&self.reason).is_some() {
            return Err(self.reason());
        }
        // Which one it is nobody tells: of two ranks, it is the other one.
        let rank = (self.rank + 1) % self.ranks;
        if self.patience.waits(rank, time) {
            return Ok(());
        }
        let time = time.as_secs_f64();
        let reason = match self.ranks {
            2 => format!("no answer for {time:.0} s: it hangs, or its machine is cut off"),
            _ => format!("it or another rank hangs, or is cut off: no answer for {time:.0} s"),
        };
        Err(Error::Rank { rank, reason })
    }

    fn finish(&self) -> Result<()> {
        // Who does not come to it is known by name; to the end of MPI it would be waited for without one.
        self.all_gather(&[], &vec![0; self.ranks], &mut [])?;
        lock(&self.reason).get_or_insert_with(|| (self.rank, "it has ended".into()));
        let Some(Owner { jobs, answers, thread, .. }) = lock(&self.owner).take() else {
            return Ok(());
        };
        drop((jobs, answers));
        // A panic there has had its message.
        let _ = thread.join();
        Ok(())
    }

    fn leave(&self, reason: &str) {
        lock(&self.reason).get_or_insert_with(|| (self.rank, reason.into()));
        if let Some(owner) = lock(&self.owner).take() {
            // Not finalised: the launcher ends the others, who wait for this one.
            std::mem::forget(owner);
        }
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        match thread::panicking() {
            true => self.leave("it panicked"),
            // Who has failed, left or ended before is not waited for.
            false => drop(self.finish()),
        }
    }
}

fn unavailable(launcher: Launcher, hint: String) -> Error {
    Error::Unavailable { what: format!("training together with the processes of {launcher}"), hint }
}
