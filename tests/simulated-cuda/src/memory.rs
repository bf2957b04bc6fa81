//! Device memory, and what goes wrong on a device.

use std::collections::HashMap;

use cudarc::driver::sys::CUresult;
use vgg_ptx::DeviceMemory;

/// Device memory and what went wrong with it.
pub(crate) struct Memory {
    pub(crate) device: DeviceMemory,
    /// Bytes of each allocation, and the device that it is on.
    pub(crate) allocations: HashMap<u64, (usize, usize)>,
    /// After a fault on the device nothing works any more.
    pub(crate) fault: Option<CUresult>,
}

impl Memory {
    /// Bytes of a device that are allocated.
    pub(crate) fn used(&self, device: usize) -> usize {
        let here = self.allocations.values().filter(|(_, on)| *on == device);
        here.map(|(bytes, _)| bytes).sum()
    }

    /// Notes and tells that memory was accessed wrongly.
    pub(crate) fn fail(&mut self, what: &str) {
        self.fail_with(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, what);
    }

    /// Notes and tells what went wrong on the device.
    pub(crate) fn fail_with(&mut self, error: CUresult, what: &str) {
        tell(what);
        self.fault.get_or_insert(error);
    }
}

/// Tells what a status cannot: there is no other way to whoever reads a test's output.
#[expect(clippy::print_stderr, reason = "a library with the interface of CUDA has no other output")]
pub(crate) fn tell(what: &str) {
    eprintln!("simulated GPU: {what}");
}
