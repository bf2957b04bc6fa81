//! What each of several ranks computes on: a GPU of its own, or the CPU.

use std::collections::HashSet;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use vgg_cpu::Isa;

use super::device::{Choice, choose};
use crate::config::{Device, DeviceKind};
use crate::failure::{Code, Failure};

/// What a rank could compute on, on its machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Equipment {
    /// The CPU, as far as results depend on it.
    cpu: String,
    /// GPUs, if it is to be one of them.
    gpus: Vec<Gpu>,
    /// The version of NCCL, if there is one.
    nccl: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Gpu {
    /// Its number, for this rank: another one may see other GPUs.
    ordinal: usize,
    /// What tells it from all others.
    uuid: String,
    /// It and its libraries, as far as results depend on them.
    kind: String,
}

impl Equipment {
    /// That of this machine, for a config: all GPUs if it leaves the choice, or else the one that it names
    /// and those after it.
    ///
    /// # Errors
    /// As [`choose`].
    pub(crate) fn of(device: &Device) -> Result<Self> {
        let cpu = format!("a CPU with {}", Isa::best());
        let (Choice::Cuda(first), _) = choose(device)? else {
            return Ok(Self { cpu, gpus: Vec::new(), nccl: None });
        };
        let first = if device.kind == DeviceKind::Auto { 0 } else { first };
        let libraries: Vec<String> = vgg_cuda::libraries()[1..]
            .iter()
            .map(|it| format!("{} {}", it.name, it.version.as_deref().unwrap_or_default()))
            .collect();
        let is_able = |gpu: &vgg_cuda::Device| {
            gpu.ordinal >= first && gpu.check(device.precision.into()).is_ok()
        };
        let gpu = |gpu: vgg_cuda::Device| Gpu {
            ordinal: gpu.ordinal,
            uuid: gpu.uuid,
            kind: format!("{} with {}", gpu.name, libraries.join(" and ")),
        };
        let gpus = vgg_cuda::devices()?.into_iter().filter(is_able).map(gpu).collect();
        Ok(Self { cpu, gpus, nccl: vgg_cuda::nccl().version.clone() })
    }
}

/// What each of several ranks computes on.
#[derive(Debug, PartialEq)]
pub(crate) enum Shared {
    /// Its part of the CPU.
    Cpu,
    /// A GPU of its own: its number for each rank, and how gradients get from one to the others, in words.
    Gpus { ordinals: Vec<usize>, way: String },
}

impl Shared {
    /// The number of each rank's GPU; nothing where they are on the CPU.
    pub(crate) fn gpus(&self) -> Option<&[usize]> {
        match self {
            Self::Cpu => None,
            Self::Gpus { ordinals, .. } => Some(ordinals),
        }
    }
}

/// What ranks with this equipment compute on. Of the GPUs that it sees, a rank takes the first one that no
/// rank before it has.
///
/// # Errors
/// A [`Failure`] with [`Code::Device`] if there are more ranks than GPUs, with [`Code::Usage`] if not all
/// would come to the same bits.
pub(crate) fn share(all: &[Equipment]) -> Result<Shared, Failure> {
    let mut taken = HashSet::new();
    let mut own = Vec::new();
    for (rank, Equipment { gpus, .. }) in all.iter().enumerate() {
        let free = gpus.iter().find(|gpu| taken.insert(&gpu.uuid));
        if free.is_none() && !gpus.is_empty() {
            let seen = all.iter().flat_map(|one| &one.gpus).map(|gpu| &gpu.uuid);
            let (ranks, gpus) = (all.len(), seen.collect::<HashSet<_>>().len());
            let message = match ranks > gpus {
                true => format!("{ranks} ranks need a GPU each, but there are {gpus}"),
                false => format!("rank {rank} sees no GPU that no rank before it has"),
            };
            let help = "take as many ranks as there are GPUs; --set device.kind=cpu has them share the CPU";
            return Err(Failure::new(Code::Device, message).help(help));
        }
        own.push(free);
    }
    let kind = |rank: usize| own[rank].map_or(&all[rank].cpu, |gpu: &Gpu| &gpu.kind);
    if let Some(rank) = (1..all.len()).find(|rank| kind(*rank) != kind(0)) {
        let message = format!("rank {rank} computes on {}, and rank 0 on {}", kind(rank), kind(0));
        let help = "results depend on it: all ranks need the same";
        return Err(Failure::new(Code::Usage, message).help(help));
    }
    let ordinals: Option<Vec<usize>> = own.iter().map(|gpu| gpu.map(|gpu| gpu.ordinal)).collect();
    Ok(ordinals.map_or(Shared::Cpu, |ordinals| Shared::Gpus { ordinals, way: way(all) }))
}

/// How gradients get from GPU to GPU.
fn way(all: &[Equipment]) -> String {
    let versions: Vec<_> = all.iter().map(|one| one.nccl.as_deref()).collect();
    match vgg_cuda::common_nccl(&versions) {
        Ok(version) => format!("gradients go from GPU to GPU, by NCCL {version}"),
        Err(why) => format!("{why}: gradients go through the host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rank that sees GPUs of these names, of which the first letter is the kind.
    fn seeing(gpus: &[&str]) -> Equipment {
        let gpu = |(ordinal, uuid): (usize, &&str)| Gpu {
            ordinal,
            uuid: (*uuid).into(),
            kind: uuid[..1].into(),
        };
        let gpus = gpus.iter().enumerate().map(gpu).collect();
        Equipment { cpu: "a CPU".into(), gpus, nccl: None }
    }

    fn gpus(all: &[Equipment]) -> Vec<usize> {
        share(all).unwrap().gpus().unwrap().to_vec()
    }

    fn told(all: &[Equipment]) -> String {
        share(all).unwrap_err().message
    }

    #[test]
    fn each_rank_has_a_gpu_of_its_own() {
        let both = seeing(&["a0", "a1"]);
        assert_eq!(gpus(&[both.clone(), both.clone()]), [0, 1]);
        // A launcher may have bound each to its own, or have started them on two machines.
        let bound = [seeing(&["a0"]), seeing(&["a1"])];
        assert_eq!(gpus(&bound), [0, 0]);
        let other = seeing(&["a2", "a3"]);
        assert_eq!(gpus(&[both.clone(), other.clone(), both.clone(), other]), [0, 0, 1, 1]);
        let none = seeing(&[]);
        assert_eq!(share(&[none.clone(), none]).unwrap(), Shared::Cpu);
    }

    #[test]
    fn how_gradients_travel_is_told() {
        let with = |nccl: Option<&str>| Equipment { nccl: nccl.map(Into::into), ..seeing(&["a0"]) };
        let (old, new, none) = (with(Some("2.18.3")), with(Some("2.21.5")), with(None));
        let told = |ranks: [&Equipment; 3]| way(&ranks.map(Clone::clone));
        assert_eq!(told([&new; 3]), "gradients go from GPU to GPU, by NCCL 2.21.5");
        let host = "gradients go through the host";
        assert_eq!(told([&none; 3]), format!("NCCL is not installed: {host}"));
        assert_eq!(told([&new, &new, &none]), format!("rank 2 has no NCCL: {host}"));
        assert_eq!(
            told([&new, &old, &new]),
            format!("ranks have several versions of NCCL: {host}")
        );
    }

    #[test]
    fn ranks_that_cannot_share_are_told_why() {
        let both = seeing(&["a0", "a1"]);
        assert_eq!(told(&vec![both.clone(); 3]), "3 ranks need a GPU each, but there are 2");
        let bound = [both.clone(), seeing(&["a0"])];
        assert_eq!(told(&bound), "rank 1 sees no GPU that no rank before it has");
        let mixed = [both.clone(), seeing(&["b0"])];
        assert_eq!(told(&mixed), "rank 1 computes on b, and rank 0 on a");
        assert_eq!(told(&[both, seeing(&[])]), "rank 1 computes on a CPU, and rank 0 on a");
    }
}
