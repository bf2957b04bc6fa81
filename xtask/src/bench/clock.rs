//! Timing a command on a backend that may return before its work is done.

use std::time::{Duration, Instant};

use vgg_tensor::{Content, Result, Scalars};

use super::device::Measurable;

/// What is downloaded to wait for the device.
const PROBE: Content = Content::Vector(1);

/// A clock for a backend's work.
pub(super) struct Clock<B: Measurable> {
    probe: B::Buffer,
}

impl<B: Measurable> Clock<B> {
    pub(super) fn new(backend: &mut B) -> Result<Self> {
        Ok(Self { probe: backend.alloc(PROBE)? })
    }

    /// How long what was compiled takes on a device that has nothing else to do.
    pub(super) fn time(
        &self,
        backend: &mut B,
        executable: &mut B::Executable,
        scalars: Scalars,
    ) -> Result<Duration> {
        backend.download(PROBE, &self.probe, &mut [0.0])?;
        let start = Instant::now();
        for _ in 0..B::AHEAD {
            backend.run(executable, scalars)?;
        }
        backend.download(PROBE, &self.probe, &mut [0.0])?;
        Ok(start.elapsed() / B::AHEAD)
    }
}
