//! The queries that run, written down so that a crash does not hide what it was that ran.
//!
//! ```text
//! <dir>/queries.active   "[", then one slot of 1000 bytes per query that may run:
//!                        a JSON object, zeros to the end of the slot, and a comma as its last byte; all zeros if free
//! ```
//!
//! It is the file that Prometheus keeps, with the tenant beside the query. Writes are left to the page cache: they
//! survive the process, not the machine.

use std::io;
use std::path::Path;
use std::sync::Arc;

use env::{Clock, File, FileSystem, OpenOptions};
use model::TenantId;
use parking_lot::Mutex;

const FILE: &str = "queries.active";
const SLOT_BYTES: usize = 1_000;

/// The largest file that is read at a start: that of as many queries as can be configured.
const MAX_FILE_BYTES: u64 = 1 + SLOT_BYTES as u64 * 10_000;

/// A query that had not ended when the process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    pub(crate) tenant: String,
    /// As much of it as a slot holds.
    pub(crate) query: String,
    /// When it began, in seconds since the Unix epoch.
    pub(crate) started_at: i64,
}

/// The file of running queries.
pub(crate) struct ActiveQueries {
    file: Arc<dyn File>,
    clock: Arc<dyn Clock>,
    free: Mutex<Vec<usize>>,
}

impl ActiveQueries {
    /// Reads what the process before has left in `dir`, and begins anew with room for `slots` queries.
    pub(crate) fn open(
        fs: &dyn FileSystem,
        dir: &Path,
        slots: usize,
        clock: Arc<dyn Clock>,
    ) -> io::Result<(Self, Vec<Unfinished>)> {
        env::create_dir_durable(fs, dir)?;
        let path = dir.join(FILE);
        let unfinished = match env::read_file(fs, &path, MAX_FILE_BYTES) {
            Ok(bytes) => unfinished(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let file = fs.open(&path, OpenOptions::CREATE_EMPTY)?;
        env::write_all_at(&*file, b"[", 0)?;
        file.set_len(1 + (SLOT_BYTES * slots) as u64)?;
        let free = Mutex::new((0..slots).rev().collect());
        Ok((Self { file, clock, free }, unfinished))
    }

    /// Writes down that a query runs, until the result is dropped. None where there is no slot left or the disk
    /// refuses: a query does not fail for it.
    pub(crate) fn begin(self: &Arc<Self>, tenant: &TenantId, query: &str) -> Option<ActiveQuery> {
        let slot = self.free.lock().pop()?;
        let active = ActiveQuery { log: Arc::clone(self), slot };
        let bytes = entry(tenant.as_str(), query, self.clock.now_ms() / 1_000);
        match self.write(slot, &bytes) {
            Ok(()) => Some(active),
            Err(error) => {
                tracing::debug!(%error, "a running query could not be written down");
                None
            }
        }
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
        env::write_all_at(&*self.file, bytes, 1 + (slot * SLOT_BYTES) as u64)
    }
}

/// A query that is written down as running.
pub(crate) struct ActiveQuery {
    log: Arc<ActiveQueries>,
    slot: usize,
}

impl Drop for ActiveQuery {
    fn drop(&mut self) {
        if let Err(error) = self.log.write(self.slot, &[0; SLOT_BYTES]) {
            tracing::debug!(%error, "a query that ended is still written down as running");
        }
        self.log.free.lock().push(self.slot);
    }
}

/// A slot: as much of the query as fits.
fn entry(tenant: &str, query: &str, timestamp_sec: i64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let mut length = query.len().min(SLOT_BYTES);
    let json = loop {
        length = query.floor_char_boundary(length);
        let entry =
            serde_json::json!({"query": &query[..length], "timestamp_sec": timestamp_sec, "tenant": tenant});
        let json = entry.to_string();
        let excess = (json.len() + 1).saturating_sub(SLOT_BYTES);
        if excess == 0 || length == 0 {
            break json;
        }
        // Escapes make characters up to six times as long: so much less at least is needed.
        length = length.saturating_sub(excess.div_ceil(6).max(1));
    };
    let bytes = json.as_bytes();
    // A tenant's name is short, so that the entry of an empty query always fits.
    let taken = bytes.len().min(SLOT_BYTES - 1);
    slot[..taken].copy_from_slice(&bytes[..taken]);
    slot[SLOT_BYTES - 1] = b',';
    slot
}

/// The queries in a file, whatever state it is in: what cannot be read is left out.
fn unfinished(file: &[u8]) -> Vec<Unfinished> {
    let slots = file.strip_prefix(b"[").unwrap_or_default().chunks(SLOT_BYTES);
    slots
        .filter_map(|slot| {
            let end = slot.iter().position(|b| *b == 0).unwrap_or(slot.len().saturating_sub(1));
            let entry: serde_json::Value = serde_json::from_slice(slot.get(..end)?).ok()?;
            Some(Unfinished {
                tenant: entry.get("tenant").and_then(|t| t.as_str()).unwrap_or_default().to_owned(),
                query: entry.get("query")?.as_str()?.to_owned(),
                started_at: entry.get("timestamp_sec")?.as_i64()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use env::{ManualClock, SimFs};
    use proptest::prelude::*;

    use super::*;

    fn open(fs: &SimFs, slots: usize) -> (Arc<ActiveQueries>, Vec<Unfinished>) {
        let clock = Arc::new(ManualClock::new(1_700_000_000_500));
        let (log, unfinished) = ActiveQueries::open(fs, Path::new("/data/querier"), slots, clock).unwrap();
        (Arc::new(log), unfinished)
    }

    #[test]
    fn what_ran_when_the_process_ended_is_told_at_the_next_start() {
        let fs = SimFs::new(1);
        let (log, before) = open(&fs, 3);
        assert!(before.is_empty());
        let tenant: TenantId = TenantId::new("team-a").unwrap();
        let ended = log.begin(&tenant, "ended").unwrap();
        let runs = log.begin(&tenant, "sum(\"x\ny\")").unwrap();
        drop(ended);
        let long = log.begin(&tenant, &"ä\"".repeat(5_000)).unwrap();
        // A process that crashes drops nothing.
        std::mem::forget((runs, long));
        let (_, after) = open(&fs, 3);
        let find = |start: &str| after.iter().find(|u| u.query.starts_with(start)).unwrap();
        assert_eq!(after.len(), 2);
        assert_eq!(
            find("sum"),
            &Unfinished { tenant: "team-a".into(), query: "sum(\"x\ny\")".into(), started_at: 1_700_000_000 }
        );
        assert!(find("ä").query.len() > 500, "{after:?}");
        assert!(open(&fs, 3).1.is_empty(), "it is told once");
    }

    #[test]
    fn there_are_as_many_slots_as_queries_may_run() {
        let (log, _) = open(&SimFs::new(1), 1);
        let tenant = TenantId::anonymous();
        let first = log.begin(&tenant, "a").unwrap();
        assert!(log.begin(&tenant, "b").is_none());
        drop(first);
        assert!(log.begin(&tenant, "c").is_some());
    }

    proptest! {
        #[test]
        fn any_query_fits_and_any_file_is_read(query in ".{0,3000}", file in prop::collection::vec(any::<u8>(), 0..3000)) {
            let slot = entry(&"t".repeat(150), &query, i64::MAX);
            prop_assert_eq!(slot[SLOT_BYTES - 1], b',');
            let mut whole = b"[".to_vec();
            whole.extend_from_slice(&slot);
            let read = unfinished(&whole);
            prop_assert_eq!(read.len(), 1);
            prop_assert!(query.starts_with(&read[0].query));
            unfinished(&file);
        }
    }
}
