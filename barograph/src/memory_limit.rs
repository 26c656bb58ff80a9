//! How much memory the process may have: what its control group allows, or else what the machine has.

use std::path::{Path, PathBuf};

/// Where control groups are found.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The limit in bytes; `None` where the system does not say.
pub(crate) fn of_this_process() -> Option<u64> {
    find(|path| std::fs::read_to_string(path).ok())
}

/// The smallest limit of the control groups that the process is in, or the machine's memory.
fn find(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| {
        let (folder, file, path) = group(line)?;
        let path = path.trim_start_matches('/');
        // A container sees its own group as the root, whatever the path says.
        let ancestors = Path::new(path).ancestors().map(|ancestor| folder.join(ancestor).join(file));
        ancestors.filter_map(|file| read(&file)?.trim().parse::<u64>().ok()).min()
    });
    let of_machine = read(Path::new("/proc/meminfo")).and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        total?.trim().parse::<u64>().ok()?.checked_mul(1_024)
    });
    // Without a limit, the older kind of control group gives an absurd one.
    of_groups.chain(of_machine).min()
}

/// Where limits of a line of `/proc/self/cgroup` are, their file's name, and the path of the group.
fn group(line: &str) -> Option<(PathBuf, &'static str, &str)> {
    let mut parts = line.splitn(3, ':');
    let (_hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    match controllers {
        "" => Some((PathBuf::from(CGROUPS), "memory.max", path)),
        _ if controllers.split(',').any(|c| c == "memory") => {
            Some((Path::new(CGROUPS).join("memory"), "memory.limit_in_bytes", path))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], limit: Option<u64>) {
        let read = |path: &Path| {
            files.iter().find(|(file, _)| Path::new(file) == path).map(|(_, text)| (*text).into())
        };
        assert_eq!(find(read), limit, "{files:?}");
    }

    #[test]
    fn the_smallest_limit_counts() {
        let machine = ("/proc/meminfo", "MemFree:  7 kB\nMemTotal:       16 kB\n");
        let unified = ("/proc/self/cgroup", "0::/a.slice/b.service\n");
        check(&[], None);
        check(&[machine], Some(16 << 10));
        let service = "/sys/fs/cgroup/a.slice/b.service/memory.max";
        check(&[machine, unified, (service, "max\n")], Some(16 << 10));
        check(
            &[machine, unified, (service, "9000\n"), ("/sys/fs/cgroup/a.slice/memory.max", "max\n")],
            Some(9_000),
        );
        check(
            &[machine, unified, (service, "9000\n"), ("/sys/fs/cgroup/a.slice/memory.max", "8000\n")],
            Some(8_000),
        );
        check(
            &[machine, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "5000\n")],
            Some(5_000),
        );
        let older = ("/proc/self/cgroup", "3:cpu,cpuacct:/x\n2:memory:/docker/7\n");
        let root = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        check(&[machine, older, (root, "4000\n")], Some(4_000));
        check(&[machine, older, (root, "9223372036854771712\n")], Some(16 << 10));
    }
}
