//! Work on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use vgg_tensor::Error;

type Task = Box<dyn FnOnce() + Send>;

/// A thread that does one piece of work after the other. Dropping it waits for all of them.
pub(crate) struct Background {
    /// `None` once the thread is to end.
    jobs: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    /// What it does, in errors.
    task: &'static str,
}

impl Background {
    /// # Errors
    /// [`Error::Unavailable`] if the thread cannot be started.
    pub(crate) fn start(name: &str, task: &'static str) -> Result<Self, Error> {
        let (jobs, receiver) = channel::<Task>();
        let run = move || receiver.into_iter().for_each(|job| job());
        let thread = std::thread::Builder::new().name(name.into()).spawn(run).map_err(|error| {
            Error::Unavailable {
                what: format!("a thread for {task}"),
                hint: format!("{error}; a limit on processes or memory may be reached"),
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), task })
    }

    /// Does `work` when all before it is done.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, result) = channel();
        // Nobody may wait for it any more.
        let job = Box::new(move || drop(sender.send(work())));
        if let Some(jobs) = &self.jobs {
            // Where the thread has panicked, nothing comes back.
            let _ = jobs.send(job);
        }
        Pending { result, task: self.task }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.jobs = None;
        // A panic was reported where its result is missed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What will come of a piece of work.
pub(crate) struct Pending<T> {
    result: Receiver<T>,
    task: &'static str,
}

impl<T> Pending<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Error::Worker`] if the work panicked.
    pub(crate) fn wait(self) -> Result<T, Error> {
        self.result.recv().map_err(|_| self.panicked())
    }

    /// What came of it, if it is done within so long.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub(crate) fn wait_for(&self, time: Duration) -> Result<Option<T>, Error> {
        match self.result.recv_timeout(time) {
            Ok(result) => Ok(Some(result)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.panicked()),
        }
    }

    fn panicked(&self) -> Error {
        Error::Worker { task: self.task, reason: "its message is above".into() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn work_is_done_in_order_and_waited_for() {
        let background = Background::start("test", "testing").unwrap();
        let (go, wait) = channel::<()>();
        let first = background.run(move || wait.recv().is_ok());
        let second = background.run(|| 2);
        assert_eq!(first.wait_for(Duration::ZERO).unwrap(), None);
        assert_eq!(second.wait_for(Duration::ZERO).unwrap(), None);
        go.send(()).unwrap();
        assert_eq!((first.wait().unwrap(), second.wait().unwrap()), (true, 2));

        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        drop(background.run(move || seen.store(true, Ordering::Relaxed)));
        drop(background);
        assert!(done.load(Ordering::Relaxed), "what nobody waits for is done, too");
    }

    #[test]
    fn a_panic_is_an_error() {
        let background = Background::start("test", "testing").unwrap();
        let panicking = background.run(|| assert_eq!(1, 2, "on purpose"));
        let error = panicking.wait().unwrap_err().to_string();
        assert_eq!(error, "testing: a thread panicked: its message is above");
        assert!(background.run(|| 3).wait().is_err());
    }
}
