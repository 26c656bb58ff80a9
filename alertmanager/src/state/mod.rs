//! What outlives the process: silences and the notification log. A write-ahead log, and now and then a snapshot of all of it.
//!
//! ```text
//! <dir>/wal/       the log; a silence is acknowledged once its record is durable
//! <dir>/state      the last snapshot, and where in the log what it lacks begins
//! ```
//!
//! Records say what holds, not what changed, so that taking one in twice, or one that the snapshot has, is no harm.

mod record;
mod snapshot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Clock, FileSystem, Scope};
use model::TenantId;
use telemetry::Registry;
use thiserror::Error;
use wal::{
    AppendError, Apply, CommitError, Position, Recovery, TimeHull, Wal, WalConfig, WalDeps, WalMetrics,
};

pub(crate) use self::record::Record;
use crate::notification_log::NotificationLog;
use crate::silence::Silences;

/// A segment of the log has so many bytes: snapshots make it superfluous soon.
const SEGMENT_BYTES: u32 = 8 << 20;
/// The largest record: a silence or what was told of a group.
const MAX_RECORD_BYTES: usize = 8 << 20;

/// What one tenant has.
#[derive(Debug, Default)]
pub(crate) struct TenantState {
    pub(crate) silences: Silences,
    pub(crate) log: NotificationLog,
}

/// What was found on the disk.
pub(crate) struct Recovered {
    pub(crate) tenants: BTreeMap<TenantId, TenantState>,
    /// How many records cannot be read, or an unknown number of them: counted as one.
    pub(crate) damaged: usize,
    /// How many were read.
    pub(crate) records: u64,
    recovery: Recovery,
}

/// Why what was kept cannot be read.
#[derive(Debug, Error)]
pub enum StateError {
    /// The system does not let it be read.
    #[error("{path}: cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The snapshot is of a version that this program does not know.
    #[error("{path}: has version {found}; this program reads version {known}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// The log cannot be read.
    #[error("the log of silences and notifications cannot be read")]
    Recover(#[from] wal::RecoverError),
    /// The log cannot be gone on with.
    #[error("the log of silences and notifications cannot be written")]
    Open(#[from] wal::OpenError),
}

/// Why something could not be kept.
#[derive(Debug, Error)]
pub(crate) enum KeepError {
    /// It was not taken in.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// It could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Takes in what is durable.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Takes in a record.
    fn take(&self, record: Record);

    /// Everything that there is.
    fn all(&self) -> Vec<Record>;
}

/// Reads what is in `dir`. Blocks.
pub(crate) fn recover(fs: &dyn FileSystem, dir: &Path) -> Result<Recovered, StateError> {
    let mut tenants: BTreeMap<TenantId, TenantState> = BTreeMap::new();
    let mut records = 0;
    let mut damaged = 0;
    let from = match snapshot::read(fs, &snapshot_path(dir))? {
        None => Position::START,
        Some(snapshot) => {
            damaged += usize::from(snapshot.damaged);
            for record in snapshot.records {
                records += 1;
                take(&mut tenants, record);
            }
            snapshot.position
        }
    };
    let recovery = wal::recover(fs, &log_dir(dir), from, |_, bytes| match Record::decode(bytes) {
        Some(record) => {
            records += 1;
            take(&mut tenants, record);
        }
        None => damaged += 1,
    })?;
    damaged += recovery.damage.len();
    Ok(Recovered { tenants, damaged, records, recovery })
}

fn take(tenants: &mut BTreeMap<TenantId, TenantState>, record: Record) {
    match record {
        Record::Silence(tenant, silence) => tenants.entry(tenant).or_default().silences.store(*silence),
        Record::Log(tenant, key, entry) => tenants.entry(tenant).or_default().log.record(key, entry),
    }
}

fn snapshot_path(dir: &Path) -> PathBuf {
    dir.join("state")
}

fn log_dir(dir: &Path) -> PathBuf {
    dir.join("wal")
}

/// Keeps records.
#[derive(Clone)]
pub(crate) struct Store {
    wal: Wal<Applier>,
    sink: Arc<dyn Sink>,
    fs: Arc<dyn FileSystem>,
    scope: Scope,
    dir: PathBuf,
}

struct Applier(Arc<dyn Sink>);

impl Apply for Applier {
    type Outcome = ();

    fn apply(&mut self, _position: Position, bytes: &[u8]) {
        // What was made here is read here.
        if let Some(record) = Record::decode(bytes) {
            self.0.take(record);
        }
    }
}

/// What a store needs.
pub(crate) struct StoreDeps {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
    pub(crate) registry: Registry,
    pub(crate) dir: PathBuf,
}

impl Store {
    /// Goes on with what was recovered.
    pub(crate) fn open(
        deps: StoreDeps,
        recovered: &Recovered,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StateError> {
        let metrics = WalMetrics::new(&deps.registry.sub("alertmanager"));
        metrics.recovered(&recovered.recovery);
        let config = WalConfig {
            segment_bytes: SEGMENT_BYTES,
            max_record_bytes: MAX_RECORD_BYTES,
            ..WalConfig::new(log_dir(&deps.dir))
        };
        let wal_deps =
            WalDeps { fs: Arc::clone(&deps.fs), clock: deps.clock, scope: deps.scope.clone(), metrics };
        let wal = Wal::open(&config, wal_deps, &recovered.recovery, Applier(Arc::clone(&sink)))?;
        Ok(Self { wal, sink, fs: deps.fs, scope: deps.scope, dir: deps.dir })
    }

    /// Keeps records. They are durable, and taken in, when this is ready.
    pub(crate) async fn keep(&self, records: &[Record]) -> Result<(), KeepError> {
        let mut tickets = Vec::with_capacity(records.len());
        for record in records {
            tickets.push(self.wal.append(record.encode(), TimeHull::EMPTY)?);
        }
        for ticket in tickets {
            ticket.await?;
        }
        Ok(())
    }

    /// Writes a snapshot, and removes what it makes superfluous; how many bytes it has.
    pub(crate) async fn snapshot(&self) -> Result<u64, SnapshotError> {
        let position = self.wal.roll().await?;
        // What was taken in up to here is in it; what comes later may be, too.
        let bytes = snapshot::encode(position, &self.sink.all());
        let (fs, path) = (Arc::clone(&self.fs), snapshot_path(&self.dir));
        let len = bytes.len() as u64;
        let written = self.scope.run_blocking(move || env::write_file_durable(&*fs, &path, &bytes)).await;
        written.map_err(std::io::Error::other).flatten().map_err(SnapshotError::Write)?;
        self.wal.truncate_before(position).await?;
        Ok(len)
    }

    /// Takes no more records, and becomes ready when those taken in are durable.
    pub(crate) async fn close(&self) {
        self.wal.close().await;
    }
}

/// Why a snapshot could not be written. The log has everything still.
#[derive(Debug, Error)]
pub(crate) enum SnapshotError {
    /// The log has stopped.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The file cannot be written.
    #[error("the snapshot cannot be written")]
    Write(#[source] std::io::Error),
    /// What is superfluous cannot be removed.
    #[error(transparent)]
    Truncate(#[from] wal::TruncateError),
}
