//! What disks do to what was written.

use std::path::{Path, PathBuf};

use env::{FileSystem, SimFs};

use super::Victims;
use crate::draw::Draw;
use crate::site::DATA;

/// The file that says which version's a directory is. What it does not know, a process does not touch; whether the version
/// or a bit is wrong, only an operator can tell.
const FORMAT: &str = "format";
/// What disks write at once.
const PAGE_BYTES: u64 = 4096;

/// Files with their lengths.
type Files = Vec<(PathBuf, u64)>;

/// Makes some bits of the files of a machine others.
pub(super) fn rot(victims: &Victims, machine: &str, seed: u64) {
    let Some(disk) = victims.fleet.disk(machine) else { return };
    let draw = Draw::new(seed, "rot");
    let (all, logs) = files(&disk);
    for _ in 0..draw.between(1, 4) {
        let some = if draw.chance(600) { &logs } else { &all };
        let Some((path, len)) = draw.one(some) else { return };
        if *len > 0 && disk.flip_bit(path, draw.between(0, len - 1), (draw.number() % 8) as u8).is_ok() {
            victims.trace.event(format_args!("a bit of {} on {machine} is another", path.display()));
        }
    }
}

/// Lets a page of a file be in the place of another. Not the last one of a log: that it was ever written, nothing on the disk says.
pub(super) fn misdirect(victims: &Victims, machine: &str, seed: u64) {
    let Some(disk) = victims.fleet.disk(machine) else { return };
    let draw = Draw::new(seed, "misdirect");
    let (all, logs) = files(&disk);
    let some = if draw.chance(600) { &logs } else { &all };
    let (Some((from, from_len)), Some((to, to_len))) = (draw.one(some), draw.one(&all)) else { return };
    if *from_len == 0 || *to_len == 0 {
        return;
    }
    let (from_page, to_page) =
        (draw.between(0, (from_len - 1) / PAGE_BYTES), draw.between(0, (to_len - 1) / PAGE_BYTES));
    let is_end_of_log =
        logs.last().is_some_and(|(last, _)| last == from) && from_page == (from_len - 1) / PAGE_BYTES;
    if is_end_of_log {
        return;
    }
    if disk.misdirect((from, from_page), (to, to_page)).is_ok() {
        victims.trace.event(format_args!(
            "page {from_page} of {} on {machine} is in the place of page {to_page} of {}",
            from.display(),
            to.display()
        ));
    }
}

/// All files of a machine, and those of its log.
fn files(disk: &SimFs) -> (Files, Files) {
    let mut all = Vec::new();
    files_below(disk, Path::new(DATA), &mut all);
    let is_log = |(path, _): &&(PathBuf, u64)| path.extension().is_some_and(|extension| extension == "wal");
    let logs = all.iter().filter(is_log).cloned().collect();
    (all, logs)
}

fn files_below(fs: &dyn FileSystem, dir: &Path, files: &mut Files) {
    for entry in fs.read_dir(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files_below(fs, &path, files);
        } else if entry.name != FORMAT {
            files.push((path, entry.len));
        }
    }
}
