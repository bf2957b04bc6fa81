//! Ranks that are threads of one process.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use vgg_tensor::ranks::Peers;
use vgg_tensor::{Error, Result};

use crate::{lock, parts};

/// So many ranks, each for a thread of this process. Rank `r` is at place `r`.
///
/// A rank that is dropped, as where its thread fails, has left: the others' next call fails.
///
/// # Panics
/// If there are to be none.
///
/// ```
/// use std::thread;
/// let ranks = vgg_comm::local(2);
/// thread::scope(|scope| {
///     for peers in &ranks {
///         scope.spawn(move || {
///             let mut all = [0; 2];
///             peers.all_gather(&[10 + peers.rank() as u8], &[1, 1], &mut all).unwrap();
///             assert_eq!(all, [10, 11]);
///         });
///     }
/// });
/// ```
pub fn local(ranks: usize) -> Vec<Arc<dyn Peers>> {
    assert!(ranks > 0, "no ranks");
    let mut to: Vec<Vec<Sender<Vec<u8>>>> = (0..ranks).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<Receiver<Vec<u8>>>> = (0..ranks).map(|_| Vec::new()).collect();
    for to in &mut to {
        for from in &mut from {
            let (sender, receiver) = channel();
            to.push(sender);
            from.push(receiver);
        }
    }
    let left = Arc::new(Mutex::new(None));
    let links = to.into_iter().zip(from).map(|(to, from)| Links { to, from });
    let local = |(rank, links)| {
        let local = Local { rank, ranks, links: Mutex::new(Some(links)), left: left.clone() };
        Arc::new(local) as Arc<dyn Peers>
    };
    links.enumerate().map(local).collect()
}

/// One of them.
struct Local {
    rank: usize,
    ranks: usize,
    /// Nothing once it has left.
    links: Mutex<Option<Links>>,
    /// Who left first, and why.
    left: Arc<Mutex<Option<(usize, String)>>>,
}

/// A queue to each rank, and one from each. What comes in a queue is of the calls in their order.
struct Links {
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// The other end of a queue has gone.
struct Gone;

impl Local {
    /// Sends each rank what `part` says, and writes what comes from each, `receive` bytes, into `all`.
    fn exchange<'a>(
        &self,
        part: impl Fn(usize) -> &'a [u8],
        receive: &[usize],
        mut all: &mut [u8],
    ) -> Result<()> {
        assert_eq!(receive.len(), self.ranks, "lengths of all ranks");
        assert_eq!(receive.iter().sum::<usize>(), all.len(), "room for what comes");
        let links = lock(&self.links);
        let Some(Links { to, from }) = &*links else { return Err(self.reason()) };
        let sent = to.iter().enumerate().all(|(rank, to)| to.send(part(rank).to_vec()).is_ok());
        let mut take = |(from, len): (&Receiver<Vec<u8>>, &usize)| {
            let bytes = from.recv().map_err(|_| Gone)?;
            let place = all.split_off_mut(..*len).expect("there is room for what comes");
            place.copy_from_slice(&bytes);
            Ok(())
        };
        // Every call waits for every rank, so who leaves is missed by all.
        let received: Result<(), Gone> = from.iter().zip(receive).try_for_each(&mut take);
        if sent && received.is_ok() { Ok(()) } else { Err(self.reason()) }
    }

    /// Why there is somebody missing.
    fn reason(&self) -> Error {
        let left = lock(&self.left).clone();
        let (rank, reason) = left.expect("who leaves says why before his queues end");
        Error::Rank { rank, reason }
    }
}

impl Peers for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn describe(&self) -> String {
        format!("{} ranks in one process", self.ranks)
    }

    fn all_gather(&self, mine: &[u8], lens: &[usize], all: &mut [u8]) -> Result<()> {
        assert_eq!(lens.get(self.rank), Some(&mine.len()), "what this rank gives");
        self.exchange(|_| mine, lens, all)
    }

    fn all_to_all(
        &self,
        mine: &[u8],
        send: &[usize],
        receive: &[usize],
        all: &mut [u8],
    ) -> Result<()> {
        assert_eq!(send.len(), self.ranks, "lengths for all ranks");
        assert_eq!(send.iter().sum::<usize>(), mine.len(), "what this rank gives");
        let parts = parts(send);
        self.exchange(|rank| &mine[parts[rank].clone()], receive, all)
    }

    fn finish(&self) -> Result<()> {
        self.all_gather(&[], &vec![0; self.ranks], &mut [])
    }

    fn leave(&self, reason: &str) {
        // Before the queues end, so that who finds their end finds the reason.
        lock(&self.left).get_or_insert_with(|| (self.rank, reason.into()));
        *lock(&self.links) = None;
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.leave(if std::thread::panicking() { "its thread panicked" } else { "it has ended" });
    }
}
