//! What other processes use, read from /proc: CPU time and resident memory, anonymous and file-backed apart.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

/// Clock ticks per second in /proc/<pid>/stat: fixed at 100 in the kernel's interface on all platforms in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// Why a process cannot be measured.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// A file of /proc could not be read; the process may have ended.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of /proc does not look as expected.
    #[error("{path} has no field {field}")]
    Field {
        /// The file.
        path: PathBuf,
        /// What is missing.
        field: &'static str,
    },
    /// Nobody listens there.
    #[error("no process of ours listens on TCP port {port}")]
    NoListener {
        /// The port.
        port: u16,
    },
}

/// What processes use, summed over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// User and system time so far, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory that no file backs: anonymous and shared, in bytes.
    pub anonymous_bytes: u64,
    /// Resident pages of files, in bytes: the kernel can take them back.
    pub file_bytes: u64,
}

/// Reads what these processes use.
pub fn usage(pids: &[u32]) -> Result<Usage, ProcessError> {
    let mut sum = Usage::default();
    for pid in pids {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        sum.cpu_seconds += cpu_seconds(&folder.join("stat"))?;
        let status_path = folder.join("status");
        let status = read(&status_path)?;
        sum.anonymous_bytes += kilobytes(&status, &status_path, "RssAnon:")? * 1024;
        sum.anonymous_bytes += kilobytes(&status, &status_path, "RssShmem:")? * 1024;
        sum.file_bytes += kilobytes(&status, &status_path, "RssFile:")? * 1024;
    }
    Ok(sum)
}

/// User and system time of this process, in seconds.
pub fn own_cpu_seconds() -> Result<f64, ProcessError> {
    cpu_seconds(Path::new("/proc/self/stat"))
}

/// The processes that listen on a TCP port of this machine.
pub fn pids_of_port(port: u16) -> Result<Vec<u32>, ProcessError> {
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine without IPv6 has no second table.
        if let Ok(text) = fs::read_to_string(table) {
            inodes.extend(text.lines().skip(1).filter_map(|line| listening_inode(line, port)));
        }
    }
    let targets: BTreeSet<_> =
        inodes.iter().map(|inode| PathBuf::from(format!("socket:[{inode}]"))).collect();
    let proc_path = Path::new("/proc");
    let entries = fs::read_dir(proc_path)
        .map_err(|source| ProcessError::Read { path: proc_path.to_owned(), source })?;
    let pids: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| holds_any(*pid, &targets))
        .collect();
    if pids.is_empty() { Err(ProcessError::NoListener { port }) } else { Ok(pids) }
}

/// Bytes that a folder occupies on disk, all files below it counted once.
pub fn disk_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path())?;
        } else {
            // Blocks of 512 bytes: preallocated files are sparse, their length says nothing.
            bytes += std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        }
    }
    Ok(bytes)
}

fn read(path: &Path) -> Result<String, ProcessError> {
    fs::read_to_string(path).map_err(|source| ProcessError::Read { path: path.to_owned(), source })
}

fn cpu_seconds(stat: &Path) -> Result<f64, ProcessError> {
    let text = read(stat)?;
    // The second field is the command in parentheses and may hold spaces.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = |field| {
        let value = fields.next().and_then(|text| text.parse::<u64>().ok());
        value.ok_or_else(|| ProcessError::Field { path: stat.to_owned(), field })
    };
    Ok((ticks("utime")? + ticks("stime")?) as f64 / TICKS_PER_SECOND)
}

fn kilobytes(status: &str, path: &Path, field: &'static str) -> Result<u64, ProcessError> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.trim().trim_end_matches("kB").trim().parse().ok())
        .ok_or_else(|| ProcessError::Field { path: path.to_owned(), field })
}

/// The inode of a socket that listens on `port`, from a line of /proc/net/tcp.
fn listening_inode(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let (_, hex) = local.rsplit_once(':')?;
    (state == LISTEN && u16::from_str_radix(hex, 16).ok()? == port).then_some(inode.parse().ok()?)
}

fn holds_any(pid: u32, targets: &BTreeSet<PathBuf>) -> bool {
    // Other users' processes cannot be looked into; they are not ours to measure either.
    fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| targets.contains(&target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_this_process() {
        let used = usage(&[std::process::id()]).unwrap();
        assert!(used.anonymous_bytes > 100_000, "{used:?}");
        assert!(used.file_bytes > 100_000, "{used:?}");
        let mut n = 1u64;
        while own_cpu_seconds().unwrap() < used.cpu_seconds + 0.05 {
            n = mix_a_while(n);
        }
        assert_ne!(n, 0);
    }

    fn mix_a_while(n: u64) -> u64 {
        (0..10_000).fold(n, |n, _| crate::population::mix(n))
    }

    #[test]
    fn finds_who_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(pids_of_port(port).unwrap(), [std::process::id()]);
        drop(listener);
        assert!(matches!(pids_of_port(port), Err(ProcessError::NoListener { .. })));
    }
}
