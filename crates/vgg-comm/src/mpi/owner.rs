//! The thread that makes all calls of MPI.
//!
//! Transfers are begun and then asked for, so that no call waits: who does not answer is known by name,
//! after as long as is allowed.

use std::ffi::OsString;
use std::mem::forget;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use vgg_tensor::{Error, Result};

use super::abi::{self, MOST, Mpi, Transfer};
use crate::Patience;

/// What ranks give each other in a call.
pub(super) struct Exchange {
    pub(super) mine: Vec<u8>,
    /// What each rank gets of it.
    pub(super) parts: Vec<Range<usize>>,
    /// How many bytes come from each rank.
    pub(super) receive: Vec<usize>,
}

/// What the thread has to say first.
pub(super) struct Ready {
    pub(super) version: String,
    pub(super) rank: usize,
    pub(super) ranks: usize,
}

/// Opens the first library that there is, and initialises it: with none, why.
pub(super) fn open(candidates: &[OsString]) -> Result<(Box<dyn Mpi>, Ready), String> {
    let mut reasons = Vec::new();
    for file in candidates {
        let opened = abi::open(file).and_then(|mpi| {
            let [rank, ranks] = mpi.world().map_err(|failure| failure.to_string())?;
            let version = mpi.version();
            Ok((mpi, Ready { version, rank, ranks }))
        });
        match opened {
            Ok(opened) => return Ok(opened),
            Err(reason) => reasons.push(format!("{}: {reason}", file.display())),
        }
    }
    Err(reasons.join("; "))
}

/// Makes the exchanges that are asked for, until nobody can ask any more.
///
/// Then it is finalised, unless an exchange has failed: others would be waited for that have gone.
pub(super) fn serve(
    mpi: &dyn Mpi,
    rank: usize,
    patience: &dyn Patience,
    jobs: &Receiver<Exchange>,
    answers: &Sender<Result<Vec<u8>>>,
) {
    let mut answered = Instant::now();
    for job in jobs {
        patience.took(answered.elapsed());
        let answer = exchange(mpi, rank, patience, job);
        let failed = answer.is_err();
        answered = Instant::now();
        if answers.send(answer).is_err() || failed {
            return;
        }
    }
    mpi.finalize();
}

/// A message to or from a rank.
struct Message<'a> {
    peer: usize,
    transfer: Box<dyn Transfer + 'a>,
}

fn exchange(mpi: &dyn Mpi, rank: usize, patience: &dyn Patience, job: Exchange) -> Result<Vec<u8>> {
    let Exchange { mine, parts, receive } = job;
    let mut all = vgg_tensor::zeros::<u8>(receive.iter().sum())?;
    let mut messages = Vec::new();
    let begun = begin(mpi, rank, (&mine, &mut all), &parts, &receive, &mut messages);
    let done = begun.and_then(|()| finish(&mut messages, patience));
    if done.is_err() {
        // MPI may still read and write there.
        forget((mine, all, messages));
        return done.map(|()| Vec::new());
    }
    drop(messages);
    Ok(all)
}

/// Begins all transfers, and copies what is this rank's own.
fn begin<'a>(
    mpi: &'a dyn Mpi,
    rank: usize,
    (mine, mut all): (&[u8], &mut [u8]),
    parts: &[Range<usize>],
    receive: &[usize],
    messages: &mut Vec<Message<'a>>,
) -> Result<()> {
    for (peer, len) in receive.iter().enumerate() {
        let room = all.split_off_mut(..*len).expect("there is room for what comes");
        if peer == rank {
            room.copy_from_slice(&mine[parts[rank].clone()]);
            continue;
        }
        for room in room.chunks_mut(MOST) {
            // SAFETY: the memory lives, and nobody looks at it, until all transfers are done or for ever.
            let transfer = unsafe { mpi.receive(peer, room) };
            let transfer = transfer.map_err(|failure| gone(peer, failure))?;
            messages.push(Message { peer, transfer });
        }
    }
    for (peer, part) in parts.iter().enumerate().filter(|(peer, _)| *peer != rank) {
        for bytes in mine[part.clone()].chunks(MOST) {
            // SAFETY: the memory lives, and nobody writes there, until all transfers are done or for ever.
            let transfer = unsafe { mpi.send(peer, bytes) };
            let transfer = transfer.map_err(|failure| gone(peer, failure))?;
            messages.push(Message { peer, transfer });
        }
    }
    Ok(())
}

/// For so long it is asked again and again whether transfers are done. Later the thread sleeps in between:
/// other ranks may be on the same cores.
const EAGER: Duration = Duration::from_millis(2);

/// One of several that do not answer may wait for another of them itself. Who waits for one alone knows
/// which, and has so long to say it first.
const DEFERENCE: Duration = Duration::from_secs(2);

/// How long it sleeps.
const NAP: Duration = Duration::from_micros(20);

/// Waits for all transfers.
fn finish(messages: &mut Vec<Message<'_>>, patience: &dyn Patience) -> Result<()> {
    let start = Instant::now();
    loop {
        let mut failed = Ok(());
        messages.retain_mut(|Message { peer, transfer }| match transfer.is_done() {
            Ok(done) => !done,
            Err(failure) => {
                failed = Err(gone(*peer, failure));
                true
            }
        });
        failed?;
        let Some(Message { peer, .. }) = messages.first() else { return Ok(()) };
        let time = start.elapsed();
        let is_alone = messages.iter().all(|message| message.peer == *peer);
        let counted = if is_alone { time } else { time.saturating_sub(DEFERENCE) };
        if !patience.waits(*peer, counted) {
            let time = time.as_secs_f64();
            let reason = format!("no answer for {time:.0} s: it hangs, or its machine is cut off");
            return Err(gone(*peer, reason));
        }
        if time < EAGER { thread::yield_now() } else { thread::sleep(NAP) }
    }
}

fn gone(rank: usize, reason: impl std::fmt::Display) -> Error {
    Error::Rank { rank, reason: reason.to_string() }
}
