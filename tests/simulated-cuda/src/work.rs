//! Streams, and when their work is done.
//!
//! Work is kept until somebody waits for it, and then done in an order that a seed decides: any that
//! the order within streams and the events between them allow. Some of it is done early.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use cudarc::driver::sys::CUresult;

use crate::ffi::Handle;
use crate::memory::Memory;

/// A recording of an event.
pub(crate) type Ticket = u64;

/// Something on the device. It is given numbers to be random with.
pub(crate) type Work = dyn Fn(&mut Memory, u64) + Send + Sync;

/// What a stream has to do.
#[derive(Clone)]
pub(crate) enum Task {
    Run(Arc<Work>),
    Record(Ticket),
    /// Waits for a recording on another stream.
    Wait(Ticket),
    /// Is done by streams of several devices at once, when all have come to it.
    Meet(Meeting),
}

/// Work of several streams: a number that no other has.
pub(crate) type Meeting = u64;

/// Who takes part in a meeting.
#[derive(Default)]
struct Participants {
    /// How many there are to be.
    expected: usize,
    streams: Vec<Handle>,
    /// What they do together, in any order.
    work: Vec<Arc<Work>>,
    /// Nobody waits for the others any more, and nothing is done.
    called_off: bool,
}

impl Task {
    pub(crate) fn run(work: impl Fn(&mut Memory, u64) + Send + Sync + 'static) -> Self {
        Task::Run(Arc::new(work))
    }
}

/// An event: its last recording.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Event {
    pub(crate) recorded: Option<Ticket>,
}

/// Work that is recorded in place of being done.
#[derive(Clone)]
pub(crate) struct Capture {
    pub(crate) tasks: Vec<Task>,
    /// Who began it. Others may do what they like on other streams.
    pub(crate) thread: ThreadId,
    /// Whether something was called that cannot be recorded.
    pub(crate) invalid: bool,
}

impl Capture {
    /// A recording that this thread begins.
    pub(crate) fn new() -> Self {
        Self { tasks: Vec::new(), thread: thread::current().id(), invalid: false }
    }
}

#[derive(Default)]
pub(crate) struct Stream {
    /// Of which device it is; the default stream is of all.
    pub(crate) device: Option<usize>,
    tasks: VecDeque<Task>,
    pub(crate) capture: Option<Capture>,
}

impl Stream {
    pub(crate) fn of(device: usize) -> Self {
        Self { device: Some(device), ..Self::default() }
    }
}

/// All streams.
pub(crate) struct Scheduler {
    pub(crate) streams: BTreeMap<Handle, Stream>,
    done: HashSet<Ticket>,
    meetings: HashMap<Meeting, Participants>,
    last_meeting: Meeting,
    last_ticket: Ticket,
    random: u64,
}

impl Scheduler {
    pub(crate) fn new(seed: u64) -> Self {
        // The default stream is always there.
        let streams = BTreeMap::from([(0, Stream::default())]);
        Self {
            streams,
            done: HashSet::new(),
            meetings: HashMap::new(),
            last_meeting: 0,
            last_ticket: 0,
            random: seed,
        }
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub(crate) fn new_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    pub(crate) fn is_done(&self, ticket: Ticket) -> bool {
        self.done.contains(&ticket)
    }

    /// All recordings under way.
    pub(crate) fn captures(&mut self) -> impl Iterator<Item = &mut Capture> {
        self.streams.values_mut().filter_map(|stream| stream.capture.as_mut())
    }

    /// Adds work to a stream that exists, and does some of all, or none.
    pub(crate) fn order(&mut self, stream: Handle, task: Task, memory: &mut Memory) {
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        match &mut stream.capture {
            Some(capture) => capture.tasks.push(task),
            None => {
                stream.tasks.push_back(task);
                while self.random().is_multiple_of(4) && self.step(memory) {}
            }
        }
    }

    /// A meeting of so many streams.
    pub(crate) fn new_meeting(&mut self, expected: usize) -> Meeting {
        self.last_meeting += 1;
        let participants = Participants { expected, ..Participants::default() };
        self.meetings.insert(self.last_meeting, participants);
        self.last_meeting
    }

    /// A stream takes part in a meeting.
    pub(crate) fn join(&mut self, meeting: Meeting, stream: Handle, memory: &mut Memory) {
        if let Some(participants) = self.meetings.get_mut(&meeting) {
            participants.streams.push(stream);
            self.order(stream, Task::Meet(meeting), memory);
        }
    }

    /// What those who take part in a meeting do: something done late, in any order.
    pub(crate) fn agree(&mut self, meeting: Meeting, work: Vec<Arc<Work>>) {
        if let Some(participants) = self.meetings.get_mut(&meeting) {
            participants.work = work;
        }
    }

    /// Nobody waits for a meeting any more.
    pub(crate) fn call_off(&mut self, meeting: Meeting) {
        if let Some(participants) = self.meetings.get_mut(&meeting) {
            participants.called_off = true;
        }
    }

    /// Does some work, or none, as time passes.
    pub(crate) fn pass_time(&mut self, memory: &mut Memory) {
        while self.step(memory) && !self.random().is_multiple_of(4) {}
    }

    /// Works until all of a stream's work is done. False if another thread has to order something before.
    pub(crate) fn finish(&mut self, stream: Handle, memory: &mut Memory) -> bool {
        self.work_until(memory, |scheduler| {
            scheduler.streams.get(&stream).is_none_or(|stream| stream.tasks.is_empty())
        })
    }

    /// Works until all is done, or as [`Scheduler::finish`].
    pub(crate) fn finish_all(&mut self, memory: &mut Memory) -> bool {
        self.work_until(memory, |scheduler| {
            scheduler.streams.values().all(|stream| stream.tasks.is_empty())
        })
    }

    /// Works until a recording is done, or as [`Scheduler::finish`].
    pub(crate) fn reach(&mut self, ticket: Ticket, memory: &mut Memory) -> bool {
        self.work_until(memory, |scheduler| scheduler.is_done(ticket))
    }

    fn work_until(&mut self, memory: &mut Memory, reached: impl Fn(&Self) -> bool) -> bool {
        while !reached(self) {
            if !self.step(memory) {
                if self.waits_for_others() {
                    return false;
                }
                let what = "streams wait for each other, or for what is never recorded";
                memory.fail_with(CUresult::CUDA_ERROR_LAUNCH_TIMEOUT, what);
                return true;
            }
        }
        true
    }

    /// Whether a stream has come to a meeting that others have still to be ordered to.
    fn waits_for_others(&self) -> bool {
        let waits = |stream: &Stream| match stream.tasks.front() {
            Some(Task::Meet(meeting)) => {
                let participants = self.meetings.get(meeting);
                participants.is_some_and(|all| all.streams.len() < all.expected)
            }
            _ => false,
        };
        self.streams.values().any(waits)
    }

    /// Whether all who take part in a meeting have come to it.
    fn have_met(&self, meeting: Meeting) -> bool {
        let Some(participants) = self.meetings.get(&meeting) else { return true };
        let Participants { expected, ref streams, called_off, .. } = *participants;
        let is_here = |stream: &Handle| {
            let front = self.streams.get(stream).and_then(|stream| stream.tasks.front());
            matches!(front, Some(Task::Meet(here)) if *here == meeting)
        };
        called_off || (streams.len() == expected && streams.iter().all(is_here))
    }

    /// Does the next task of some stream. False if there is none that can be done.
    fn step(&mut self, memory: &mut Memory) -> bool {
        let ready = |stream: &Stream| match stream.tasks.front() {
            Some(Task::Wait(ticket)) => self.done.contains(ticket),
            Some(Task::Meet(meeting)) => self.have_met(*meeting),
            Some(_) => true,
            None => false,
        };
        let all = self.streams.iter().filter(|(_, stream)| ready(stream));
        let ready: Vec<Handle> = all.map(|(handle, _)| *handle).collect();
        if ready.is_empty() {
            return false;
        }
        let (choice, random) = (self.random() as usize % ready.len(), self.random());
        let stream = self.streams.get_mut(&ready[choice]);
        match stream.and_then(|stream| stream.tasks.pop_front()) {
            // After a fault, the rest is left out.
            Some(Task::Run(work)) if memory.fault.is_none() => work(memory, random),
            Some(Task::Record(ticket)) => _ = self.done.insert(ticket),
            Some(Task::Meet(meeting)) => self.meet(meeting, ready[choice], memory, random),
            _ => {}
        }
        true
    }

    /// Does what streams do together, whose other ones leave it behind, too.
    fn meet(&mut self, meeting: Meeting, first: Handle, memory: &mut Memory, mut random: u64) {
        if self.meetings.get(&meeting).is_none_or(|participants| participants.called_off) {
            return;
        }
        let Some(Participants { streams, mut work, .. }) = self.meetings.remove(&meeting) else {
            return;
        };
        for stream in streams.iter().filter(|stream| **stream != first) {
            self.streams.get_mut(stream).map(|stream| stream.tasks.pop_front());
        }
        while memory.fault.is_none() && !work.is_empty() {
            random = self.random() ^ random.rotate_left(1);
            work.swap_remove(random as usize % work.len())(memory, random);
        }
    }
}
