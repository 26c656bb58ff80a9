//! What an ingester does by itself: chunk files, snapshots, retention.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wal::{CommitError, Position};

use crate::disk_watch;
use crate::head::series::Series;
use crate::head::tenant::Tenant;
use crate::service::Inner;
use crate::snapshot::{self, write};

/// How often full chunks are looked at.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// So many bytes of full chunks are worth a write to their files.
const FLUSH_BYTES: u64 = 256 << 10;
/// With this many bytes that are not durable, they are synced and their memory is given back.
const SYNC_BYTES: u64 = 2 << 20;
/// How often idle series and expired data are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// How long after a failed snapshot the next is tried.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(10);
/// How often the need for a snapshot is looked at.
const SNAPSHOT_CHECK: Duration = Duration::from_secs(1);

/// Starts the background work.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    let flushing = inner.clone();
    inner.scope.spawn("chunk-files", async move {
        while wait(&flushing, FLUSH_EVERY).await {
            flush(&flushing).await;
        }
    });
    let expiring = inner.clone();
    inner.scope.spawn("retention", async move {
        while wait(&expiring, EXPIRE_EVERY).await {
            expire(&expiring).await;
        }
    });
    inner.scope.spawn("disk-watch", disk_watch::watch(inner.clone()));
    inner.scope.spawn("snapshots", keep_taking_snapshots(inner.clone()));
}

/// Waits; `false` once the ingester is asked to stop.
pub(crate) async fn wait(inner: &Inner, duration: Duration) -> bool {
    tokio::select! {
        biased;
        () = inner.scope.cancelled() => false,
        () = inner.clock.sleep(duration) => true,
    }
}

async fn flush(inner: &Arc<Inner>) {
    let head = inner.head.clone();
    let pending = head.store().buffered_bytes();
    inner.metrics.chunk_bytes_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    if pending < FLUSH_BYTES {
        return;
    }
    let work = move || {
        if pending >= SYNC_BYTES { head.store().sync().map(drop) } else { head.store().flush() }
    };
    inner.disk_watch.chunk_files(Some(inner.clock.monotonic()));
    let written = inner.scope.run_blocking(work).await;
    inner.disk_watch.chunk_files(None);
    if let Ok(Err(error)) = written {
        note_unwritten(inner, &error);
    }
}

fn note_unwritten(inner: &Inner, error: &io::Error) {
    inner.metrics.chunk_failures.inc();
    tracing::warn!(%error, "chunk files cannot be written, chunks wait in memory");
}

async fn keep_taking_snapshots(inner: Arc<Inner>) {
    let mut next = inner.clock.monotonic() + inner.config.snapshot_interval;
    while wait(&inner, SNAPSHOT_CHECK).await {
        let grown = inner.logged_bytes.load(Ordering::Relaxed) >= inner.config.snapshot_wal_size.bytes();
        if !grown && inner.clock.monotonic() < next {
            continue;
        }
        if let Err(error) = snapshot(&inner).await {
            tracing::warn!(%error, "a snapshot failed, the log is kept");
            if !wait(&inner, SNAPSHOT_RETRY).await {
                return;
            }
        } else {
            next = inner.clock.monotonic() + inner.config.snapshot_interval;
        }
    }
}

/// Takes a snapshot, and removes what it makes unnecessary.
pub(crate) async fn snapshot(inner: &Arc<Inner>) -> Result<(), SnapshotFailure> {
    // Held throughout: one snapshot at a time.
    let mut existing = inner.snapshots.lock().await;
    match take(inner).await {
        // With nothing logged since the last one, this one has taken its place, in the same file.
        Ok(segment) if existing.first() == Some(&segment) => {}
        Ok(segment) => existing.insert(0, segment),
        Err(error) => {
            inner.metrics.snapshot_failures.inc();
            return Err(error);
        }
    }
    prune(inner, &mut existing).await;
    Ok(())
}

/// Keeps two snapshots, and the log from the older one on: damage of the newer one loses nothing then. What cannot be
/// removed now is removed after the next snapshot.
async fn prune(inner: &Arc<Inner>, existing: &mut Vec<u32>) {
    let [_, kept, older @ ..] = existing.as_slice() else { return };
    let (kept, older) = (*kept, older.to_vec());
    if !older.is_empty() {
        let removing = inner.clone();
        let remove = move || {
            let dir = removing.dir.snapshots();
            older.iter().try_for_each(|segment| removing.fs.remove_file(&snapshot::path(&dir, *segment)))?;
            removing.fs.sync_dir(&dir)
        };
        let removed = inner.scope.run_blocking(remove).await;
        match removed.map_err(io::Error::other).flatten() {
            Ok(()) => existing.truncate(2),
            Err(error) => return tracing::warn!(%error, "old snapshots cannot be removed"),
        }
    }
    if let Err(error) = inner.log.truncate_before(Position { segment: kept, offset: 0 }).await {
        tracing::warn!(%error, "old segments of the write-ahead log cannot be removed");
    }
}

/// Why a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotFailure {
    #[error("the log has stopped: {0}")]
    Log(#[from] CommitError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Takes a snapshot and gives the segment of the log that its replay begins with.
async fn take(inner: &Arc<Inner>) -> Result<u32, SnapshotFailure> {
    let begun = inner.clock.monotonic();
    let position = inner.log.roll().await?;
    // What is applied between the roll and this is not counted as in the snapshot; a replay finds it to be a
    // repetition.
    inner.log.run_in_order(|applier| applier.head.next_epoch()).await?;
    let logged = inner.logged_bytes.load(Ordering::Relaxed);
    let forgettable = inner.forgettable_at_snapshot();
    let working = inner.clone();
    let work = move || {
        working.blocks.save_changed(&*working.fs, &working.head)?;
        write::take(&*working.fs, &working.dir.snapshots(), &working.head, position.segment)
    };
    let taken = inner.scope.run_blocking(work).await.map_err(io::Error::other)??;
    inner.note_snapshot(forgettable);
    inner.logged_bytes.fetch_sub(logged, Ordering::Relaxed);
    let took = inner.clock.monotonic() - begun;
    inner.metrics.snapshots.inc();
    inner.metrics.snapshot_seconds.observe(took.as_secs_f64());
    inner.metrics.snapshot_bytes.set(i64::try_from(taken.bytes).unwrap_or(i64::MAX));
    tracing::info!(
        series = taken.series,
        bytes = taken.bytes,
        seconds = took.as_secs_f64(),
        "snapshot taken"
    );
    Ok(position.segment)
}

/// Gives up buffers of idle series, releases series whose samples have all expired, and removes expired chunk files.
pub(crate) async fn expire(inner: &Arc<Inner>) {
    for tenant in inner.head.tenants() {
        let oldest_ms = inner.forget_before(&tenant);
        let idle_before = inner.clock.now_ms().saturating_sub(millis(inner.config.idle_timeout));
        let (working, looking) = (inner.clone(), tenant.clone());
        let hide = move || hide_expired(&working, &looking, oldest_ms, idle_before);
        let Ok(hidden) = inner.scope.run_blocking(hide).await else { return };
        if !hidden.is_empty() {
            release(inner, &tenant, hidden, oldest_ms).await;
        }
        let series = tenant.index.read().len();
        inner.metrics.series.of(tenant.id.as_str()).set(i64::try_from(series).unwrap_or(i64::MAX));
    }
    let (head, oldest_ms) = (inner.head.clone(), inner.forget_files_before());
    match inner.scope.run_blocking(move || head.store().drop_before(oldest_ms)).await {
        Ok(Ok(removed)) => drop(inner.metrics.chunk_files_removed.inc_by(removed as u64)),
        Ok(Err(error)) => tracing::warn!(%error, "expired chunk files cannot be removed"),
        Err(_) => {}
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Closes the chunks of idle series, and hides from requests those whose samples have all expired. Blocks.
fn hide_expired(inner: &Inner, tenant: &Tenant, oldest_ms: i64, idle_before_ms: i64) -> Vec<Arc<Series>> {
    let (store, epoch) = (inner.head.store(), inner.head.epoch());
    let mut expired = Vec::new();
    let mut takes_more = true;
    let mut page = Vec::new();
    let mut next = Some(0);
    while let Some(first) = next {
        page.clear();
        next = tenant.index.read().page_from(first, &mut page);
        for series in page.drain(..) {
            let mut state = series.state.lock();
            // A series that is being filled with old samples is not idle: it had some since the last snapshot.
            let is_quiet = state.applied.epoch != epoch;
            if takes_more && is_quiet && state.range.is_some_and(|range| range.end_ms() < idle_before_ms) {
                state.close(store);
            }
            // A series has no samples at all where they were refused, or where they are still on their way through the
            // log: then it is found to be revived.
            let is_expired = state.hull().is_none_or(|hull| hull.end_ms() < oldest_ms);
            drop(state);
            if is_expired {
                expired.push(series);
            }
        }
        // Series that end together are idle together: their chunks do not all wait in memory for the next flush. Those that the
        // disk does not take now stay open until the next time.
        if takes_more && store.buffered_bytes() >= SYNC_BYTES {
            takes_more = store.sync().inspect_err(|error| note_unwritten(inner, error)).is_ok();
        }
    }
    if !expired.is_empty() {
        let mut index = tenant.index.write();
        expired.iter().for_each(|series| index.hide(series));
    }
    expired
}

/// Releases hidden series, except those that a request had found before they were hidden: its record lies before this
/// in the log.
async fn release(inner: &Arc<Inner>, tenant: &Arc<Tenant>, hidden: Vec<Arc<Series>>, oldest_ms: i64) {
    let retained_ms = tenant.held.forget(inner.oldest_ms(), inner.clock.monotonic());
    let tenant = tenant.clone();
    let released = inner.log.run_in_order(move |_| {
        // Samples may have come since that no block has.
        let oldest_ms = oldest_ms.min(tenant.coverage.uncut_from()).max(retained_ms);
        let revived = |s: &Arc<Series>| s.state.lock().hull().is_some_and(|hull| hull.end_ms() >= oldest_ms);
        let (revived, expired): (Vec<_>, Vec<_>) = hidden.into_iter().partition(revived);
        let mut index = tenant.index.write();
        revived.iter().for_each(|series| index.show(series));
        index.remove(&expired);
        expired.len()
    });
    if let Ok(released) = released.await {
        inner.metrics.series_released.inc_by(released as u64);
    }
}
