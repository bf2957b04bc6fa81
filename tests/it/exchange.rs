//! Every backend as several ranks, which exchange what they have.

use vgg_comm::local;
use vgg_cpu::{Config, Cpu, Isa, Precision as CpuPrecision};
use vgg_cuda::Precision;
use vgg_testkit::Reference;
use vgg_testkit::conformance::check_exchange;

use crate::simulated::{GPUS, has_gpu, make};

#[test]
fn references_exchange() {
    check_exchange(local, |peers| Reference::<f32>::new().with_peers(peers));
}

#[test]
fn cpus_exchange() {
    for isa in Isa::available() {
        for (threads, precision) in [(1, CpuPrecision::F32), (3, CpuPrecision::Bf16)] {
            let config = Config { threads: Some(threads), isa: Some(isa), precision };
            check_exchange(local, |peers| Cpu::new(config).unwrap().with_peers(peers));
        }
    }
}

/// Each rank on a GPU of its own, where there are several: by NCCL. The simulated one tells of calls that do
/// not fit.
#[test]
fn gpus_exchange() {
    on_gpus(concat!(module_path!(), "::gpus_exchange"), |rank, gpus| rank % gpus);
}

/// As ranks do that share a GPU.
#[test]
fn gpus_exchange_by_way_of_the_host() {
    on_gpus(concat!(module_path!(), "::gpus_exchange_by_way_of_the_host"), |_, _| 0);
}

/// Exchanges where each rank has a GPU, of so many.
fn on_gpus(test: &str, device: impl Fn(usize, usize) -> usize + Sync) {
    if !has_gpu(test, &GPUS) {
        return;
    }
    let gpus = vgg_cuda::devices().expect("there are GPUs").len();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let config = |rank| vgg_cuda::Config {
            device: device(rank, gpus),
            precision,
            deterministic: true,
            unscaled: true,
            ..vgg_cuda::Config::default()
        };
        check_exchange(local, |peers| make(config(peers.rank())).with_peers(peers));
    }
}
