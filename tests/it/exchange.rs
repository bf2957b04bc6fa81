//! Every backend as several ranks, which exchange what they have.

use std::sync::{Arc, RwLock};

use vgg_comm::local;
use vgg_cpu::{Config, Cpu, Isa, Precision as CpuPrecision};
use vgg_cuda::Precision;
use vgg_tensor::ranks::Shards;
use vgg_tensor::{
    Backend, BufferId, BufferSpec, Command, Content, In, Instruction, Out, Pass, Program, Result,
    Role,
};
use vgg_testkit::Reference;
use vgg_testkit::conformance::check_exchange;

use crate::simulated::{make, on_cuda};

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

on_cuda! {
    /// It would not be the same for any number of ranks.
    fn a_loss_scale_is_one_ranks() {
        let config = vgg_cuda::Config { precision: Precision::F16, ..vgg_cuda::Config::default() };
        let mut cuda = make(config).with_peers(local(2).swap_remove(0));
        let (shards, content) = (Shards::new(2, 0, 2)?, Content::Vector(3));
        let own = vec![(content, In(BufferId(0)))];
        let others = vec![(content, Out(BufferId(1)))];
        let command = Command::GatherShards { shards, present: 2, own, others };
        let buffers = [Role::Input, Role::Output].map(|role| BufferSpec { content, role });
        let instruction = Instruction { pass: Pass::Update, layer: String::new(), command };
        let program = Program::new(buffers.to_vec(), vec![instruction])?;
        let buffer = |_| Ok(Arc::new(RwLock::new(cuda.alloc(content)?)));
        let buffers = (0..2).map(buffer).collect::<Result<Vec<_>>>()?;
        let error = cuda.compile(&program, buffers).err().map(|error| error.to_string());
        let expected = "f16 on several ranks is not available: take bf16, which needs no loss scale";
        assert_eq!(error.as_deref(), Some(expected));
    }
}

on_cuda! {
    fn gpus_exchange() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let config = vgg_cuda::Config {
                precision,
                deterministic: true,
                unscaled: true,
                ..vgg_cuda::Config::default()
            };
            check_exchange(local, |peers| make(config.clone()).with_peers(peers));
        }
    }
}
