//! How much memory is free: on the machine, or below a limit that is set for the process.

#[cfg(any(test, not(any(windows, target_vendor = "apple"))))]
mod linux;

/// Bytes that can be allocated without pushing out anything but caches, where the system tells.
pub(crate) fn bytes() -> Option<u64> {
    #[cfg(any(windows, target_vendor = "apple"))]
    {
        use sysinfo::{MemoryRefreshKind, System};
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        Some(system.available_memory() + system.free_swap())
    }
    // Elsewhere there are no such files, and so no answer.
    #[cfg(not(any(windows, target_vendor = "apple")))]
    linux::below(std::path::Path::new("/"))
}
