//! A recovery that takes the first place that cannot be read for the end of the log.

use std::path::{Path, PathBuf};

use env::{FileSystem, OpenOptions};
use wal::{DamageReason, Position};

use crate::site::DATA;

/// Cuts the log of an ingester where it first cannot be read, so that what comes later was never there.
pub(super) fn cut_at_first_hole(fs: &dyn FileSystem) {
    let dir = Path::new(DATA).join("ingester").join("wal");
    let segments: Vec<(u32, PathBuf)> = fs
        .read_dir(&dir)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| Some((entry.name.strip_suffix(".wal")?.parse().ok()?, dir.join(&entry.name))))
        .collect();
    let Some((first, _)) = segments.first() else { return };
    let from = Position { segment: *first, offset: 0 };
    let Ok(recovery) = wal::recover(fs, &dir, from, |_, _| {}) else { return };
    let hole = recovery.damage.iter().find(|damage| damage.reason == DamageReason::Unreadable);
    let Some(hole) = hole else { return };
    for (number, path) in segments {
        if number > hole.segment {
            // The mutant need not be more careful than what it stands for.
            let _ = fs.remove_file(&path);
        } else if number == hole.segment
            && let Ok(file) = fs.open(&path, OpenOptions::READ_WRITE)
        {
            let _ = file.set_len(u64::from(hole.from_offset));
            let _ = file.sync_all();
        }
    }
    let _ = fs.sync_dir(&dir);
}
