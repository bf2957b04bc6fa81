//! Numbers from GPU to GPU, by NCCL.
//!
//! What is ordered here waits on the GPU for other ranks: for ever, if one has gone. So no call blocks, and
//! whoever waits for the GPU asks again and again whether the others are still waited for
//! ([`Line::wait`]). If not, the communicator is aborted, which lets the GPU go on, and what it has
//! computed does not count any more.

mod communicator;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaContext, CudaEvent, CudaStream};
use vgg_tensor::ranks::{Peers, gather_messages};
use vgg_tensor::{Error, Result};

use self::communicator::{Communicator, UniqueId};
use crate::error::During;
use crate::libraries::{common_nccl, is_nccl_named, nccl};
use crate::memory::Address;

const OP: &str = "exchanging by NCCL";

/// Bytes that move.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transfer {
    /// To a rank, which receives as many.
    Send { to: usize, from: Address, bytes: usize },
    /// From a rank, in the order in which it sends.
    Receive { from: usize, at: Address, bytes: usize },
    /// What is there on one rank gets there on all: on all of them in the same order.
    Broadcast { root: usize, at: Address, bytes: usize },
}

/// What joins the GPUs of all ranks.
pub(crate) struct Line {
    /// Nothing once it is aborted.
    communicator: Mutex<Option<Communicator>>,
    context: Arc<CudaContext>,
    /// When the last numbers have moved.
    moved: CudaEvent,
    peers: Arc<dyn Peers>,
    /// Why it has failed, and which rank, if one is known.
    failed: OnceLock<(Option<usize>, String)>,
}

/// For so long it is asked again and again. Later the thread sleeps in between.
const EAGER: Duration = Duration::from_millis(2);

/// How long it sleeps.
const NAP: Duration = Duration::from_micros(20);

impl Line {
    /// Joins the GPUs of all ranks, which all make this call: nothing if one has no NCCL, another version, or
    /// shares its GPU with another one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file that somebody named is not NCCL; [`Error::Device`] if it fails;
    /// [`Error::Rank`] if another rank does not come.
    pub(crate) fn join(context: &Arc<CudaContext>, peers: &Arc<dyn Peers>) -> Result<Option<Self>> {
        let library = nccl();
        if is_nccl_named() {
            library.check()?;
        }
        let id = match &library.version {
            Some(_) if peers.rank() == 0 => UniqueId::new()?.0.to_vec(),
            _ => Vec::new(),
        };
        let versions = library.version.clone().unwrap_or_default();
        let uuid = context.uuid().during(OP)?.bytes.map(|byte| byte as u8);
        let say = |message: &[u8]| gather_messages(&**peers, message);
        let (versions, uuids, ids) = (say(versions.as_bytes())?, say(&uuid)?, say(&id)?);
        let versions: Vec<_> = versions.iter().map(|text| String::from_utf8_lossy(text)).collect();
        let versions = versions.iter().map(|text| Some(&**text).filter(|text| !text.is_empty()));
        let apart = uuids.iter().collect::<HashSet<_>>().len() == uuids.len();
        let version = match common_nccl(&versions.collect::<Vec<_>>()) {
            Ok(_) if !apart => Err("ranks share a GPU".into()),
            version => version.map(str::to_owned),
        };
        let (version, id) = match (version, UniqueId::read(&ids[0])) {
            (Ok(version), Some(id)) => (version, id),
            (version, _) => {
                let why = version.err().unwrap_or_else(|| "rank 0 has sent no id".into());
                log::info!("gradients go through the host: {why}");
                return Ok(None);
            }
        };
        context.bind_to_thread().during(OP)?;
        let communicator = Communicator::new(peers.ranks(), id, peers.rank()).during(OP)?;
        let line = Self {
            communicator: Mutex::new(Some(communicator)),
            context: context.clone(),
            moved: context.new_event(None).during(OP)?,
            peers: peers.clone(),
            failed: OnceLock::new(),
        };
        line.wait(|| line.is_ready())?;
        log::info!("gradients go from GPU to GPU, by NCCL {version}");
        Ok(Some(line))
    }

    /// Orders numbers to move, all at the same time. The memory is that of the GPU whose stream it is.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::Rank`].
    pub(crate) fn transfer(&self, stream: &CudaStream, transfers: &[Transfer]) -> Result<()> {
        self.context.bind_to_thread().during(OP)?;
        self.whole(|communicator| communicator.order(stream, transfers))?;
        self.wait(|| self.is_ready())?;
        self.moved.record(stream).during(OP)
    }

    /// Waits until something of the GPU is `done`, and passes if it counts. As long as numbers are on their
    /// way, the peers say whether it is worth it: later others may have ended.
    ///
    /// # Errors
    /// [`Error::Rank`] if the others are not waited for any longer, [`Error::Device`] if NCCL has failed.
    pub(crate) fn wait(&self, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        // It may be a thread that has only come for a download.
        self.context.bind_to_thread().during(OP)?;
        let start = Instant::now();
        loop {
            let done = done()?;
            // What was let go on by an abort is done, too.
            let is_ready = self.is_ready()?;
            if done {
                return Ok(());
            }
            let time = start.elapsed();
            if !is_ready || !self.moved.try_is_complete().during(OP)? {
                self.peers.waits(time).map_err(|error| self.fail(error))?;
            }
            if time < EAGER { thread::yield_now() } else { thread::sleep(NAP) }
        }
    }

    /// Whether all that was asked of NCCL has been ordered.
    fn is_ready(&self) -> Result<bool> {
        self.whole(Communicator::is_ready)
    }

    /// Does something with the communicator, as long as it is whole.
    fn whole<T>(
        &self,
        work: impl FnOnce(&Communicator) -> std::result::Result<T, communicator::Failure>,
    ) -> Result<T> {
        let place = self.lock();
        let done = match &*place {
            Some(communicator) => work(communicator),
            None => return Err(self.failure()),
        };
        drop(place);
        done.during(OP).map_err(|failure| {
            // Who has left has said why, and what NCCL says comes of that.
            let left = self.peers.waits(Duration::ZERO).err();
            self.fail(left.unwrap_or(failure))
        })
    }

    /// Gives up, and lets the GPU go on.
    fn fail(&self, error: Error) -> Error {
        // Before anything is let go on.
        self.failed.get_or_init(|| match error {
            Error::Rank { rank, reason } => (Some(rank), reason),
            Error::Device { source, .. } => (None, source.to_string()),
            other => (None, other.to_string()),
        });
        let communicator = self.lock().take();
        // An abort may wait for what has gone, too: nobody waits for it.
        let _ = thread::Builder::new().name("nccl abort".into()).spawn(|| drop(communicator));
        self.failure()
    }

    fn failure(&self) -> Error {
        match self.failed.get().cloned().unwrap_or_else(|| (None, "it has ended".into())) {
            (Some(rank), reason) => Error::Rank { rank, reason },
            (None, reason) => {
                let source = Box::new(communicator::Failure(reason));
                Error::Device { op: OP, source }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Communicator>> {
        self.communicator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
