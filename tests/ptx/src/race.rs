//! Races: two accesses to one byte, at least one a write, that nothing orders.
//!
//! Inside a block, two accesses are ordered if a `bar.sync` lies between them, or, in one warp, a
//! `bar.warp.sync` of both threads (each thread has a vector clock over its warp's lanes). A shuffle
//! or vote orders no memory, as the PTX manual says. A barrier of only some threads of the block counts as one
//! of all: races beside it may be missed, none is invented.

use std::collections::HashMap;

const LANES: usize = 32;

/// The order inside a block.
pub(crate) struct Clocks {
    /// Barriers so far, counted over all blocks, so that records of earlier blocks are never equal.
    epoch: u32,
    /// For each thread, the clocks of its warp's lanes that it has heard of; its own among them.
    heard: Vec<[u32; LANES]>,
}

/// One remembered access.
#[derive(Debug, Clone, Copy)]
struct Access {
    thread: u32,
    line: u32,
    epoch: u32,
    clock: u32,
}

/// `line` of an access that never was.
const NEVER: Access = Access { thread: 0, line: 0, epoch: 0, clock: 0 };

/// The other side of a race.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) thread: u32,
    pub(crate) line: u32,
    pub(crate) same_block: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    /// The flag: the byte keeps its value, which makes a race with another write harmless.
    Write(bool),
    /// Ordered with other atomics, not with plain accesses.
    Atomic,
}

impl Clocks {
    pub(crate) fn new(threads: usize) -> Self {
        let own = |thread: usize| std::array::from_fn(|lane| u32::from(lane == thread % LANES));
        Self { epoch: 1, heard: (0..threads).map(own).collect() }
    }

    /// All threads of the block have met, or a new block begins.
    pub(crate) fn block_barrier(&mut self) {
        self.epoch += 1;
    }

    /// These threads of one warp have met.
    pub(crate) fn warp_barrier(&mut self, threads: &[u32]) {
        let mut all = [0; LANES];
        for &thread in threads {
            for (all, heard) in all.iter_mut().zip(&self.heard[thread as usize]) {
                *all = (*all).max(*heard);
            }
        }
        for &thread in threads {
            self.heard[thread as usize] = all;
            self.heard[thread as usize][thread as usize % LANES] += 1;
        }
    }

    fn access(&self, thread: u32, line: u32) -> Access {
        let clock = self.heard[thread as usize][thread as usize % LANES];
        Access { thread, line, epoch: self.epoch, clock }
    }

    /// Whether the earlier access happened before what `thread` does now.
    #[inline]
    fn ordered(&self, earlier: &Access, thread: u32) -> bool {
        earlier.thread == thread
            || earlier.epoch != self.epoch
            || (earlier.thread as usize / LANES == thread as usize / LANES
                && self.heard[thread as usize][earlier.thread as usize % LANES] >= earlier.clock)
    }
}

/// What is remembered of one byte of shared memory.
#[derive(Debug, Clone, Copy)]
struct Byte {
    write: Access,
    /// The last write was atomic.
    atomic: bool,
    /// Two readers are enough: whoever writes, at least one of them is another thread.
    reads: [Access; 2],
}

/// The races of a block's shared memory.
pub(crate) struct SharedRaces(Vec<Byte>);

impl SharedRaces {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(vec![Byte { write: NEVER, atomic: false, reads: [NEVER; 2] }; bytes])
    }

    /// Remembers an access to a byte that exists, and returns the access that it races with.
    #[inline]
    pub(crate) fn access(
        &mut self,
        clocks: &Clocks,
        at: usize,
        thread: u32,
        line: u32,
        kind: Kind,
    ) -> Option<Other> {
        let byte = &mut self.0[at];
        let both_atomic = byte.atomic && kind == Kind::Atomic;
        let mut other = None;
        if !clocks.ordered(&byte.write, thread) && !both_atomic && kind != Kind::Write(true) {
            other = Some(byte.write);
        }
        if kind == Kind::Read {
            let slot = usize::from(!clocks.ordered(&byte.reads[0], thread));
            byte.reads[slot] = clocks.access(thread, line);
        } else {
            other = other.or(byte.reads.into_iter().find(|read| !clocks.ordered(read, thread)));
            byte.write = clocks.access(thread, line);
            byte.atomic = kind == Kind::Atomic;
        }
        other.map(|access| Other { thread: access.thread, line: access.line, same_block: true })
    }
}

#[derive(Clone, Copy)]
struct GlobalWrite {
    access: Access,
    block: u64,
    value: u8,
}

const PAGE: u64 = 1 << 10;

/// Writes of different values to one byte of global memory by two threads of a launch.
///
/// Reads are not watched: blocks may well talk to each other through fences and atomics.
#[derive(Default)]
pub(crate) struct GlobalRaces {
    pages: HashMap<u64, usize>,
    bytes: Vec<[GlobalWrite; PAGE as usize]>,
    /// The page of the last write, which is mostly that of the next.
    last: Option<(u64, usize)>,
}

impl GlobalRaces {
    /// Remembers a plain write, and returns an unordered one of another value.
    pub(crate) fn write(
        &mut self,
        clocks: &Clocks,
        block: u64,
        thread: u32,
        line: u32,
        address: u64,
        values: &[u8],
    ) -> Option<Other> {
        let mut found = None;
        let access = clocks.access(thread, line);
        for (address, &value) in (address..).zip(values) {
            let page = self.page(address / PAGE);
            let byte = &mut self.bytes[page][(address % PAGE) as usize];
            let earlier = byte.access;
            let same_block = byte.block == block;
            let unordered = earlier.line != 0 && (!same_block || !clocks.ordered(&earlier, thread));
            if unordered && byte.value != value {
                found = Some(Other { thread: earlier.thread, line: earlier.line, same_block });
            }
            *byte = GlobalWrite { access, block, value };
        }
        found
    }

    fn page(&mut self, number: u64) -> usize {
        if let Some((_, index)) = self.last.filter(|&(last, _)| last == number) {
            return index;
        }
        let index = *self.pages.entry(number).or_insert_with(|| {
            self.bytes.push([GlobalWrite { access: NEVER, block: 0, value: 0 }; PAGE as usize]);
            self.bytes.len() - 1
        });
        self.last = Some((number, index));
        index
    }
}
