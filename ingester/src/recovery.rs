//! From what is on the disk to the head as it was: the newest usable snapshot, and the log since then.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{FileSystem, OpenOptions};
use model::TimeRange;
use wal::{Damage, Position};

use crate::blocks::Blocks;
use crate::blocks::ledger::Ledgers;
use crate::chunk_store::{ChunkStore, SegmentState};
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::head::Head;
use crate::snapshot::read::OnDamage;
use crate::snapshot::{self, SnapshotError, read};

/// With this many bytes of chunks that a replay has made and that are not durable, they are synced. Nobody else needs the memory yet, and
/// each sync is waited for.
const SYNC_BYTES: u64 = 16 << 20;

/// What a start found.
pub(crate) struct Recovered {
    /// The head.
    pub(crate) head: Head,
    /// How the log's recovery went.
    pub(crate) log: wal::Recovery,
    /// The snapshots that exist, by the segment that their replay begins with; newest first.
    pub(crate) snapshots: Vec<u32>,
    /// Ranges of time of which acknowledged samples may be missing.
    pub(crate) lost: Vec<TimeRange>,
    /// What is known of blocks.
    pub(crate) ledgers: Ledgers,
}

/// Restores the head. Blocks are cut from windows of this length.
pub(crate) fn recover(
    fs: &Arc<dyn FileSystem>,
    dir: &DataDir,
    window: Duration,
) -> Result<Recovered, StartError> {
    let snapshots_dir = dir.snapshots();
    remove_unfinished(fs, &snapshots_dir).map_err(|source| at(&snapshots_dir, source))?;
    let snapshots = snapshot::list(&**fs, &snapshots_dir).map_err(|source| at(&snapshots_dir, source))?;
    let restored = restore(fs, dir, &snapshots)?;
    let mut foreign = 0u64;
    let mut orphaned: Option<TimeRange> = None;
    let head = restored.head;
    let blocks_dir = dir.blocks();
    let ledgers =
        Blocks::load(&**fs, blocks_dir.clone(), &head, window).map_err(|source| at(&blocks_dir, source))?;
    let log = wal::recover(&**fs, &dir.wal(), restored.from, |position, record| {
        match head.apply(record) {
            Ok(applied) => orphaned = hull(orphaned, applied.orphaned),
            Err(error) => {
                foreign += 1;
                tracing::error!(%position, %error, "a record of the write-ahead log cannot be applied");
            }
        }
        if head.store().buffered_bytes() >= SYNC_BYTES
            && let Err(error) = head.store().sync()
        {
            // They stay in memory, and the running ingester tries again.
            tracing::warn!(%error, "chunks made by the replay cannot be written");
        }
    })?;
    let mut lost = restored.lost;
    lost.extend(log.damage.iter().map(damaged_range));
    lost.extend(orphaned.inspect(|time| {
        tracing::error!(?time, "the labels of series are lost, and so are the samples that came later");
    }));
    if foreign > 0 {
        lost.push(TimeRange::ALL);
    }
    head.next_epoch();
    tracing::info!(
        snapshot_series = restored.series,
        records = log.records,
        bytes = log.bytes,
        torn_tail_bytes = log.torn_tail_bytes,
        lost_ranges = lost.len(),
        "head restored"
    );
    Ok(Recovered { head, log, snapshots, lost, ledgers })
}

fn at(path: &Path, source: io::Error) -> StartError {
    StartError::Io { path: path.to_owned(), source }
}

/// A range that has both.
fn hull(one: Option<TimeRange>, other: Option<TimeRange>) -> Option<TimeRange> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    TimeRange::new(one.start_ms().min(other.start_ms()), one.end_ms().max(other.end_ms()))
}

fn damaged_range(damage: &Damage) -> TimeRange {
    tracing::error!(
        segment = damage.segment,
        from_offset = damage.from_offset,
        to_offset = damage.to_offset,
        reason = ?damage.reason,
        time = ?damage.time,
        "the write-ahead log is damaged, acknowledged samples are lost"
    );
    damage.time.and_then(|t| TimeRange::new(t.min_ts, t.max_ts)).unwrap_or(TimeRange::ALL)
}

fn remove_unfinished(fs: &Arc<dyn FileSystem>, dir: &Path) -> io::Result<()> {
    for entry in fs.read_dir(dir)? {
        if entry.name.ends_with(".tmp") {
            fs.remove_file(&dir.join(entry.name))?;
        }
    }
    Ok(())
}

/// A head from a snapshot, or an empty one.
struct Restored {
    head: Head,
    from: Position,
    series: u64,
    lost: Vec<TimeRange>,
}

fn restore(fs: &Arc<dyn FileSystem>, dir: &DataDir, snapshots: &[u32]) -> Result<Restored, StartError> {
    for segment in snapshots {
        match load(fs, dir, *segment, OnDamage::Fail) {
            Ok(restored) => return Ok(restored),
            Err(LoadError::Start(error)) => return Err(error),
            Err(LoadError::Snapshot(error)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(snapshot = segment, %error, source, "a snapshot cannot be used, trying the one before");
            }
        }
    }
    // No snapshot is whole: keep what the newest still has, and say that something is missing.
    if let Some(newest) = snapshots.first()
        && let Ok(restored) = load(fs, dir, *newest, OnDamage::Skip)
    {
        return Ok(restored);
    }
    let store = open_store(fs, dir, &[])?;
    let lost = if snapshots.is_empty() { Vec::new() } else { vec![TimeRange::ALL] };
    Ok(Restored { head: Head::new(store), from: Position::START, series: 0, lost })
}

enum LoadError {
    Snapshot(SnapshotError),
    Start(StartError),
}

fn load(
    fs: &Arc<dyn FileSystem>,
    dir: &DataDir,
    segment: u32,
    on_damage: OnDamage,
) -> Result<Restored, LoadError> {
    let failed = |e| LoadError::Snapshot(e);
    let path = snapshot::path(&dir.snapshots(), segment);
    let file = fs.open(&path, OpenOptions::READ).map_err(|e| failed(e.into()))?;
    let chunk_files = match (read::footer(&*file), on_damage) {
        (Ok(footer), _) => footer.chunk_files,
        (Err(_), OnDamage::Skip) => all_chunk_files(fs, &dir.chunks()).map_err(|e| failed(e.into()))?,
        (Err(error), OnDamage::Fail) => return Err(failed(error)),
    };
    if on_damage == OnDamage::Fail {
        // Opening the store removes chunk files that this snapshot does not know, which an older one may need.
        read::verify(&*file).map_err(failed)?;
    }
    let head = Head::new(open_store(fs, dir, &chunk_files).map_err(LoadError::Start)?);
    let loaded = read::load(&*file, &head, on_damage).map_err(failed)?;
    let lost = if on_damage == OnDamage::Skip { vec![TimeRange::ALL] } else { Vec::new() };
    Ok(Restored { head, from: Position { segment, offset: 0 }, series: loaded.series, lost })
}

fn open_store(
    fs: &Arc<dyn FileSystem>,
    dir: &DataDir,
    valid: &[SegmentState],
) -> Result<ChunkStore, StartError> {
    ChunkStore::open(fs.clone(), dir.chunks(), valid).map_err(|source| at(&dir.chunks(), source))
}

/// Every chunk file there is, for when no snapshot tells; none of them ever expires then.
fn all_chunk_files(fs: &Arc<dyn FileSystem>, dir: &Path) -> io::Result<Vec<SegmentState>> {
    let number = |name: &str| name.strip_suffix(".chunks").and_then(|n| n.parse().ok());
    let files = fs.read_dir(dir)?;
    Ok(files
        .iter()
        .filter_map(|e| number(&e.name))
        .map(|number| SegmentState { number, max_ms: i64::MAX })
        .collect())
}
