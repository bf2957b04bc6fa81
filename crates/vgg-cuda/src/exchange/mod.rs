//! What ranks exchange: from GPU to GPU by NCCL where all ranks have it and a GPU of their own, or by way of
//! the host.
//!
//! From GPU to GPU it goes on beside the work that follows, on a stream of its own. By way of the host it is
//! done when the call returns.
//!
//! Gradients are `f32` whatever the precision. Where weights have a copy for products, their gradients
//! have room for one, which nobody reads.

mod device;
mod host;

use std::sync::Arc;

use vgg_tensor::ranks::Peers;
use vgg_tensor::{Bound, Command, Result};

use self::device::End;
pub(crate) use self::device::workspace;
use crate::gpu::Gpu;
use crate::nccl::Line;
use crate::{Buffer, Cuda};

/// The other ranks.
pub(crate) struct Ranks {
    peers: Arc<dyn Peers>,
    /// The first exchange, in which all ranks take part, finds it.
    way: Option<Way>,
}

/// How numbers get to them.
enum Way {
    Host,
    Line(End),
}

impl Ranks {
    pub(crate) fn new(peers: Arc<dyn Peers>) -> Self {
        Self { peers, way: None }
    }

    /// How numbers get to the others, of whom the GPU's work waits from then on.
    fn way(&mut self, gpu: &mut Gpu) -> Result<&mut Way> {
        if self.way.is_none() {
            let way = match Line::join(gpu.stream.context(), &self.peers)? {
                None => Way::Host,
                Some(line) => {
                    let line = Arc::new(line);
                    gpu.line = Some(line.clone());
                    Way::Line(End::new(gpu, line)?)
                }
            };
            self.way = Some(way);
        }
        Ok(self.way.as_mut().expect("it has just been found"))
    }
}

/// Begins an exchange. What touches its memory has to [wait](finish).
///
/// # Panics
/// If there are no other ranks, or if it is no exchange.
pub(crate) fn begin(cuda: &mut Cuda, command: Bound<'_, Buffer>) -> Result<()> {
    const PEERS: &str = "a program of several ranks runs where there are peers";
    let Cuda { ranks, gpu, storage, .. } = cuda;
    let ranks = ranks.as_mut().expect(PEERS);
    let peers = ranks.peers.clone();
    match ranks.way(gpu)? {
        Way::Host => match command {
            Command::GatherShards { shards, present, own, others } => {
                host::gather_shards(gpu, &*peers, shards, present, &own, others)
            }
            Command::GatherRows { shards, batch, maps } => {
                host::gather_rows(gpu, *storage, &*peers, shards, batch, maps)
            }
            Command::SumShards { shards, present, sums } => {
                host::sum_shards(gpu, &*peers, shards, present, sums)
            }
            _ => unreachable!("what is begun here waits for other ranks"),
        },
        Way::Line(end) => {
            end.follow(gpu)?;
            match command {
                Command::GatherShards { shards, present, own, others } => {
                    end.gather_shards(shards, present, &own, others)
                }
                Command::GatherRows { shards, batch, maps } => {
                    end.gather_rows(*storage, shards, batch, maps)
                }
                Command::SumShards { shards, present, sums } => {
                    end.sum_shards(gpu, shards, present, &sums)
                }
                _ => unreachable!("what is begun here waits for other ranks"),
            }
        }
    }
}

/// Lets the work that follows wait for all exchanges that were begun.
pub(crate) fn finish(cuda: &Cuda) -> Result<()> {
    match &cuda.ranks {
        Some(Ranks { way: Some(Way::Line(end)), .. }) => end.lead(&cuda.gpu),
        _ => Ok(()),
    }
}
