//! Which of a program's buffers share memory: those that are never needed at the same time.

use std::cmp::Reverse;

use vgg_tensor::{Content, Program, Role};

/// Memory for the buffers of a program that nobody knows outside of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    /// Of each buffer of the program, which of the memories it is in; nothing for those that are kept
    /// from run to run or read after it, each of which has memory of its own.
    pub(crate) memories: Vec<Option<usize>>,
    /// The bytes of each memory, the largest first.
    pub(crate) sizes: Vec<u64>,
}

impl Placement {
    /// Of several ways the one that takes least. `bytes` says what contents take.
    ///
    /// Buffers are placed one after the other, each in memory that is free while it is needed, or else
    /// in a new one: from the largest to the smallest ("greedy by size": Pisarchyk and Lee, "Efficient
    /// memory management for deep neural net inference", 2020), in the tightest or the roomiest
    /// memory, or in the order in which they are needed, which suits a chain.
    pub(crate) fn new(program: &Program, bytes: impl Fn(Content) -> u64) -> Self {
        let by_time = needed(program, &bytes);
        let mut by_size = by_time.clone();
        by_size.sort_by_key(|buffer| Reverse(buffer.bytes));
        let count = program.buffers().len();
        let ways =
            [(&by_size, Fit::Tightest), (&by_size, Fit::Roomiest), (&by_time, Fit::Tightest)];
        let placements = ways.map(|(order, fit)| Self::greedy(count, order, fit));
        let best = placements.into_iter().min_by_key(|placement| placement.bytes());
        best.expect("there are several ways")
    }

    /// Bytes of all memories.
    fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    fn greedy(count: usize, order: &[Needed], fit: Fit) -> Self {
        // Of each memory, its size and what is in it.
        let mut filled: Vec<(u64, Vec<Needed>)> = Vec::new();
        for buffer in order {
            let apart = |other: &Needed| other.last < buffer.first || buffer.last < other.first;
            let free = filled.iter_mut().filter(|(_, others)| others.iter().all(apart));
            let memory = match fit {
                // What it would grow by counts first, then what it leaves empty.
                Fit::Tightest => free.min_by_key(|(size, _)| {
                    (buffer.bytes.saturating_sub(*size), size.saturating_sub(buffer.bytes))
                }),
                Fit::Roomiest => free.max_by_key(|(size, _)| *size),
            };
            match memory {
                Some((size, others)) => {
                    *size = buffer.bytes.max(*size);
                    others.push(*buffer);
                }
                None => filled.push((buffer.bytes, vec![*buffer])),
            }
        }
        filled.sort_by_key(|(size, _)| Reverse(*size));
        let mut memories = vec![None; count];
        for (memory, (_, buffers)) in filled.iter().enumerate() {
            buffers.iter().for_each(|buffer| memories[buffer.id] = Some(memory));
        }
        Self { memories, sizes: filled.into_iter().map(|(bytes, _)| bytes).collect() }
    }
}

/// Which free memory a buffer takes.
#[derive(Clone, Copy)]
enum Fit {
    Tightest,
    Roomiest,
}

/// A buffer while a program needs it: from command `first` to `last`, counted from 1; what is given is
/// needed from 0 on.
#[derive(Clone, Copy)]
struct Needed {
    id: usize,
    bytes: u64,
    first: usize,
    last: usize,
}

/// In the order in which they are needed.
fn needed(program: &Program, bytes: &impl Fn(Content) -> u64) -> Vec<Needed> {
    let lifetimes = program.lifetimes().into_iter().zip(program.buffers());
    let shared = lifetimes.enumerate().filter_map(|(id, (lifetime, buffer))| {
        let (first, last) = lifetime?;
        let first = match buffer.role {
            Role::Input => 0,
            Role::Temporary | Role::Discarded => first + 1,
            Role::State | Role::Output => return None,
        };
        Some(Needed { id, bytes: bytes(buffer.content), first, last: last + 1 })
    });
    let mut needed: Vec<_> = shared.collect();
    needed.sort_by_key(|buffer| buffer.first);
    needed
}

#[cfg(test)]
mod tests;
