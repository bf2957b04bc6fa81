//! What Linux tells in its files: of the machine, of control groups, and of the process's own limits.

use std::fs;
use std::path::Path;

/// Bytes that are free, where the system's files are in the folder `root`.
pub(super) fn below(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let in_groups = groups.lines().filter_map(|line| in_group(root, line)).min();
    parse_meminfo(&machine).into_iter().chain(in_groups).chain(to_own_limits(root)).min()
}

/// Bytes to the limits of the process itself: `ulimit -v` and `ulimit -d`, which batch systems set.
fn to_own_limits(root: &Path) -> Option<u64> {
    let limits = fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    // Each line has the soft limit first, which is a number of bytes or the word `unlimited`.
    let limit = |name: &str| -> Option<u64> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let left = |name, used| Some(limit(name)?.saturating_sub(kib(&status, used)? << 10));
    [left("Max address space", "VmSize"), left("Max data size", "VmData")]
        .into_iter()
        .flatten()
        .min()
}

/// Of the whole machine, swap included.
fn parse_meminfo(text: &str) -> Option<u64> {
    Some((kib(text, "MemAvailable")? + kib(text, "SwapFree").unwrap_or(0)) << 10)
}

/// The number of a line `NAME: NUMBER kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The files of a control group, as containers and service managers set them up.
struct Controller {
    folder: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// Lines of `memory.stat` that make up the file cache, children included.
    cache: [&'static str; 2],
}

const V1: Controller = Controller {
    folder: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_active_file", "total_inactive_file"],
};

const V2: Controller = Controller {
    folder: "sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    cache: ["active_file", "inactive_file"],
};

/// What is left in the group that a line of `/proc/self/cgroup` tells of, which reads
/// `ID:CONTROLLERS:PATH`; `None` if it limits no memory.
fn in_group(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let controller = match fields.next()? {
        "" => V2,
        names if names.split(',').any(|name| name == "memory") => V1,
        _ => return None,
    };
    // A group is in all those above it. In a container, the path may be the one outside of it; then
    // only its end, the container's own group, is there.
    let groups = Path::new(fields.next()?).ancestors();
    let folder = root.join(controller.folder);
    groups.filter_map(|group| controller.left(&folder.join(group.strip_prefix("/").ok()?))).min()
}

impl Controller {
    /// Bytes to the limit of the group in `folder`.
    fn left(&self, folder: &Path) -> Option<u64> {
        let read = |name| fs::read_to_string(folder.join(name)).ok();
        let number = |name| read(name)?.trim().parse::<u64>().ok();
        // Without a limit it is the word `max`, or more than any machine has.
        let (limit, usage) = (number(self.limit)?, number(self.usage)?);
        let stat = read("memory.stat").unwrap_or_default();
        let cache = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| self.cache.contains(name))
            .filter_map(|(_, bytes)| bytes.parse::<u64>().ok());
        Some(limit.saturating_sub(usage.saturating_sub(cache.sum())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read() {
        let text = "MemTotal:       100 kB\nMemAvailable:    50 kB\nSwapFree:  7 kB\n";
        assert_eq!(parse_meminfo(text), Some(57 << 10));
        assert_eq!(parse_meminfo("MemTotal: 1 kB\n"), None);
    }

    /// Free memory by these files, each with its contents, on a machine that has 1024 bytes.
    fn free(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in [("proc/meminfo", "MemAvailable: 1 kB")].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        below(root.path())
    }

    #[test]
    fn the_machine_without_limits() {
        assert_eq!(free(&[]), Some(1024));
        let own = ("proc/self/cgroup", "0::/a\n");
        assert_eq!(free(&[own]), Some(1024));
        let unlimited =
            [("sys/fs/cgroup/a/memory.max", "max\n"), ("sys/fs/cgroup/a/memory.current", "9\n")];
        assert_eq!(free(&[own, unlimited[0], unlimited[1]]), Some(1024));
        assert_eq!(below(Path::new("nowhere")), None);
    }

    #[test]
    fn limits_of_the_process() {
        let status = ("proc/self/status", "Name:\tx\nVmSize:\t       1 kB\nVmData:\t  2 kB\n");
        let limits = |space: &str, data: &str| {
            let text = format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max data size             {data}            unlimited            bytes     \n\
                 Max address space         {space}            9999            bytes     \n"
            );
            free(&[status, ("proc/self/limits", &text)])
        };
        assert_eq!(limits("unlimited", "unlimited"), Some(1024));
        assert_eq!(limits("1524", "unlimited"), Some(500));
        assert_eq!(limits("1524", "2448"), Some(400));
        assert_eq!(limits("1000", "unlimited"), Some(0));
    }

    #[test]
    fn version_2() {
        let files = [
            ("proc/self/cgroup", "0::/a/b:c\n"),
            ("sys/fs/cgroup/a/b:c/memory.max", "800\n"),
            ("sys/fs/cgroup/a/b:c/memory.current", "400\n"),
            ("sys/fs/cgroup/a/b:c/memory.stat", "file 300\ninactive_file 70\nactive_file 30\n"),
            ("sys/fs/cgroup/a/memory.max", "700\n"),
            ("sys/fs/cgroup/a/memory.current", "450\n"),
        ];
        assert_eq!(free(&files[..4]), Some(800 - 400 + 100), "the cache can go");
        assert_eq!(free(&files), Some(700 - 450), "the group above has less");
        let full = [files[0], files[1], ("sys/fs/cgroup/a/b:c/memory.current", "900\n")];
        assert_eq!(free(&full), Some(0));
    }

    #[test]
    fn version_1() {
        let own = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/a/b\n0::/\n");
        let group = |limit: &'static str| {
            let limit = ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", limit);
            let usage = ("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "400\n");
            let stat = "active_file 1\ntotal_active_file 20\ntotal_inactive_file 30\n";
            free(&[own, limit, usage, ("sys/fs/cgroup/memory/a/b/memory.stat", stat)])
        };
        assert_eq!(group("500\n"), Some(500 - 400 + 50));
        assert_eq!(group("9223372036854771712\n"), Some(1024));
    }

    #[test]
    fn a_container_that_sees_its_own_group_alone() {
        let files = [
            ("proc/self/cgroup", "4:memory:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "600\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "100\n"),
        ];
        assert_eq!(free(&files), Some(500));
    }
}
