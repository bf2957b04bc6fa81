//! What ranks exchange: numbers that shards have, and the sum over shards.

use std::ops::{AddAssign, Range};

use bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::{Peers, Shards, Tree};
use crate::{Result, zeros};

/// A number that moves between ranks as its bytes.
pub trait Number: Pod + Default + AddAssign {
    /// Bytes of a number.
    const BYTES: usize = size_of::<Self>();

    /// Writes numbers into bytes, [`Number::BYTES`] each.
    fn write(numbers: &[Self], bytes: &mut [u8]) {
        bytes.copy_from_slice(cast_slice(numbers));
    }

    /// Reads numbers from bytes.
    fn read(bytes: &[u8], numbers: &mut [Self]) {
        cast_slice_mut(numbers).copy_from_slice(bytes);
    }
}

impl Number for f32 {}
impl Number for f64 {}

/// Gives every rank the numbers that each shard has: as many of each, in the order of shards, of the
/// first `present` ones. `own` are those of this rank's shards, `others` takes those of all others.
///
/// # Errors
/// Those of the peers, and [`crate::Error::OutOfMemory`].
///
/// # Panics
/// If there are not as many numbers as that.
pub fn gather<T: Number>(
    peers: &dyn Peers,
    shards: Shards,
    present: usize,
    own: &[&[T]],
    others: &mut [&mut [T]],
) -> Result<()> {
    check(peers, shards);
    let count = |rank| clip(shards.of(rank), present).len();
    let counts: Vec<usize> = (0..shards.ranks()).map(count).collect();
    let (mine, all): (usize, usize) = (counts[shards.rank()], counts.iter().sum());
    let len = |numbers: &[&[T]]| numbers.iter().map(|numbers| numbers.len()).sum::<usize>();
    let others_len: usize = others.iter().map(|numbers| numbers.len()).sum();
    let of_shard = (len(own) + others_len).checked_div(all).unwrap_or(0);
    assert_eq!([len(own), others_len], [mine, all - mine].map(|n| n * of_shard), "of each shard");

    let mut send = pieces(shards.ranks());
    let mut receive = pieces(shards.ranks());
    let mut others = others.iter_mut();
    for (rank, count) in counts.iter().enumerate().filter(|(rank, _)| *rank != shards.rank()) {
        send[rank].extend(own.iter().map(|numbers| cast_slice(numbers)));
        let mut left = count * of_shard;
        while left > 0 {
            let numbers = others.next().expect("as many as were counted");
            left = left.checked_sub(numbers.len()).expect("vectors are of one rank each");
            receive[rank].push(cast_slice_mut(numbers));
        }
    }
    peers.exchange(&send, &mut receive)
}

/// Gives every rank all rows of tables of bytes, which have a row for each of `n` images, where a full batch
/// has `batch`: of each rank those of its shards' images.
///
/// # Errors
/// Those of the peers.
///
/// # Panics
/// If a table's rows are not equally long.
pub fn gather_rows(
    peers: &dyn Peers,
    shards: Shards,
    batch: usize,
    n: usize,
    tables: &mut [&mut [u8]],
) -> Result<()> {
    check(peers, shards);
    let (mut own, mut receive): (Vec<&[u8]>, _) = (Vec::new(), pieces(shards.ranks()));
    for table in tables {
        assert!(table.len().is_multiple_of(n), "rows are equally long");
        let row = table.len() / n;
        let mut rest = &mut table[..];
        for (rank, receive) in receive.iter_mut().enumerate() {
            let len = row * shards.rows_of_rank(rank, batch, n).len();
            let rows = rest.split_off_mut(..len).expect("ranks have all rows, in their order");
            match rank == shards.rank() {
                true => own.push(rows),
                false => receive.push(rows),
            }
        }
    }
    let to = |to| if to == shards.rank() { vec![] } else { own.clone() };
    peers.exchange(&(0..shards.ranks()).map(to).collect::<Vec<_>>(), &mut receive)
}

/// Gives every rank the first one's numbers.
///
/// # Errors
/// Those of the peers, and [`crate::Error::OutOfMemory`].
pub fn broadcast<T: Number>(peers: &dyn Peers, numbers: &mut [T]) -> Result<()> {
    for numbers in numbers.chunks_mut(BUCKET) {
        let (mut send, mut receive) = (pieces(peers.ranks()), pieces(peers.ranks()));
        match peers.rank() {
            0 => send[1..].iter_mut().for_each(|to| to.push(cast_slice(numbers))),
            _ => receive[0].push(cast_slice_mut(numbers)),
        }
        peers.exchange(&send, &mut receive)?;
    }
    Ok(())
}

/// A rank's sums of one thing over its shards, one for each of [`Tree::cover`].
#[derive(Debug)]
pub struct ShardSums<'a, T> {
    /// The first sum, which becomes that over all shards. What is in it does not count where the rank has
    /// none.
    pub first: &'a mut [T],
    /// The other sums, as long as the first one.
    pub others: Vec<&'a [T]>,
}

/// Numbers that are under way at once: 4 MiB of `f32`.
const BUCKET: usize = 1 << 20;

/// Memory that sums use while they are made, one after the other: it grows to what the largest took.
#[derive(Debug, Default)]
pub struct Room<T> {
    /// What came from other ranks.
    received: Vec<T>,
    /// Numbers that are added, [`BLOCK`] of them each.
    blocks: Vec<Vec<T>>,
}

/// Adds up what ranks have of each thing, over the first `present` shards, in the order of the [`Tree`]:
/// on every rank the first of its sums becomes the sum over all, to the same bits.
///
/// Each rank adds a part of the numbers, which the others send it, and sends the sum to all, while the
/// next ones are on their way. Where the number of ranks is a power of two that divides the shards, that
/// is as much traffic as the usual rings take: `2 · (ranks − 1) / ranks` of the numbers.
///
/// # Errors
/// Those of the peers, and [`crate::Error::OutOfMemory`].
///
/// # Panics
/// If there are not as many sums as the tree has nodes for this rank, or lengths differ.
pub fn sum<T: Number>(
    peers: &dyn Peers,
    shards: Shards,
    present: usize,
    things: &mut [ShardSums<'_, T>],
    room: &mut Room<T>,
) -> Result<()> {
    check(peers, shards);
    let tree = Tree::new(shards.count(), present);
    let covers: Vec<_> = (0..shards.ranks()).map(|rank| tree.cover(shards.of(rank))).collect();
    let nodes = covers[shards.rank()].len();
    for ShardSums { first, others } in &*things {
        assert_eq!(others.len(), nodes.max(1) - 1, "sums of this rank");
        assert!(others.iter().all(|other| other.len() == first.len()), "sums are equally long");
    }
    let all: usize = things.iter().map(|sums| sums.first.len()).sum();
    let summing = Summing { peers, shards, tree, covers: &covers };
    let mut summed = 0..0;
    while summed.end < all {
        let next = summed.end..all.min(summed.end + BUCKET);
        summing.exchange(&summed, &next, things, &mut room.received)?;
        summing.add_up(&next, things, room);
        summed = next;
    }
    summing.exchange(&summed, &(all..all), things, &mut room.received)
}

/// Numbers that are added at once: three sums of as many fit into a core's own memory.
const BLOCK: usize = 2048;

/// Who adds what. Numbers are counted through all things one after the other, and a bucket is a range of
/// them, of which each rank adds up a part.
struct Summing<'a> {
    peers: &'a dyn Peers,
    shards: Shards,
    tree: Tree,
    /// Each rank's nodes.
    covers: &'a [Vec<Range<usize>>],
}

impl Summing<'_> {
    /// Sends all others this rank's part of the bucket that is `summed`, and each its part of what this
    /// rank has of the `next` one, of its nodes one after the other; receives as much of theirs.
    fn exchange<T: Number>(
        &self,
        summed: &Range<usize>,
        next: &Range<usize>,
        things: &mut [ShardSums<'_, T>],
        received: &mut Vec<T>,
    ) -> Result<()> {
        let (rank, ranks) = (self.shards.rank(), self.shards.ranks());
        let (mut own, mut receive): (Vec<&[u8]>, _) = (Vec::new(), pieces(ranks));
        let places: Vec<_> = (0..ranks).map(|to| places(things, self.part(next, to))).collect();
        // Of each thing, how many numbers of its first sum end with what is summed, the rest, and other sums.
        let mut left = Vec::new();
        let mut first = 0;
        for ShardSums { first: numbers, others } in things {
            let (mut at, len) = (first, numbers.len());
            let mut rest = &mut numbers[..];
            for (of, receive) in receive.iter_mut().enumerate() {
                let part = clipped(self.part(summed, of), first..first + len);
                let here = rest.split_off_mut(part.start.max(at) - at..).expect("a part of it");
                rest = here;
                let piece = rest.split_off_mut(..part.len()).expect("a part of it");
                at = part.end.max(at);
                match of == rank {
                    true => own.push(cast_slice(piece)),
                    false => receive.push(cast_slice_mut(piece)),
                }
            }
            left.push((at - first, &*rest, &*others));
            first += len;
        }
        let to = |to| if to == rank { vec![] } else { own.clone() };
        let mut send: Vec<Vec<&[u8]>> = (0..ranks).map(to).collect();
        for (to, send) in send.iter_mut().enumerate().filter(|(to, _)| *to != rank) {
            for node in 0..self.covers[rank].len() {
                for (thing, Range { start, end }) in places[to].iter().cloned() {
                    let (before, rest, others) = left[thing];
                    send.push(cast_slice(match node {
                        0 => &rest[start - before..end - before],
                        _ => &others[node - 1][start..end],
                    }));
                }
            }
        }
        let len = |from: usize| match from == rank {
            true => 0,
            false => self.covers[from].len() * self.part(next, rank).len(),
        };
        make_room(received, (0..ranks).map(len).sum())?;
        let mut rest = &mut received[..];
        for (from, receive) in receive.iter_mut().enumerate() {
            let numbers = rest.split_off_mut(..len(from)).expect("room was made for all");
            receive.push(cast_slice_mut(numbers));
        }
        self.peers.exchange(&send, &mut receive)
    }

    /// Adds up this rank's part, a block after the other.
    fn add_up<T: Number>(
        &self,
        bucket: &Range<usize>,
        things: &mut [ShardSums<'_, T>],
        room: &mut Room<T>,
    ) {
        let Room { received, blocks } = room;
        let part = self.part(bucket, self.shards.rank());
        let mut before = 0;
        for (thing, range) in places(things, part.clone()) {
            for start in range.clone().step_by(BLOCK) {
                let block = start..range.end.min(start + BLOCK);
                let at = before + block.start - range.start;
                let known = |node: &Range<usize>| {
                    let numbers = match self.place_of(node)? {
                        Place::Own(node) => &things[thing].of(node)[block.clone()],
                        Place::Received(node) => &received[node * part.len() + at..][..block.len()],
                    };
                    let mut copy = blocks.pop().unwrap_or_default();
                    copy.clear();
                    copy.extend_from_slice(numbers);
                    Some(copy)
                };
                let mut free = Vec::new();
                let add = |mut left: Vec<T>, right: Vec<T>| {
                    left.iter_mut().zip(&right).for_each(|(x, y)| *x += *y);
                    free.push(right);
                    left
                };
                if let Some(sum) = self.tree.sum(known, add) {
                    things[thing].first[block].copy_from_slice(&sum);
                    free.push(sum);
                }
                blocks.append(&mut free);
            }
            before += range.len();
        }
    }

    /// Where the sum of a node is, if a rank has it.
    fn place_of(&self, node: &Range<usize>) -> Option<Place> {
        let mut received = 0;
        for (rank, nodes) in self.covers.iter().enumerate() {
            let own = rank == self.shards.rank();
            match nodes.iter().position(|of| of == node) {
                Some(node) if own => return Some(Place::Own(node)),
                Some(node) => return Some(Place::Received(received + node)),
                None if own => {}
                None => received += nodes.len(),
            }
        }
        None
    }

    /// The part of a bucket that a rank adds up.
    fn part(&self, bucket: &Range<usize>, rank: usize) -> Range<usize> {
        let at = |rank: usize| bucket.start + rank * bucket.len() / self.shards.ranks();
        at(rank)..at(rank + 1)
    }
}

/// Where the sum of a node is: which one of this rank's, or of those received.
enum Place {
    Own(usize),
    Received(usize),
}

impl<T> ShardSums<'_, T> {
    /// The sum of one of the nodes.
    fn of(&self, node: usize) -> &[T] {
        match node {
            0 => self.first,
            _ => self.others[node - 1],
        }
    }
}

/// Each thing that has some of the numbers in `range`, which counts through all things one after the
/// other, and which of its numbers those are.
fn places<T>(things: &[ShardSums<'_, T>], range: Range<usize>) -> Vec<(usize, Range<usize>)> {
    let (mut places, mut first) = (Vec::new(), 0);
    for (i, thing) in things.iter().enumerate() {
        let len = thing.first.len();
        let part = clipped(range.clone(), first..first + len);
        if !part.is_empty() {
            places.push((i, part.start - first..part.end - first));
        }
        first += len;
    }
    places
}

/// What is in both ranges; an empty one within or beside the second where there is nothing.
fn clipped(range: Range<usize>, within: Range<usize>) -> Range<usize> {
    let start = range.start.clamp(within.start, within.end);
    start..range.end.clamp(start, within.end)
}

/// Nothing for each of the ranks.
fn pieces<T>(ranks: usize) -> Vec<Vec<T>> {
    (0..ranks).map(|_| Vec::new()).collect()
}

fn make_room<T: Copy + Default>(memory: &mut Vec<T>, len: usize) -> Result<()> {
    if memory.len() < len {
        *memory = zeros(len)?;
    }
    Ok(())
}

/// The shards that are present.
fn clip(Range { start, end }: Range<usize>, present: usize) -> Range<usize> {
    start.min(present)..end.min(present)
}

fn check(peers: &dyn Peers, shards: Shards) {
    let [here, there] = [(peers.rank(), peers.ranks()), (shards.rank(), shards.ranks())];
    assert_eq!(here, there, "the rank that a program is for");
}
