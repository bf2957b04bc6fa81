//! What ranks exchange. Sums are of numbers as they lie here, padding and all, so ranks have to lay them
//! out alike.

use vgg_tensor::ranks::{Peers, ShardSums, Shards, gather, sum};
use vgg_tensor::{Content, Result, ShardSum};

use crate::Cpu;
use crate::buffer::Buffer;

/// See [`vgg_tensor::Command::GatherShards`].
pub(crate) fn gather_shards(
    cpu: &Cpu,
    shards: Shards,
    present: usize,
    own: &[(Content, &Buffer)],
    others: &mut [(Content, &mut Buffer)],
) -> Result<()> {
    let own: Vec<_> = own.iter().map(|(content, x)| x.f32(content.len())).collect();
    let others = others.iter_mut().map(|(content, y)| y.f32_mut(content.len()));
    gather(peers(cpu), shards, present, &own, &mut others.collect::<Vec<_>>())
}

/// See [`vgg_tensor::Command::SumShards`].
pub(crate) fn sum_shards(
    cpu: &Cpu,
    shards: Shards,
    present: usize,
    sums: Vec<ShardSum<&Buffer, &mut Buffer>>,
) -> Result<()> {
    let numbers = sums.into_iter().map(|ShardSum { content, first, others }| {
        let len = cpu.len(content);
        let others = others.into_iter().map(|x| x.f32(len)).collect();
        ShardSums { first: first.f32_mut(len), others }
    });
    sum(peers(cpu), shards, present, &mut numbers.collect::<Vec<_>>())
}

fn peers(cpu: &Cpu) -> &dyn Peers {
    cpu.peers.as_deref().expect("a program of several ranks runs where there are peers")
}
