//! The thread that makes all calls of MPI.
//!
//! Transfers are begun and then asked for, so that no call waits: who does not answer is known by name,
//! after as long as is allowed.

use std::ffi::OsString;
use std::mem::forget;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use vgg_tensor::{Error, Result};

use super::abi::{self, MOST, Mpi, Transfer};
use crate::Patience;

/// What ranks give each other in a call. It is copied: MPI may look at it, and write there, after a call
/// has failed.
#[derive(Default)]
pub(super) struct Exchange {
    /// What this rank gives, one after the other, and how many bytes of it each rank gets. There may be room
    /// for more, as below.
    mine: Vec<u8>,
    send: Vec<usize>,
    /// What comes from the ranks, one after the other, and how many bytes from each.
    all: Vec<u8>,
    receive: Vec<usize>,
}

impl Exchange {
    /// Takes in what is to be sent, and makes room for what comes.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::OutOfMemory`].
    pub(super) fn take_in(
        &mut self,
        send: &[Vec<&[u8]>],
        receive: &[Vec<&mut [u8]>],
    ) -> Result<()> {
        self.send = send.iter().map(|to| to.iter().map(|piece| piece.len()).sum()).collect();
        self.receive =
            receive.iter().map(|from| from.iter().map(|piece| piece.len()).sum()).collect();
        for (room, lens) in [(&mut self.mine, &self.send), (&mut self.all, &self.receive)] {
            let len = lens.iter().sum();
            if room.len() < len {
                *room = vgg_tensor::zeros(len)?;
            }
        }
        let mut rest = &mut self.mine[..];
        for piece in send.iter().flatten() {
            rest.split_off_mut(..piece.len()).expect("room was made").copy_from_slice(piece);
        }
        Ok(())
    }

    /// Gives out what has come.
    pub(super) fn give_out(&self, receive: &mut [Vec<&mut [u8]>]) {
        let mut rest = &self.all[..];
        for piece in receive.iter_mut().flatten() {
            piece.copy_from_slice(rest.split_off(..piece.len()).expect("all has come"));
        }
    }
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
    patience: &dyn Patience,
    jobs: &Receiver<Exchange>,
    answers: &Sender<Result<Exchange>>,
) {
    let mut answered = Instant::now();
    for job in jobs {
        patience.took(answered.elapsed());
        let answer = exchange(mpi, patience, job);
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

fn exchange(mpi: &dyn Mpi, patience: &dyn Patience, mut job: Exchange) -> Result<Exchange> {
    let mut messages = Vec::new();
    let begun = begin(mpi, &mut job, &mut messages);
    match begun.and_then(|()| finish(&mut messages, patience)) {
        Ok(()) => {
            drop(messages);
            Ok(job)
        }
        Err(error) => {
            // MPI may still read and write there.
            forget(messages);
            forget(job);
            Err(error)
        }
    }
}

/// Begins all transfers.
fn begin<'a>(
    mpi: &'a dyn Mpi,
    Exchange { mine, send, all, receive }: &mut Exchange,
    messages: &mut Vec<Message<'a>>,
) -> Result<()> {
    let (mut mine, mut all) = (&mine[..], &mut all[..]);
    for (peer, len) in receive.iter().enumerate() {
        let room = all.split_off_mut(..*len).expect("there is room for what comes");
        for room in room.chunks_mut(MOST) {
            // SAFETY: the memory lives, and nobody looks at it, until all transfers are done or for ever.
            let transfer = unsafe { mpi.receive(peer, room) };
            let transfer = transfer.map_err(|failure| gone(peer, failure))?;
            messages.push(Message { peer, transfer });
        }
    }
    for (peer, len) in send.iter().enumerate() {
        let part = mine.split_off(..*len).expect("all is there");
        for bytes in part.chunks(MOST) {
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
