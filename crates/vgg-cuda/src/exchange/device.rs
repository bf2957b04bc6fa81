//! What ranks exchange, from GPU to GPU.
//!
//! NCCL moves numbers and adds none: each rank is sent its part of the others' sums, adds them in the order
//! of the [`Tree`] by a kernel of ours, and sends the sum to all. All of it is work of a stream of its own,
//! beside what follows on the GPU's.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::CudaStream;
use vgg_tensor::ranks::{Shards, Tree};
use vgg_tensor::{Command, Content, Result, Shape, ShardSum};

use crate::Buffer;
use crate::error::During;
use crate::gpu::{self, Gpu, kernel};
use crate::memory::{Address, Scratch};
use crate::nccl::{Line, Transfer};
use crate::precision::Storage;

/// Numbers that are exchanged at once: 64 MiB.
const BUCKET: usize = 16 << 20;

/// Parts begin where kernels can load four numbers at once.
const ALIGN: usize = 4;

const NUMBER: usize = size_of::<f32>();

/// This rank's end of the line to the others.
pub(super) struct End {
    line: Arc<Line>,
    /// What is exchanged.
    stream: Arc<CudaStream>,
    /// What sums are made in.
    room: Scratch,
}

impl End {
    pub(super) fn new(gpu: &Gpu, line: Arc<Line>) -> Result<Self> {
        let stream = gpu.stream.context().new_stream().during("making a stream")?;
        Ok(Self { line, room: Scratch::new(&stream)?, stream })
    }

    /// Lets what is exchanged from here on wait for what the GPU was told before.
    pub(super) fn follow(&self, gpu: &Gpu) -> Result<()> {
        self.stream.join(&gpu.stream).during("exchanging")
    }

    /// Lets the GPU's work from here on wait for what is exchanged.
    pub(super) fn lead(&self, gpu: &Gpu) -> Result<()> {
        gpu.stream.join(&self.stream).during("exchanging")
    }

    /// See [`Command::GatherShards`].
    pub(super) fn gather_shards(
        &self,
        shards: Shards,
        present: usize,
        own: &[(Content, &Buffer)],
        others: Vec<(Content, &mut Buffer)>,
    ) -> Result<()> {
        let of_shard = (own.len() + others.len()) / present;
        let place = |content: &Content, buffer: &Buffer| (buffer.f32(content.len()), content.len());
        let mut own = own.iter().map(|(content, x)| place(content, x));
        let mut others = others.iter().map(|(content, y)| place(content, y));
        let mut transfers = Vec::new();
        for root in 0..shards.ranks() {
            let of_rank = shards.of(root).filter(|shard| *shard < present).count() * of_shard;
            for _ in 0..of_rank {
                let next = if root == shards.rank() { own.next() } else { others.next() };
                let (at, len) = next.expect("as many as shards have");
                transfers.push(Transfer::Broadcast { root, at, bytes: NUMBER * len });
            }
        }
        self.line.transfer(&self.stream, &transfers)
    }

    /// See [`Command::GatherRows`].
    pub(super) fn gather_rows(
        &self,
        storage: Storage,
        shards: Shards,
        batch: usize,
        maps: Vec<(Shape, &mut Buffer)>,
    ) -> Result<()> {
        let mut transfers = Vec::new();
        for (shape, y) in maps {
            let table = y.numbers(storage, shape.len());
            let row = storage.bytes() * shape.features();
            for root in 0..shards.ranks() {
                let rows = shards.rows_of_rank(root, batch, shape.n);
                let (at, bytes) = (table.add(row * rows.start), row * rows.len());
                transfers.push(Transfer::Broadcast { root, at, bytes });
            }
        }
        self.line.transfer(&self.stream, &transfers)
    }

    /// See [`Command::SumShards`].
    pub(super) fn sum_shards(
        &mut self,
        gpu: &Gpu,
        shards: Shards,
        present: usize,
        sums: &[ShardSum<&Buffer, &mut Buffer>],
    ) -> Result<()> {
        let lens: Vec<usize> = sums.iter().map(|sum| sum.content.len()).collect();
        let nodes = Nodes::new(shards, present);
        let buckets = buckets(&lens);
        let [room] = self.room.split(&self.stream, [nodes.room(&buckets)])?;
        for bucket in &buckets {
            let own = |node: usize, thing: usize| {
                let ShardSum { content, first, others } = &sums[thing];
                let buffer: &Buffer = if node == 0 { first } else { others[node - 1] };
                buffer.f32(content.len())
            };
            Exchange { gpu, end: self, nodes: &nodes, bucket, room }.sum(&own)?;
        }
        Ok(())
    }
}

/// Bytes that a command's exchange takes.
pub(crate) fn workspace(command: &Command) -> u64 {
    let Command::SumShards { shards, present, sums } = command else { return 0 };
    let lens: Vec<usize> = sums.iter().map(|sum| sum.content.len()).collect();
    Nodes::new(*shards, *present).room(&buckets(&lens)) as u64
}

/// Some numbers of a thing.
type Piece = (usize, Range<usize>);

/// All numbers, cut into pieces, of which some are exchanged at once.
fn buckets(lens: &[usize]) -> Vec<Vec<Piece>> {
    let (mut buckets, mut room) = (Vec::new(), 0);
    for (thing, len) in lens.iter().enumerate() {
        let mut start = 0;
        while start < *len {
            if room == 0 {
                buckets.push(Vec::new());
                room = BUCKET;
            }
            let end = (*len).min(start + room);
            buckets.last_mut().expect("there is room in it").push((thing, start..end));
            room -= (end - start).next_multiple_of(ALIGN).min(room);
            start = end;
        }
    }
    buckets
}

/// The sums that ranks have.
struct Nodes {
    shards: Shards,
    tree: Tree,
    /// Those of each rank.
    covers: Vec<Vec<Range<usize>>>,
}

impl Nodes {
    fn new(shards: Shards, present: usize) -> Self {
        let tree = Tree::new(shards.count(), present);
        let covers = (0..shards.ranks()).map(|rank| tree.cover(shards.of(rank))).collect();
        Self { shards, tree, covers }
    }

    /// The part of a piece that a rank adds up.
    fn part(&self, rank: usize, (_, range): &Piece) -> Range<usize> {
        let part = range.len().div_ceil(self.shards.ranks()).next_multiple_of(ALIGN);
        let at = |rank: usize| range.end.min(range.start + rank * part);
        at(rank)..at(rank + 1)
    }

    /// Numbers of this rank's part of a bucket.
    fn slot(&self, bucket: &[Piece]) -> usize {
        let len = |piece| self.part(self.shards.rank(), piece).len().next_multiple_of(ALIGN);
        bucket.iter().map(len).sum()
    }

    /// All sums, each with the rank that has it and which one of its own it is. Room is needed for this
    /// rank's part of each but the rank's own first one, in which the sum is to be.
    fn in_room(&self) -> impl Iterator<Item = (usize, usize, &Range<usize>)> {
        let of = |(rank, nodes): (usize, &'_ Vec<Range<usize>>)| (rank, nodes.len());
        let all = self.covers.iter().enumerate().map(of);
        let all = all.flat_map(|(rank, nodes)| (0..nodes).map(move |node| (rank, node)));
        let all = all.filter(|at| *at != (self.shards.rank(), 0));
        all.map(|(rank, node)| (rank, node, &self.covers[rank][node]))
    }

    /// Bytes of room for any of the buckets.
    fn room(&self, buckets: &[Vec<Piece>]) -> usize {
        let most = buckets.iter().map(|bucket| self.slot(bucket)).max().unwrap_or(0);
        NUMBER * most * self.in_room().count()
    }
}

/// The exchange of a bucket.
struct Exchange<'a> {
    gpu: &'a Gpu,
    end: &'a End,
    nodes: &'a Nodes,
    bucket: &'a [Piece],
    room: Address,
}

impl Exchange<'_> {
    /// Adds up what ranks have, where `own` says where this rank's sums are: of which node, of which thing.
    fn sum(&self, own: &dyn Fn(usize, usize) -> Address) -> Result<()> {
        self.scatter(own)?;
        self.add_up(own)?;
        self.gather(own)
    }

    /// Sends each rank its part of this rank's sums, and receives this one's part of theirs.
    fn scatter(&self, own: &dyn Fn(usize, usize) -> Address) -> Result<()> {
        let Nodes { shards, covers, .. } = self.nodes;
        let mut transfers = Vec::new();
        for to in (0..shards.ranks()).filter(|to| *to != shards.rank()) {
            for node in 0..covers[shards.rank()].len() {
                for piece in self.bucket {
                    let part = self.nodes.part(to, piece);
                    let from = own(node, piece.0).add(NUMBER * part.start);
                    transfers.push(Transfer::Send { to, from, bytes: NUMBER * part.len() });
                }
            }
        }
        for (slot, (from, node, _)) in self.nodes.in_room().enumerate() {
            for (i, piece) in self.bucket.iter().enumerate() {
                let part = self.nodes.part(shards.rank(), piece);
                let at = self.place(slot, i);
                if from == shards.rank() {
                    let x = own(node, piece.0).add(NUMBER * part.start);
                    self.copy(x, at, part.len())?;
                } else {
                    transfers.push(Transfer::Receive { from, at, bytes: NUMBER * part.len() });
                }
            }
        }
        self.end.line.transfer(&self.end.stream, &transfers)
    }

    /// Where this rank's part of a piece is, in a slot of the room.
    fn place(&self, slot: usize, piece: usize) -> Address {
        let numbers = slot * self.nodes.slot(self.bucket) + self.nodes.slot(&self.bucket[..piece]);
        self.room.add(NUMBER * numbers)
    }

    /// Adds up this rank's part, in the order of the tree.
    fn add_up(&self, own: &dyn Fn(usize, usize) -> Address) -> Result<()> {
        let Nodes { shards, tree, covers } = self.nodes;
        for (i, piece) in self.bucket.iter().enumerate() {
            let part = self.nodes.part(shards.rank(), piece);
            if part.is_empty() {
                continue;
            }
            let first = own(0, piece.0).add(NUMBER * part.start);
            let known = |node: &Range<usize>| {
                if covers[shards.rank()].first() == Some(node) {
                    return Some(first);
                }
                let slot = self.nodes.in_room().position(|(.., of)| of == node)?;
                Some(self.place(slot, i))
            };
            let mut done = Ok(());
            let add = |left, right| {
                if done.is_ok() {
                    done = self.add(right, left, part.len());
                }
                left
            };
            let sum = tree.sum(known, add);
            done?;
            match sum {
                Some(sum) if sum != first => self.copy(sum, first, part.len())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Orders numbers to be copied from or to the room.
    fn copy(&self, x: Address, y: Address, len: usize) -> Result<()> {
        // SAFETY: both are of parts that have so many numbers, and one of them is in the room.
        unsafe { gpu::copy(&self.end.stream, x, y, NUMBER * len) }
    }

    /// Orders `y += x`.
    fn add(&self, x: Address, y: Address, len: usize) -> Result<()> {
        let (copy, alpha, beta) = (Address::NULL, 1.0, 1.0);
        let kernel = kernel::Blend { x, y, copy, len: len as u64, alpha, beta };
        let grid = self.gpu.grid(len.div_ceil(ALIGN) as u64);
        // SAFETY: both are of parts that have so many numbers, of which at least one is in the room.
        unsafe { self.gpu.launch_on(&self.end.stream, Storage::F32, kernel, grid) }
    }

    /// Sends this rank's part of the sum to all others, and receives theirs.
    fn gather(&self, own: &dyn Fn(usize, usize) -> Address) -> Result<()> {
        let ranks = 0..self.nodes.shards.ranks();
        let of_rank = |root| {
            self.bucket.iter().map(move |piece| {
                let part = self.nodes.part(root, piece);
                let at = own(0, piece.0).add(NUMBER * part.start);
                Transfer::Broadcast { root, at, bytes: NUMBER * part.len() }
            })
        };
        let transfers: Vec<Transfer> = ranks.flat_map(of_rank).collect();
        self.end.line.transfer(&self.end.stream, &transfers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_ranks_to_add() {
        let lens = [3, BUCKET + 5, 0, 1, 70];
        for ranks in 1..6 {
            let mut next = vec![0; lens.len()];
            for bucket in buckets(&lens) {
                assert!(bucket.iter().map(|(_, range)| range.len()).sum::<usize>() <= BUCKET);
                for piece in &bucket {
                    for rank in 0..ranks {
                        let nodes = Nodes::new(Shards::new(8, rank, ranks).unwrap(), 8);
                        let part = nodes.part(rank, piece);
                        assert_eq!(part.start, next[piece.0], "parts follow each other");
                        assert!(part.is_empty() || part.start.is_multiple_of(ALIGN));
                        next[piece.0] = part.end;
                    }
                }
            }
            assert_eq!(next, lens);
        }
    }
}
