//! Cost of the server during a run: CPU, memory and disk, of the processes named, before, during and after.

use std::path::{Path, PathBuf};
use std::time::Duration;

use env::Clock;
use serde::Serialize;

use crate::process::{ProcessError, Usage, disk_bytes, own_cpu_seconds, usage};

/// How often memory is looked at for its peak.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// A measurement under way.
pub struct Measurement {
    pids: Vec<u32>,
    data_dir: Option<PathBuf>,
    before: Usage,
    own_before: f64,
    disk_before: u64,
    peak: Usage,
}

/// What the run cost.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// CPU time of the server, background work of the settle time included.
    pub server_cpu_seconds: f64,
    /// CPU time of the server in the settle time alone.
    pub settle_cpu_seconds: f64,
    /// CPU time of this generator.
    pub own_cpu_seconds: f64,
    /// The server's memory before the run.
    pub before: Usage,
    /// After the settle time.
    pub after: Usage,
    /// The most that was seen of each.
    pub peak: Usage,
    /// Bytes on disk that the run added, where the folder was named.
    pub disk_bytes: Option<u64>,
}

impl Measurement {
    /// Begins: reads the baseline.
    pub fn begin(pids: Vec<u32>, data_dir: Option<PathBuf>) -> Result<Self, ProcessError> {
        let before = usage(&pids)?;
        let disk_before = disk(data_dir.as_deref())?.unwrap_or(0);
        Ok(Self { before, peak: before, own_before: own_cpu_seconds()?, disk_before, pids, data_dir })
    }

    /// Watches memory until cancelled. Processes that vanish are left out until the end, where that is an error.
    pub async fn watch(&mut self, clock: &dyn Clock) {
        loop {
            clock.sleep(SAMPLE_EVERY).await;
            if let Ok(now) = usage(&self.pids) {
                self.note(now);
            }
        }
    }

    /// Ends: waits for background work, then reads everything again.
    pub async fn finish(mut self, clock: &dyn Clock, settle: Duration) -> Result<Cost, ProcessError> {
        let own_cpu_seconds = own_cpu_seconds()? - self.own_before;
        let at_end = usage(&self.pids)?;
        self.note(at_end);
        let settled_at = clock.monotonic() + settle;
        while clock.monotonic() < settled_at {
            clock.sleep(SAMPLE_EVERY.min(settled_at - clock.monotonic())).await;
            self.note(usage(&self.pids)?);
        }
        let after = usage(&self.pids)?;
        self.note(after);
        Ok(Cost {
            server_cpu_seconds: after.cpu_seconds - self.before.cpu_seconds,
            settle_cpu_seconds: after.cpu_seconds - at_end.cpu_seconds,
            own_cpu_seconds,
            before: self.before,
            after,
            peak: self.peak,
            disk_bytes: disk(self.data_dir.as_deref())?.map(|bytes| bytes.saturating_sub(self.disk_before)),
        })
    }

    fn note(&mut self, now: Usage) {
        self.peak.cpu_seconds = now.cpu_seconds;
        self.peak.anonymous_bytes = self.peak.anonymous_bytes.max(now.anonymous_bytes);
        self.peak.file_bytes = self.peak.file_bytes.max(now.file_bytes);
    }
}

fn disk(folder: Option<&Path>) -> Result<Option<u64>, ProcessError> {
    folder
        .map(|folder| {
            disk_bytes(folder).map_err(|source| ProcessError::Read { path: folder.to_owned(), source })
        })
        .transpose()
}
