//! The threads of a block: who runs next, who waits for whom.
//!
//! A ready thread is picked at random and runs for a random number of instructions. That is a legal
//! order for threads with program counters of their own, and finds what lock-step warps would hide.

use super::thread::{Stop, Thread};
use super::{Result, World};
use crate::instruction::{Barrier, BarrierKind, Instruction, Op};
use crate::random::Random;
use crate::{Fault, Memory};

/// The longest turn: short enough to mix threads within a loop, long enough to be fast.
const MAX_TURN: usize = 64;

/// Some seconds; kernels under test are small.
const MAX_STEPS: u64 = 1 << 31;

/// Barriers that a block has.
const BARRIERS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    Waiting,
    Gone,
}

#[derive(Debug, Default)]
struct Meeting {
    /// Threads that wait.
    waiting: Vec<u32>,
    /// Threads that arrived and went on.
    arrived: u32,
    expected: u32,
}

pub(super) struct Block {
    pub(super) threads: Vec<Thread>,
    status: Vec<Status>,
    /// For each warp, the lanes that have not exited, and those that wait at a warp-wide instruction.
    pub(super) alive: Vec<u32>,
    pub(super) at_warp: Vec<u32>,
    ready: Vec<u32>,
    meetings: [Meeting; BARRIERS],
}

/// A fault with its line and thread.
type Located<T> = std::result::Result<T, (u32, u32, Fault)>;

impl Block {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: (0..threads).map(|_| Thread::default()).collect(),
            status: vec![Status::Gone; threads],
            alive: vec![0; threads.div_ceil(32)],
            at_warp: vec![0; threads.div_ceil(32)],
            ready: Vec::new(),
            meetings: Default::default(),
        }
    }

    /// Runs all threads of the world's block to their end.
    pub(super) fn run<M: Memory>(
        &mut self,
        world: &mut World<'_, M>,
        kernel: usize,
        params: &[u8],
        random: &mut Random,
    ) -> Located<()> {
        for (thread, index) in self.threads.iter_mut().zip(0..) {
            thread.reset(index, kernel, params, world);
        }
        self.status.fill(Status::Ready);
        self.alive.fill(0);
        self.at_warp.fill(0);
        for t in 0..self.threads.len() {
            self.alive[t / 32] |= 1 << (t % 32);
        }
        self.ready = (0..self.threads.len() as u32).collect();
        self.meetings = Default::default();
        while !self.ready.is_empty() {
            let t = self.ready.swap_remove(random.below(self.ready.len()));
            let turn = 1 + random.below(MAX_TURN) as u32;
            let stop = self.turn(world, t, turn).map_err(|fault| self.located(world, t, fault))?;
            if stop == Stop::Turn {
                self.ready.push(t);
            }
            if world.steps > MAX_STEPS {
                return Err(self.located(world, t, Fault::Endless(MAX_STEPS)));
            }
        }
        match self.status.iter().position(|&status| status == Status::Waiting) {
            Some(t) => Err(self.located(world, t as u32, self.stuck(world, t as u32))),
            None if self.meetings.iter().any(|m| m.arrived > 0) => {
                let id = self.meetings.iter().position(|m| m.arrived > 0).unwrap_or(0);
                let detail = "threads arrived, and nobody waited for them".into();
                Err(self.located(world, 0, Fault::DivergentBarrier { barrier: id as u32, detail }))
            }
            None => Ok(()),
        }
    }

    fn located<M>(&self, world: &World<'_, M>, t: u32, fault: Fault) -> (u32, u32, Fault) {
        (self.threads[t as usize].instruction(world).line, t, fault)
    }

    fn turn<M: Memory>(&mut self, world: &mut World<'_, M>, t: u32, turn: u32) -> Result<Stop> {
        let (warp, lane) = (t as usize / 32, 1 << (t % 32));
        let thread = &mut self.threads[t as usize];
        let stop = thread.run(world, turn)?;
        match stop {
            Stop::Turn => {}
            Stop::Exit => {
                self.status[t as usize] = Status::Gone;
                self.alive[warp] &= !lane;
                // The rest of its warp may have waited for it.
                if self.at_warp[warp] != 0 {
                    self.meet_warp(world, t / 32)?;
                }
            }
            Stop::Together => {
                self.status[t as usize] = Status::Waiting;
                let Instruction { op, .. } = thread.instruction(world);
                match op {
                    Op::Barrier(barrier) => self.arrive(world, t, *barrier)?,
                    Op::Warp { mask, .. } => {
                        let mask = thread.value(*mask, world) as u32;
                        if mask & lane == 0 {
                            let lane = t % 32;
                            return Err(Fault::DivergentWarp(format!(
                                "lane {lane} is not in its mask {mask:#010x}"
                            )));
                        }
                        self.at_warp[warp] |= lane;
                        if mask & self.alive[warp] & !self.at_warp[warp] == 0 {
                            self.meet_warp(world, t / 32)?;
                        }
                    }
                    Op::MatrixMultiply(multiply) => {
                        self.at_warp[warp] |= lane;
                        self.multiply(world, t / 32, multiply);
                    }
                    _ => {}
                }
            }
        }
        Ok(stop)
    }

    /// Lets a waiting thread go on behind its instruction.
    pub(super) fn release(&mut self, t: u32) {
        self.threads[t as usize].frame.pc += 1;
        self.status[t as usize] = Status::Ready;
        self.at_warp[t as usize / 32] &= !(1 << (t % 32));
        self.ready.push(t);
    }

    fn arrive<M: Memory>(
        &mut self,
        world: &mut World<'_, M>,
        t: u32,
        barrier: Barrier,
    ) -> Result<()> {
        let thread = &self.threads[t as usize];
        let id = thread.value(barrier.id, world) as u32;
        let all = self.threads.len() as u32;
        let expected = match barrier.count {
            Some(count) => thread.value(count, world) as u32,
            None => all,
        };
        let diverged = |detail: String| Fault::DivergentBarrier { barrier: id, detail };
        if id as usize >= BARRIERS {
            return Err(diverged(format!("a block has barriers 0 to {}", BARRIERS - 1)));
        }
        if barrier.count.is_some() && (expected == 0 || expected % 32 != 0) {
            return Err(diverged(format!("{expected} threads are not a multiple of a warp")));
        }
        let meeting = &mut self.meetings[id as usize];
        if meeting.waiting.len() as u32 + meeting.arrived > 0 && meeting.expected != expected {
            return Err(diverged(format!(
                "one thread expects {} threads, another {expected}",
                meeting.expected
            )));
        }
        meeting.expected = expected;
        if matches!(barrier.kind, BarrierKind::Arrive) {
            meeting.arrived += 1;
        } else {
            meeting.waiting.push(t);
        }
        let complete = meeting.waiting.len() as u32 + meeting.arrived >= expected.min(all);
        if matches!(barrier.kind, BarrierKind::Arrive) {
            self.release(t);
        }
        if complete { self.complete(world, id) } else { Ok(()) }
    }

    fn complete<M: Memory>(&mut self, world: &mut World<'_, M>, id: u32) -> Result<()> {
        let waiting = std::mem::take(&mut self.meetings[id as usize]).waiting;
        self.check_aligned(world, id, &waiting)?;
        let vote = |block: &Self, t: u32| {
            let thread = &block.threads[t as usize];
            match thread.instruction(world).op {
                Op::Barrier(Barrier {
                    kind:
                        BarrierKind::Popc { p, negate, .. }
                        | BarrierKind::All { p, negate, .. }
                        | BarrierKind::Any { p, negate, .. },
                    ..
                }) => thread.predicate(p) != negate,
                _ => false,
            }
        };
        let votes = waiting.iter().filter(|&&t| vote(self, t)).count();
        for &t in &waiting {
            let thread = &mut self.threads[t as usize];
            if let Op::Barrier(barrier) = thread.instruction(world).op {
                match barrier.kind {
                    BarrierKind::Popc { d, .. } => thread.set(d, votes as u64),
                    BarrierKind::All { d, .. } => thread.set(d, u64::from(votes == waiting.len())),
                    BarrierKind::Any { d, .. } => thread.set(d, u64::from(votes > 0)),
                    BarrierKind::Sync | BarrierKind::Arrive => {}
                }
            }
            self.release(t);
        }
        world.clocks.block_barrier();
        Ok(())
    }

    /// An aligned barrier is one instruction for all threads of a warp.
    fn check_aligned<M>(&self, world: &World<'_, M>, id: u32, waiting: &[u32]) -> Result<()> {
        let mut first = [None; 32];
        for &t in waiting {
            let thread = &self.threads[t as usize];
            let Instruction { op: Op::Barrier(Barrier { aligned: true, .. }), line, .. } =
                thread.instruction(world)
            else {
                continue;
            };
            let place = (thread.frame.function, thread.frame.pc, *line);
            let other = *first[t as usize / 32].get_or_insert(place);
            if other != place {
                let detail = format!(
                    "threads of warp {} came by line {} and by line {line}",
                    t / 32,
                    other.2
                );
                return Err(Fault::DivergentBarrier { barrier: id, detail });
            }
        }
        Ok(())
    }

    /// Nobody can run, and thread `t` waits: why?
    fn stuck<M>(&self, world: &World<'_, M>, t: u32) -> Fault {
        let here = self.threads[t as usize].instruction(world);
        let gone = self.status.iter().filter(|&&status| status == Status::Gone).count();
        let mut same = 0;
        let mut elsewhere = Vec::new();
        for (thread, status) in self.threads.iter().zip(&self.status) {
            if *status == Status::Waiting {
                let line = thread.instruction(world).line;
                if line == here.line {
                    same += 1;
                } else if !elsewhere.contains(&line) {
                    elsewhere.push(line);
                }
            }
        }
        elsewhere.sort_unstable();
        let mut detail = format!("{same} threads wait here, {gone} have exited");
        if !elsewhere.is_empty() {
            detail += &format!(", others wait in lines {elsewhere:?}");
        }
        match &here.op {
            Op::Barrier(barrier) => {
                let barrier = self.threads[t as usize].value(barrier.id, world) as u32;
                Fault::DivergentBarrier { barrier, detail }
            }
            _ => Fault::DivergentWarp(detail),
        }
    }
}
