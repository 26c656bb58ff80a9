//! How a log is kept.

use std::path::PathBuf;
use std::time::Duration;

const MIB: u32 = 1 << 20;

/// When a record counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// When it is on the disk.
    Always,
    /// When it is written; the disk is made to catch up at this interval. A power loss costs up to that much of what
    /// was acknowledged.
    Interval(Duration),
}

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalConfig {
    /// The directory of the segments; made where it is missing. Nothing else may be in it.
    pub dir: PathBuf,
    /// A segment that has this many bytes is followed by a new one; the last group may go beyond. 64 KiB to 1 GiB.
    pub segment_bytes: u32,
    /// Appends are refused while this many bytes wait to be committed. 64 KiB to 1 GiB.
    pub max_pending_bytes: usize,
    /// A record has at most this many bytes; at most `max_pending_bytes`.
    pub max_record_bytes: usize,
    /// When a record counts as committed.
    pub sync: SyncMode,
}

/// A value that a log cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, it must be from {min} to {max}")]
pub struct ConfigError {
    /// The field of [`WalConfig`].
    pub field: &'static str,
    /// What it is.
    pub value: u64,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

impl WalConfig {
    /// A log in `dir` as it should be on a server: segments of 128 MiB, 64 MiB pending, records of up to 32 MiB,
    /// everything synced before it is acknowledged.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 128 * MIB,
            max_pending_bytes: 64 * MIB as usize,
            max_record_bytes: 32 * MIB as usize,
            sync: SyncMode::Always,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let check = |field, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(ConfigError { field, value, min, max })
        };
        let (low, high) = (64 << 10, 1 << 30);
        check("segment_bytes", u64::from(self.segment_bytes), low, high)?;
        check("max_pending_bytes", self.max_pending_bytes as u64, low, high)?;
        check("max_record_bytes", self.max_record_bytes as u64, 1, self.max_pending_bytes as u64)
    }
}
