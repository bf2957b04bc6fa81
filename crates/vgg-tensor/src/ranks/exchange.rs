//! What ranks exchange: numbers that shards have, and the sum over shards.

use std::ops::{AddAssign, Range};

use super::{Peers, Shards, Tree};
use crate::{Result, zeros};

/// A number that moves between ranks as its bytes.
pub trait Number: Copy + Default + AddAssign {
    /// Bytes of a number.
    const BYTES: usize;

    /// Writes numbers into bytes, [`Number::BYTES`] each.
    fn write(numbers: &[Self], bytes: &mut [u8]);

    /// Reads numbers from bytes.
    fn read(bytes: &[u8], numbers: &mut [Self]);
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const BYTES: usize = size_of::<Self>();

            fn write(numbers: &[Self], bytes: &mut [u8]) {
                let (places, rest) = bytes.as_chunks_mut();
                assert!(places.len() == numbers.len() && rest.is_empty(), "bytes of numbers");
                places.iter_mut().zip(numbers).for_each(|(to, x)| *to = x.to_ne_bytes());
            }

            fn read(bytes: &[u8], numbers: &mut [Self]) {
                let (places, rest) = bytes.as_chunks();
                assert!(places.len() == numbers.len() && rest.is_empty(), "bytes of numbers");
                numbers
                    .iter_mut()
                    .zip(places)
                    .for_each(|(x, from)| *x = Self::from_ne_bytes(*from));
            }
        }
    };
}

number!(f32);
number!(f64);

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

    let lens: Vec<usize> = counts.iter().map(|count| T::BYTES * count * of_shard).collect();
    let mut bytes = zeros::<u8>(lens.iter().sum())?;
    let mut sent = zeros::<u8>(lens[shards.rank()])?;
    let mut rest = &mut sent[..];
    for numbers in own {
        T::write(numbers, rest.split_off_mut(..T::BYTES * numbers.len()).expect("room for all"));
    }
    peers.all_gather(&sent, &lens, &mut bytes)?;
    let before: usize = lens[..shards.rank()].iter().sum();
    let (lower, rest) = bytes.split_at(before);
    let mut lower_and_upper = [lower, &rest[sent.len()..]].into_iter();
    let mut received = lower_and_upper.next().expect("there are two");
    for numbers in others {
        if received.is_empty() {
            received = lower_and_upper.next().expect("there are two");
        }
        let (bytes, others) = received.split_at(T::BYTES * numbers.len());
        T::read(bytes, numbers);
        received = others;
    }
    Ok(())
}

/// Gives every rank the first one's numbers.
///
/// # Errors
/// Those of the peers, and [`crate::Error::OutOfMemory`].
pub fn broadcast<T: Number>(peers: &dyn Peers, numbers: &mut [T]) -> Result<()> {
    let is_first = peers.rank() == 0;
    let mut lens = vec![0; peers.ranks()];
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for numbers in numbers.chunks_mut(BUCKET) {
        lens[0] = T::BYTES * numbers.len();
        make_room(&mut received, lens[0])?;
        if is_first {
            make_room(&mut sent, lens[0])?;
            T::write(numbers, &mut sent);
        }
        peers.all_gather(&sent, &lens, &mut received)?;
        T::read(&received, numbers);
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

/// Adds up what ranks have of each thing, over the first `present` shards, in the order of the [`Tree`]:
/// on every rank the first of its sums becomes the sum over all, to the same bits.
///
/// Each rank adds a part of the numbers, which the others send it, and sends the sum to all. Where the
/// number of ranks is a power of two that divides the shards, that is as much traffic as
/// the usual rings take: `2 · (ranks − 1) / ranks` of the numbers.
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
    let mut room = Room::default();
    for start in (0..all).step_by(BUCKET) {
        let bucket = start..all.min(start + BUCKET);
        Bucket { peers, shards, tree, covers: &covers, bucket }.sum(things, &mut room)?;
    }
    Ok(())
}

/// Memory that buckets use one after the other.
#[derive(Default)]
struct Room<T> {
    sent: Vec<u8>,
    received: Vec<u8>,
    sums: Vec<Vec<T>>,
}

/// Numbers that are exchanged at once: a part of all things, one after the other.
struct Bucket<'a> {
    peers: &'a dyn Peers,
    shards: Shards,
    tree: Tree,
    /// Each rank's nodes.
    covers: &'a [Vec<Range<usize>>],
    bucket: Range<usize>,
}

impl Bucket<'_> {
    fn sum<T: Number>(&self, things: &mut [ShardSums<'_, T>], room: &mut Room<T>) -> Result<()> {
        let (rank, ranks) = (self.shards.rank(), self.shards.ranks());
        let nodes = self.covers[rank].len();
        let part_len = self.part(rank).len();
        let send: Vec<usize> =
            (0..ranks).map(|to| T::BYTES * nodes * self.part(to).len()).collect();
        let receive: Vec<usize> =
            self.covers.iter().map(|nodes| T::BYTES * nodes.len() * part_len).collect();

        make_room(&mut room.sent, send.iter().sum())?;
        let mut rest = &mut room.sent[..];
        for to in 0..ranks {
            for node in 0..nodes {
                for_each_piece(things, self.part(to), |thing, range| {
                    let numbers = match node {
                        0 => &thing.first[range],
                        _ => &thing.others[node - 1][range],
                    };
                    T::write(numbers, take(&mut rest, T::BYTES * numbers.len()));
                });
            }
        }
        make_room(&mut room.received, receive.iter().sum())?;
        self.peers.all_to_all(&room.sent, &send, &receive, &mut room.received)?;

        let sum = self.add_up(part_len, &room.received, &mut room.sums)?;
        make_room(&mut room.sent, T::BYTES * part_len)?;
        T::write(&sum, &mut room.sent);
        room.sums.push(sum);
        let lens: Vec<usize> = (0..ranks).map(|of| T::BYTES * self.part(of).len()).collect();
        make_room(&mut room.received, lens.iter().sum())?;
        self.peers.all_gather(&room.sent, &lens, &mut room.received)?;
        let mut rest = &room.received[..];
        for_each_piece(things, self.bucket.clone(), |thing, range| {
            let (bytes, others) = rest.split_at(T::BYTES * range.len());
            T::read(bytes, &mut thing.first[range]);
            rest = others;
        });
        Ok(())
    }

    /// The sum of what was received: of each rank its nodes, one after the other.
    fn add_up<T: Number>(
        &self,
        len: usize,
        received: &[u8],
        room: &mut Vec<Vec<T>>,
    ) -> Result<Vec<T>> {
        let mut sums: Vec<(Range<usize>, Option<Vec<T>>)> = Vec::new();
        let nodes = self.covers.iter().flatten();
        for (i, node) in nodes.enumerate() {
            let mut numbers = room.pop().unwrap_or_default();
            make_room(&mut numbers, len)?;
            T::read(&received[T::BYTES * len * i..T::BYTES * len * (i + 1)], &mut numbers);
            sums.push((node.clone(), Some(numbers)));
        }
        let known = |node: &Range<usize>| {
            let (_, numbers) = sums.iter_mut().find(|(of, _)| of == node)?;
            numbers.take()
        };
        let add = |mut left: Vec<T>, right: Vec<T>| {
            left.iter_mut().zip(&right).for_each(|(x, y)| *x += *y);
            room.push(right);
            left
        };
        Ok(self.tree.sum(known, add).unwrap_or_default())
    }

    /// The part of the bucket that a rank adds up.
    fn part(&self, rank: usize) -> Range<usize> {
        let (Range { start, .. }, len) = (&self.bucket, self.bucket.len());
        let at = |rank: usize| start + rank * len / self.shards.ranks();
        at(rank)..at(rank + 1)
    }
}

/// Calls `visit` with each thing that has some of the numbers in `range`, which counts through all
/// things one after the other, and which of its numbers those are.
fn for_each_piece<'a, T>(
    things: &mut [ShardSums<'a, T>],
    range: Range<usize>,
    mut visit: impl FnMut(&mut ShardSums<'a, T>, Range<usize>),
) {
    let mut first = 0;
    for thing in things {
        let len = thing.first.len();
        let part = range.start.max(first)..range.end.min(first + len);
        if !part.is_empty() {
            visit(thing, part.start - first..part.end - first);
        }
        first += len;
    }
}

fn take<'a>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    rest.split_off_mut(..len).expect("room was made for all")
}

fn make_room<T: Copy + Default>(memory: &mut Vec<T>, len: usize) -> Result<()> {
    match memory.capacity() < len {
        true => *memory = zeros(len)?,
        false => memory.resize(len, T::default()),
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
