//! Ranks that are threads of one process.

use std::mem::take;
use std::slice::from_raw_parts;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use vgg_tensor::ranks::Peers;
use vgg_tensor::{Error, Result};

use crate::{check, lock};

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
    let place = Place { offers: vec![vec![]; ranks], arrived: 0, left: None };
    let meeting =
        Arc::new(Meeting { place: Mutex::new(place), met: AtomicU64::new(0), all: Condvar::new() });
    let local = |rank| Arc::new(Local { rank, ranks, meeting: meeting.clone() }) as Arc<dyn Peers>;
    (0..ranks).map(local).collect()
}

/// One of them.
struct Local {
    rank: usize,
    ranks: usize,
    meeting: Arc<Meeting>,
}

/// Where ranks meet, twice in each call: they copy what others have from where it lies, which stays as it is
/// from the first time on until the second.
struct Meeting {
    place: Mutex<Place>,
    /// How often all have met.
    met: AtomicU64,
    all: Condvar,
}

struct Place {
    /// What each rank has for each.
    offers: Vec<Vec<Vec<Piece>>>,
    /// How many are here.
    arrived: usize,
    /// Who left first, and why.
    left: Option<(usize, String)>,
}

/// Bytes of a rank that is in a call.
#[derive(Clone, Copy)]
struct Piece {
    start: *const u8,
    len: usize,
}

// SAFETY: it is looked at by other threads, as `&[u8]` may be.
unsafe impl Send for Piece {}

/// For so many looks others are waited for without sleep, some 20 µs: as long as it takes to wake up.
const LOOKS: usize = 2000;

impl Meeting {
    /// Waits until all are here. Nobody is waited for who has left, unless `come_what_may`.
    fn meet(
        &self,
        mut place: MutexGuard<'_, Place>,
        come_what_may: bool,
    ) -> Result<(), (usize, String)> {
        let met = self.met.load(Ordering::Relaxed);
        place.arrived += 1;
        if place.arrived == place.offers.len() {
            place.arrived = 0;
            self.met.store(met + 1, Ordering::Release);
            self.all.notify_all();
            return Ok(());
        }
        drop(place);
        for _ in 0..LOOKS {
            if self.met.load(Ordering::Acquire) != met {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let mut place = lock(&self.place);
        loop {
            if self.met.load(Ordering::Acquire) != met {
                return Ok(());
            }
            if let Some(left) = place.left.clone().filter(|_| !come_what_may) {
                return Err(left);
            }
            place = self.all.wait(place).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
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

    fn exchange(&self, send: &[Vec<&[u8]>], receive: &mut [Vec<&mut [u8]>]) -> Result<()> {
        check(self.rank, self.ranks, send, receive);
        let gone = |(rank, reason)| Error::Rank { rank, reason };
        let mut place = lock(&self.meeting.place);
        if let Some(left) = place.left.clone() {
            return Err(gone(left));
        }
        let piece = |bytes: &&[u8]| Piece { start: bytes.as_ptr(), len: bytes.len() };
        let offer = send.iter().map(|to| to.iter().map(piece).collect());
        place.offers[self.rank] = offer.collect();
        self.meeting.meet(place, false).map_err(gone)?;

        let mut place = lock(&self.meeting.place);
        let offers = place.offers.iter_mut().map(|of| take(&mut of[self.rank]));
        let offers: Vec<Vec<Piece>> = offers.collect();
        drop(place);
        // Nobody panics before all have met again.
        let mut fit = true;
        for (from, to) in offers.iter().zip(receive) {
            // SAFETY: who offers it is in this call until all have met again, and has lent it to it.
            let bytes = from.iter().map(|piece| unsafe { from_raw_parts(piece.start, piece.len) });
            fit &= copy(bytes, to);
        }
        // All are here, and come.
        self.meeting.meet(lock(&self.meeting.place), true).map_err(gone)?;
        assert!(fit, "a rank sends as many bytes as another one has room for");
        Ok(())
    }

    /// Who has left is not waited for, others are.
    fn waits(&self, _: Duration) -> Result<()> {
        let left = lock(&self.meeting.place).left.clone();
        left.map_or(Ok(()), |(rank, reason)| Err(Error::Rank { rank, reason }))
    }

    fn finish(&self) -> Result<()> {
        let nothing = || (0..self.ranks).map(|_| vec![]).collect::<Vec<_>>();
        self.exchange(&nothing(), &mut (0..self.ranks).map(|_| vec![]).collect::<Vec<_>>())
    }

    fn leave(&self, reason: &str) {
        lock(&self.meeting.place).left.get_or_insert_with(|| (self.rank, reason.into()));
        self.meeting.all.notify_all();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.leave(if std::thread::panicking() { "its thread panicked" } else { "it has ended" });
    }
}

/// Copies some pieces into others, and says whether they are as long in all.
fn copy<'a>(from: impl Iterator<Item = &'a [u8]>, to: &mut [&mut [u8]]) -> bool {
    let mut places = to.iter_mut();
    let mut place: &mut [u8] = &mut [];
    for mut bytes in from {
        while !bytes.is_empty() {
            if place.is_empty() {
                let Some(next) = places.next() else { return false };
                place = next;
                continue;
            }
            let len = bytes.len().min(place.len());
            let (now, later) = bytes.split_at(len);
            place.split_off_mut(..len).expect("as much as both have").copy_from_slice(now);
            bytes = later;
        }
    }
    place.is_empty() && places.all(|place| place.is_empty())
}
