//! What is known of NCCL's communicators.

use std::collections::HashMap;
use std::sync::Arc;

use vgg_ptx::Memory as _;

use super::State;
use crate::ffi::Handle;
use crate::memory::{Memory, tell};
use crate::work::{Meeting, Work};

/// What calls give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) enum Status {
    Success = 0,
    UnhandledCudaError = 1,
    SystemError = 2,
    InternalError = 3,
    InvalidArgument = 4,
    InvalidUsage = 5,
    RemoteError = 6,
    InProgress = 7,
}

type Id = [u8; 128];

#[derive(Default)]
pub(crate) struct Nccl {
    cliques: HashMap<Id, Clique>,
    pub(crate) communicators: HashMap<Handle, Communicator>,
}

/// Those who share a unique id.
#[derive(Default)]
struct Clique {
    /// The device of each rank that has joined.
    devices: Vec<Option<usize>>,
    /// The groups that they have made, one after the other.
    groups: Vec<Group>,
    /// Why no call succeeds any more.
    error: Option<(Status, String)>,
}

/// The calls of each rank in a group.
struct Group {
    meeting: Meeting,
    calls: Vec<Option<Vec<Call>>>,
}

/// A rank's part in a clique.
pub(crate) struct Communicator {
    id: Id,
    rank: usize,
    pub(crate) device: usize,
    /// Groups that have come to their streams.
    done: usize,
    /// A group that is still in progress, and how often that is to be said.
    pending: Option<(Handle, Vec<Call>, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) what: What,
    /// Bytes.
    pub(crate) count: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Send { to: usize, from: u64 },
    Receive { from: usize, at: u64 },
    Broadcast { root: usize, from: u64, at: u64 },
}

impl Nccl {
    pub(crate) fn join(
        &mut self,
        comm: Handle,
        id: Id,
        ranks: usize,
        rank: usize,
        device: usize,
    ) -> Result<(), Status> {
        let clique = self.cliques.entry(id).or_default();
        if clique.devices.is_empty() {
            clique.devices = vec![None; ranks];
        }
        let is_new = clique.devices.len() == ranks && clique.devices[rank].is_none();
        if !is_new || clique.devices.contains(&Some(device)) {
            tell("NCCL: each rank joins once, with a device of its own");
            return Err(Status::InvalidUsage);
        }
        clique.devices[rank] = Some(device);
        let communicator = Communicator { id, rank, device, done: 0, pending: None };
        self.communicators.insert(comm, communicator);
        Ok(())
    }

    fn clique(&self, comm: Handle) -> Option<&Clique> {
        self.cliques.get(&self.communicators.get(&comm)?.id)
    }

    /// Passes if a communicator is there and whole.
    pub(crate) fn check(&self, comm: Handle) -> Result<(), Status> {
        let Clique { devices, error, .. } = self.clique(comm).ok_or(Status::InvalidArgument)?;
        match error {
            Some((status, _)) => Err(*status),
            None if devices.contains(&None) => Err(Status::InProgress),
            None => Ok(()),
        }
    }

    pub(crate) fn last_error(&self, comm: Handle) -> Option<&str> {
        self.clique(comm)?.error.as_ref().map(|(_, text)| &**text)
    }

    /// Forgets a communicator. What the others wait for is not done: the meetings.
    pub(crate) fn abort(&mut self, comm: Handle) -> Option<Vec<Meeting>> {
        let Communicator { id, rank, .. } = self.communicators.remove(&comm)?;
        let clique = self.cliques.get_mut(&id)?;
        let text = format!("rank {rank} has aborted");
        let is_open = |group: &&Group| group.calls.iter().any(Option::is_none);
        let open: Vec<Meeting> =
            clique.groups.iter().filter(is_open).map(|group| group.meeting).collect();
        if !open.is_empty() {
            clique.error.get_or_insert((Status::RemoteError, text));
        }
        Some(open)
    }

    /// A rank closes a group.
    pub(crate) fn submit(
        &mut self,
        comm: Handle,
        stream: Handle,
        calls: Vec<Call>,
        delay: u64,
    ) -> Result<(), Status> {
        self.check(comm)?;
        let communicator = self.communicators.get_mut(&comm).ok_or(Status::InvalidArgument)?;
        if communicator.pending.is_some() {
            tell("NCCL: a group is begun while one is in progress");
            return Err(Status::InvalidUsage);
        }
        communicator.pending = Some((stream, calls, delay));
        Ok(())
    }
}

impl State {
    /// How far a communicator is: an error where it is in progress, or has failed.
    pub(crate) fn progress(&mut self, comm: Handle) -> Result<(), Status> {
        self.nccl.check(comm)?;
        let Nccl { cliques, communicators } = &mut self.nccl;
        let communicator = communicators.get_mut(&comm).ok_or(Status::InvalidArgument)?;
        match &mut communicator.pending {
            None => return Ok(()),
            Some((_, _, delay @ 1..)) => {
                *delay -= 1;
                return Err(Status::InProgress);
            }
            Some(_) => {}
        }
        let Some((stream, calls, _)) = communicator.pending.take() else { return Ok(()) };
        let Communicator { id, rank, done, .. } = communicator;
        let Some(clique) = cliques.get_mut(id) else { return Err(Status::InvalidArgument) };
        let ranks = clique.devices.len();
        if clique.groups.len() == *done {
            let meeting = self.scheduler.new_meeting(ranks);
            clique.groups.push(Group { meeting, calls: vec![None; ranks] });
        }
        let group = &mut clique.groups[*done];
        group.calls[*rank] = Some(calls);
        *done += 1;
        let (meeting, number) = (group.meeting, *done);
        if let Some(all) = group.calls.iter().cloned().collect::<Option<Vec<_>>>() {
            match together(&all) {
                Ok(work) => self.scheduler.agree(meeting, work),
                Err(text) => {
                    let text = format!("in group {number} {text}");
                    tell(&format!("NCCL: {text}"));
                    clique.error = Some((Status::InvalidUsage, text));
                    self.scheduler.call_off(meeting);
                }
            }
        }
        self.scheduler.join(meeting, stream, &mut self.memory);
        self.nccl.check(comm)
    }
}

/// What the calls of all ranks do, if they fit.
fn together(all: &[Vec<Call>]) -> Result<Vec<Arc<Work>>, String> {
    let mut work = Vec::new();
    for (a, calls) in all.iter().enumerate() {
        for (b, others) in all.iter().enumerate() {
            let sent: Vec<(u64, usize)> = calls.iter().filter_map(|call| call.sent_to(b)).collect();
            let received: Vec<(u64, usize)> =
                others.iter().filter_map(|call| call.received_from(a)).collect();
            let counts = |calls: &[(u64, usize)]| -> Vec<usize> {
                calls.iter().map(|(_, count)| *count).collect()
            };
            if counts(&sent) != counts(&received) {
                let (sent, received) = (counts(&sent), counts(&received));
                return Err(format!(
                    "rank {a} sends {sent:?} bytes to rank {b}, which expects {received:?}"
                ));
            }
            for ((from, count), (at, _)) in sent.into_iter().zip(received) {
                work.push(copy(from, at, count));
            }
        }
    }
    let broadcasts = |rank: usize| -> Vec<(usize, usize, u64, u64)> {
        all[rank].iter().filter_map(Call::broadcast).collect()
    };
    let first = broadcasts(0);
    for rank in 0..all.len() {
        let own = broadcasts(rank);
        let form = |calls: &[(usize, usize, u64, u64)]| -> Vec<(usize, usize)> {
            calls.iter().map(|(root, count, ..)| (*root, *count)).collect()
        };
        if form(&own) != form(&first) {
            let (own, first) = (form(&own), form(&first));
            return Err(format!(
                "rank {rank} broadcasts {own:?} (root, bytes), and rank 0 {first:?}"
            ));
        }
        for (place, (root, count, from, at)) in own.into_iter().enumerate() {
            let (_, _, of_root, _) = broadcasts(root)[place];
            if rank != root || from != at {
                work.push(copy(of_root, at, count));
            }
        }
    }
    Ok(work)
}

impl Call {
    fn sent_to(&self, rank: usize) -> Option<(u64, usize)> {
        match self.what {
            What::Send { to, from } if to == rank => Some((from, self.count)),
            _ => None,
        }
    }

    fn received_from(&self, rank: usize) -> Option<(u64, usize)> {
        match self.what {
            What::Receive { from, at } if from == rank => Some((at, self.count)),
            _ => None,
        }
    }

    fn broadcast(&self) -> Option<(usize, usize, u64, u64)> {
        match self.what {
            What::Broadcast { root, from, at } => Some((root, self.count, from, at)),
            _ => None,
        }
    }
}

fn copy(from: u64, to: u64, count: usize) -> Arc<Work> {
    Arc::new(move |memory: &mut Memory, _| {
        let moved = memory.device.download(from, count);
        let moved = moved.and_then(|bytes| memory.device.write(to, &bytes));
        if let Err(error) = moved {
            memory.fail(&format!("moving numbers between devices: {error}"));
        }
    })
}
