//! What ranks exchange: from GPU to GPU by NCCL where all ranks have it and a GPU of their own, or by way of
//! the host.
//!
//! Gradients are `f32` whatever the precision. Where weights have a copy for products, their gradients
//! have room for one, which nobody reads.

mod device;
mod host;

use std::sync::Arc;

use vgg_tensor::ranks::{Peers, Shards};
use vgg_tensor::{Content, Result, Shape, ShardSum};

pub(crate) use device::workspace;

use crate::nccl::Line;
use crate::{Buffer, Cuda};

/// The other ranks.
pub(crate) struct Ranks {
    peers: Arc<dyn Peers>,
    /// The first exchange, in which all ranks take part, finds it.
    way: Option<Way>,
}

/// How numbers get to them.
#[derive(Clone)]
enum Way {
    Host(Arc<dyn Peers>),
    Line(Arc<Line>),
}

impl Ranks {
    pub(crate) fn new(peers: Arc<dyn Peers>) -> Self {
        Self { peers, way: None }
    }
}

impl Cuda {
    /// How numbers get to the other ranks.
    ///
    /// # Panics
    /// If there are none.
    fn way_to_others(&mut self) -> Result<Way> {
        const PEERS: &str = "a program of several ranks runs where there are peers";
        let Ranks { peers, way } = self.ranks.as_mut().expect(PEERS);
        if let Some(way) = way {
            return Ok(way.clone());
        }
        let found = match Line::join(self.gpu.stream.context(), peers)? {
            None => Way::Host(peers.clone()),
            Some(line) => {
                let line = Arc::new(line);
                self.gpu.line = Some(line.clone());
                Way::Line(line)
            }
        };
        Ok(way.insert(found).clone())
    }
}

/// See [`vgg_tensor::Command::GatherShards`].
pub(crate) fn gather_shards(
    cuda: &mut Cuda,
    shards: Shards,
    present: usize,
    own: &[(Content, &Buffer)],
    others: Vec<(Content, &mut Buffer)>,
) -> Result<()> {
    match cuda.way_to_others()? {
        Way::Line(line) => device::gather_shards(cuda, &line, shards, present, own, others),
        Way::Host(peers) => host::gather_shards(&cuda.gpu, &*peers, shards, present, own, others),
    }
}

/// See [`vgg_tensor::Command::GatherRows`].
pub(crate) fn gather_rows(
    cuda: &mut Cuda,
    shards: Shards,
    batch: usize,
    maps: Vec<(Shape, &mut Buffer)>,
) -> Result<()> {
    match cuda.way_to_others()? {
        Way::Line(line) => device::gather_rows(cuda, &line, shards, batch, maps),
        Way::Host(peers) => host::gather_rows(cuda, &*peers, shards, batch, maps),
    }
}

/// See [`vgg_tensor::Command::SumShards`].
pub(crate) fn sum_shards(
    cuda: &mut Cuda,
    shards: Shards,
    present: usize,
    sums: Vec<ShardSum<&Buffer, &mut Buffer>>,
) -> Result<()> {
    match cuda.way_to_others()? {
        Way::Line(line) => device::sum_shards(cuda, &line, shards, present, &sums),
        Way::Host(peers) => host::sum_shards(&cuda.gpu, &*peers, shards, present, sums),
    }
}
