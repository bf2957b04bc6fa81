//! What the system tells of this machine: its name, its processor, the room on its disks.

use std::path::Path;

/// The machine's name; empty where it has none.
pub(crate) fn name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(windows)]
    let name = sysinfo::System::host_name().unwrap_or_default();
    #[cfg(not(any(unix, windows)))]
    let name = String::new();
    name
}

/// What tells this machine from all others, whatever it is called.
pub(crate) fn identity() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    boot.map_or_else(|_| name(), |id| id.trim().to_owned())
}

/// The cores that this process may use, in the system's words; empty where it does not tell.
pub(crate) fn cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap_or_default().trim().to_owned()
}

/// The processor's name, where the system tells.
pub(crate) fn processor() -> Option<String> {
    #[cfg(any(windows, target_vendor = "apple"))]
    {
        use sysinfo::{CpuRefreshKind, RefreshKind, System};
        let processors = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
        let system = System::new_with_specifics(processors);
        system.cpus().first().map(|cpu| cpu.brand().trim().to_owned())
    }
    #[cfg(not(any(windows, target_vendor = "apple")))]
    {
        let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(": ").map(|(_, name)| name.to_owned())
    }
}

/// Bytes that are free on the disk of a folder, which must be there, where the system tells.
pub(crate) fn space(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let volume = rustix::fs::statvfs(folder).ok()?;
        Some(volume.f_bavail * volume.f_frsize)
    }
    #[cfg(windows)]
    {
        // A disk may be mounted in a folder of another: the innermost counts.
        let folder = std::path::absolute(folder).ok()?;
        let disks = sysinfo::Disks::new_with_refreshed_list();
        let holds = |disk: &&sysinfo::Disk| folder.starts_with(disk.mount_point());
        let disk = disks.iter().filter(holds);
        let disk = disk.max_by_key(|disk| disk.mount_point().components().count())?;
        Some(disk.available_space())
    }
    #[cfg(not(any(unix, windows)))]
    {
        let _ = folder;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_room_and_a_missing_folder_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(space(folder.path()).is_some());
        if cfg!(unix) {
            assert_eq!(space(&folder.path().join("missing")), None);
        }
    }
}
