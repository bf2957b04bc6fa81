//! What ranks exchange, by definition: everybody sends all that it has to everybody.

use std::ops::Range;

use vgg_tensor::ranks::{Peers, Shards, Tree};
use vgg_tensor::{Content, Result, Shape, ShardSum};

use super::Buffer;
use crate::Real;

/// Shards that have images.
fn clipped(shards: Range<usize>, present: usize) -> Range<usize> {
    shards.start.min(present)..shards.end.min(present)
}

/// What each rank has, `lens` numbers, one after the other.
fn all_gather<T: Real>(peers: &dyn Peers, mine: &[T], lens: &[usize]) -> Result<Vec<T>> {
    let mut sent = vec![0; T::BYTES * mine.len()];
    T::write(mine, &mut sent);
    let lens: Vec<usize> = lens.iter().map(|len| T::BYTES * len).collect();
    let mut received = vec![0; lens.iter().sum()];
    peers.all_gather(&sent, &lens, &mut received)?;
    let mut all = vec![T::default(); received.len() / T::BYTES];
    T::read(&received, &mut all);
    Ok(all)
}

pub(super) fn gather<T: Real>(
    peers: &dyn Peers,
    shards: Shards,
    present: usize,
    own: &[(Content, &Buffer<T>)],
    others: Vec<(Content, &mut Buffer<T>)>,
) -> Result<()> {
    let count = own.iter().map(|of| of.0).chain(others.iter().map(|of| of.0));
    let of_shard = count.map(|content| content.len()).sum::<usize>() / present;
    let mine = own.iter().flat_map(|(content, x)| x.numbers(content.len())).copied();
    let len = |rank| clipped(shards.of(rank), present).len() * of_shard;
    let lens: Vec<usize> = (0..shards.ranks()).map(len).collect();
    let mut all = all_gather(peers, &mine.collect::<Vec<_>>(), &lens)?;
    let own = clipped(shards.own(), present);
    all.drain(own.start * of_shard..own.end * of_shard);
    let mut all = all.into_iter();
    for (content, y) in others {
        y.numbers_mut(content.len()).fill_with(|| all.next().expect("of each shard as many"));
    }
    Ok(())
}

pub(super) fn gather_rows<T: Real>(
    peers: &dyn Peers,
    shards: Shards,
    batch: usize,
    shape: Shape,
    y: &mut Buffer<T>,
) -> Result<()> {
    let rows = (0..shards.ranks()).map(|rank| shards.rows_of_rank(rank, batch, shape.n));
    let numbers = rows.map(|rows| shape.features() * rows.start..shape.features() * rows.end);
    let numbers: Vec<Range<usize>> = numbers.collect();
    let lens: Vec<usize> = numbers.iter().map(|numbers| numbers.len()).collect();
    let y = y.numbers_mut(shape.len());
    let all = all_gather(peers, &y[numbers[shards.rank()].clone()], &lens)?;
    y.copy_from_slice(&all);
    Ok(())
}

pub(super) fn sum<T: Real>(
    peers: &dyn Peers,
    shards: Shards,
    present: usize,
    ShardSum { content, first, others }: ShardSum<&Buffer<T>, &mut Buffer<T>>,
) -> Result<()> {
    let (tree, len) = (Tree::new(shards.count(), present), content.len());
    let covers = (0..shards.ranks()).map(|rank| tree.cover(shards.of(rank)));
    let covers: Vec<Vec<Range<usize>>> = covers.collect();
    let mine = match covers[shards.rank()].is_empty() {
        true => Vec::new(),
        false => {
            let others = others.iter().flat_map(|other| other.numbers(len));
            first.numbers(len).iter().chain(others).copied().collect()
        }
    };
    let lens: Vec<usize> = covers.iter().map(|nodes| len * nodes.len()).collect();
    let all = all_gather(peers, &mine, &lens)?;
    let nodes: Vec<_> = covers.into_iter().flatten().zip(all.chunks(len)).collect();
    for (i, y) in first.numbers_mut(len).iter_mut().enumerate() {
        let known = |of: &Range<usize>| {
            let (_, sum) = nodes.iter().find(|(node, _)| node == of)?;
            Some(sum[i])
        };
        *y = tree.sum(known, |left, right| left + right).expect("a batch has a shard");
    }
    Ok(())
}
