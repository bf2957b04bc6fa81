//! Where it is computed: the one place that knows more than one backend.

use anyhow::Result;
use vgg_cpu::Cpu;
use vgg_tensor::{Backend, Error};

use crate::config::{Device, DeviceKind};

/// Work that any backend can do.
pub(crate) trait Job {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<B: Backend>(self, backend: B) -> Result<Self::Output>;
}

/// Does `job` on the device that the config asks for.
///
/// # Errors
/// [`Error::Unavailable`] if it is not there: nothing falls back in silence.
pub(crate) fn run<J: Job>(device: &Device, job: J) -> Result<J::Output> {
    match device.kind {
        DeviceKind::Auto | DeviceKind::Cpu => {
            let threads = (device.threads > 0).then_some(device.threads);
            job.run(Cpu::new(vgg_cpu::Config { threads, isa: None })?)
        }
        DeviceKind::Cuda => Err(Error::Unavailable {
            what: "cuda".into(),
            hint: "this build has no CUDA backend yet; use --device cpu".into(),
        }
        .into()),
    }
}
