//! A log over a simulated disk, and what came of it.

use std::path::Path;
use std::sync::Arc;

use env::{Scope, SimClock, SimFs};
use telemetry::Registry;
use wal::{
    Apply, CommitError, Position, Recovery, SyncMode, TimeHull, Wal, WalConfig, WalDeps, WalMetrics, recover,
};

/// Where the log is.
pub(crate) const DIR: &str = "/data/wal";

/// Keeps what it was given.
#[derive(Default)]
pub(crate) struct Collect {
    /// What was applied, in order.
    pub(crate) applied: Vec<(Position, Vec<u8>)>,
}

impl Apply for Collect {
    type Outcome = Position;

    fn apply(&mut self, position: Position, record: &[u8]) -> Position {
        assert_ne!(record, b"panic", "told to panic");
        self.applied.push((position, record.to_vec()));
        position
    }
}

/// A configuration with segments so small that tests roll.
pub(crate) fn config() -> WalConfig {
    WalConfig { segment_bytes: 64 << 10, ..WalConfig::new(DIR) }
}

/// What is in the log from `from` on.
pub(crate) fn read(fs: &SimFs, from: Position) -> (Vec<(Position, Vec<u8>)>, Recovery) {
    let mut records = Vec::new();
    let recovery =
        recover(fs, Path::new(DIR), from, |position, record| records.push((position, record.to_vec())));
    (records, recovery.expect("the log can be read"))
}

/// An opened log, what was read first, and the scope and metrics it runs with.
pub(crate) struct Opened {
    /// The log.
    pub(crate) wal: Wal<Collect>,
    /// What recovery found.
    pub(crate) recovery: Recovery,
    /// Of the log task.
    pub(crate) scope: Scope,
    /// The log's metrics are here.
    pub(crate) registry: Registry,
}

impl Opened {
    /// The value of a metric whose name ends like this, all labels together.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let samples = self.registry.gather();
        samples.iter().filter(|sample| sample.name.ends_with(name)).map(|sample| sample.value).sum()
    }

    /// Appends and waits.
    pub(crate) async fn put(&self, record: &[u8], hull: TimeHull) -> Result<Position, CommitError> {
        self.wal.append(record.to_vec(), hull).expect("room for a record").await
    }
}

/// Recovers and opens the log in paused time, blocking work in place.
pub(crate) fn open(fs: &SimFs, config: &WalConfig) -> Result<Opened, wal::OpenError> {
    let (_, recovery) = read(fs, Position::START);
    let scope = Scope::simulated("test");
    let registry = Registry::new();
    let deps = WalDeps {
        fs: Arc::new(fs.clone()),
        clock: Arc::new(SimClock::new(0, 0)),
        scope: scope.clone(),
        metrics: WalMetrics::new(&registry),
    };
    let wal = Wal::open(config, deps, &recovery, Collect::default())?;
    Ok(Opened { wal, recovery, scope, registry })
}

/// Runs `future` to its end on one thread in paused time.
pub(crate) fn simulate<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

/// A configuration that does not sync before it acknowledges.
pub(crate) fn interval(millis: u64) -> WalConfig {
    WalConfig { sync: SyncMode::Interval(std::time::Duration::from_millis(millis)), ..config() }
}

/// `len` bytes that no other record has, which contain no zeros in a row.
pub(crate) fn payload(id: u64, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 8 | 1 << 60).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
