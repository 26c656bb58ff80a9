//! What blocks tenants have: read from the bucket when it is asked for, at an interval, and never believed for long.
//!
//! Where a tenant has a bucket index, it says what there is. Where there is none, as in buckets of Thanos or with blocks that
//! were copied there, the bucket is listed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use block::Meta;
use bucket::{BucketIndex, DeletionMark, TenantBucket, TenantBucketError};
use env::Clock;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::{TenantId, TimeRange};
use parking_lot::Mutex;
use proto::Error;
use ulid::Ulid;

use super::config::BlocksConfig;
use super::metrics::{BlocksMetrics, OutcomeLabels};
use crate::service::whole_ms;

/// When to come back after the bucket could not be asked for too long.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How many `meta.json` are read at a time where there is no index.
const PARALLEL_METAS: usize = 16;

/// What is known of tenants that nobody has asked about for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);

/// A block that a tenant has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownBlock {
    pub(super) id: Ulid,
    /// The times that may be in it.
    pub(super) range: TimeRange,
}

/// What is known of one tenant's blocks.
struct Known {
    blocks: Vec<KnownBlock>,
    /// When the bucket said so, of the monotonic clock.
    read_at: Duration,
    /// When the index was written, in seconds since the Unix epoch; `None` where there is none.
    written_at: Option<i64>,
    /// `meta.json` of blocks, where the bucket was listed: they do not change.
    metas: BTreeMap<Ulid, Arc<Meta>>,
}

/// One tenant.
#[derive(Default)]
struct Tenant {
    /// Held while the bucket is asked, so that one asks for all.
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Option<Arc<Known>>>,
    /// Whether something that is known has turned out to be otherwise.
    doubted: AtomicBool,
    used_at: Mutex<Duration>,
}

/// What blocks tenants have.
pub(super) struct Catalog {
    config: BlocksConfig,
    /// How old what is known may become before the bucket is asked again.
    refresh: Duration,
    /// How old it may be at most: ingesters keep a block for two refreshes after it is in the index, and what is asked of
    /// them takes a moment.
    max_age: Duration,
    clock: Arc<dyn Clock>,
    metrics: BlocksMetrics,
    tenants: Mutex<BTreeMap<TenantId, Arc<Tenant>>>,
}

/// A tenant's blocks as they were read, and those that are gone since the time before.
pub(super) struct Listed {
    /// All blocks that overlap the range, by name.
    pub(super) blocks: Vec<KnownBlock>,
    /// All that there are, where the bucket has been asked just now.
    pub(super) refreshed: Option<Vec<Ulid>>,
}

impl Catalog {
    pub(super) fn new(
        config: BlocksConfig,
        refresh: Duration,
        clock: Arc<dyn Clock>,
        metrics: BlocksMetrics,
    ) -> Self {
        Self { config, refresh, max_age: refresh + refresh / 2, clock, metrics, tenants: Mutex::default() }
    }

    /// The blocks of a tenant that may have samples in `range`.
    ///
    /// # Errors
    /// Where the bucket could not be asked for too long.
    pub(super) async fn blocks(&self, bucket: &TenantBucket, range: TimeRange) -> Result<Listed, Error> {
        let tenant = self.tenant(bucket.tenant());
        let (known, refreshed) = self.known(&tenant, bucket, self.refresh).await?;
        let overlapping = known.blocks.iter().filter(|block| block.range.overlaps(range));
        let blocks = overlapping.cloned().collect();
        let refreshed = refreshed.then(|| known.blocks.iter().map(|block| block.id).collect());
        Ok(Listed { blocks, refreshed })
    }

    /// Makes the next call ask the bucket: something that it said is not so any more.
    pub(super) fn doubt(&self, tenant: &TenantId) {
        let tenant = self.tenant(tenant);
        tenant.doubted.store(true, Ordering::Relaxed);
    }

    fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        let now = self.clock.monotonic();
        let mut tenants = self.tenants.lock();
        if !tenants.contains_key(id) {
            tenants.retain(|_, tenant| now.saturating_sub(*tenant.used_at.lock()) < FORGET_AFTER);
        }
        let tenant = tenants.entry(id.clone()).or_default();
        *tenant.used_at.lock() = now;
        Arc::clone(tenant)
    }

    /// What is known, at most `age` old if the bucket can be asked; and whether it has been asked by this call.
    async fn known(
        &self,
        tenant: &Tenant,
        bucket: &TenantBucket,
        age: Duration,
    ) -> Result<(Arc<Known>, bool), Error> {
        let fresh = || {
            let known = tenant.known.lock().clone().filter(|_| !tenant.doubted.load(Ordering::Relaxed));
            known.filter(|known| self.clock.monotonic().saturating_sub(known.read_at) < age)
        };
        if let Some(known) = fresh() {
            return Ok((self.not_too_old(known)?, false));
        }
        let _asking = tenant.asking.lock().await;
        if let Some(known) = fresh() {
            return Ok((self.not_too_old(known)?, false));
        }
        let before = tenant.known.lock().clone();
        tenant.doubted.store(false, Ordering::Relaxed);
        // What is read now is at least as new as this.
        let read_at = self.clock.monotonic();
        let outcome = self.ask(bucket, before.as_deref(), read_at).await;
        let labels = OutcomeLabels { outcome: if outcome.is_ok() { "success" } else { "failure" } };
        self.metrics.refreshes.get_or_create(&labels).inc();
        match (outcome, before) {
            (Ok(known), _) => {
                let known = Arc::new(known);
                *tenant.known.lock() = Some(Arc::clone(&known));
                Ok((self.not_too_old(known)?, true))
            }
            (Err(error), Some(known)) if read_at.saturating_sub(known.read_at) <= self.max_age => {
                let tenant = bucket.tenant();
                tracing::warn!(%tenant, error = %chain(&error), "the blocks of a tenant cannot be read anew");
                Ok((self.not_too_old(known)?, false))
            }
            (Err(error), _) => {
                self.metrics.failed("stale");
                let message = format!("what blocks there are cannot be read: {}", chain(&error));
                Err(Error::unavailable(message, RETRY_AFTER))
            }
        }
    }

    fn not_too_old(&self, known: Arc<Known>) -> Result<Arc<Known>, Error> {
        let most = whole_ms(self.config.max_index_age) / 1000;
        let Some(written_at) = known.written_at.filter(|_| most > 0) else { return Ok(known) };
        let age = self.clock.now_ms() / 1000 - written_at;
        if age <= most {
            return Ok(known);
        }
        self.metrics.failed("stale");
        let message = format!(
            "the bucket index was written {age} seconds ago, more than blocks.max_index_age, {most} seconds: whoever \
             writes it does not"
        );
        Err(Error::unavailable(message, RETRY_AFTER))
    }

    async fn ask(
        &self,
        bucket: &TenantBucket,
        before: Option<&Known>,
        read_at: Duration,
    ) -> Result<Known, TenantBucketError> {
        match bucket.index().await? {
            Some((index, _)) => Ok(self.of_index(&index, read_at)),
            None => self.list(bucket, before, read_at).await,
        }
    }

    fn of_index(&self, index: &BucketIndex, read_at: Duration) -> Known {
        let marks = index.block_deletion_marks.iter().map(|mark| (mark.id, mark.deletion_time));
        let ignored = self.ignored(marks);
        let blocks = index.blocks.iter().filter(|block| !ignored.contains(&block.id));
        let known = blocks.filter_map(|block| known(block.id, block.min_time, block.max_time)).collect();
        Known { blocks: known, read_at, written_at: Some(index.updated_at), metas: BTreeMap::new() }
    }

    async fn list(
        &self,
        bucket: &TenantBucket,
        before: Option<&Known>,
        read_at: Duration,
    ) -> Result<Known, TenantBucketError> {
        let ids = bucket.blocks().await?;
        let marks: Vec<DeletionMark> = bucket.deletion_marks().await?;
        let ignored = self.ignored(marks.iter().map(|mark| (mark.id, mark.deletion_time)));
        let metas = ids.into_iter().filter(|id| !ignored.contains(id)).map(|id| {
            let known = before.and_then(|before| before.metas.get(&id)).cloned();
            async move {
                match known {
                    Some(meta) => Ok(Some((id, meta))),
                    None => match bucket.meta(id).await {
                        Ok(meta) => Ok(Some((id, Arc::new(meta)))),
                        // It is being uploaded, or deleted.
                        Err(error) if error.is_not_found() => Ok(None),
                        Err(error) => Err(error),
                    },
                }
            }
        });
        let metas: Vec<_> =
            stream::iter(metas.collect::<Vec<_>>()).buffered(PARALLEL_METAS).try_collect().await?;
        let metas: BTreeMap<Ulid, Arc<Meta>> = metas.into_iter().flatten().collect();
        let blocks = metas.iter().filter_map(|(id, meta)| known(*id, meta.min_time, meta.max_time)).collect();
        Ok(Known { blocks, read_at, written_at: None, metas })
    }

    /// Blocks that have been marked for so long that nobody reads them any more.
    fn ignored(&self, marks: impl Iterator<Item = (Ulid, i64)>) -> Vec<Ulid> {
        let since = (self.clock.now_ms() - whole_ms(self.config.read_marked_for)).div_euclid(1000);
        marks.filter(|(_, marked_at)| *marked_at < since).map(|(id, _)| id).collect()
    }
}

/// A block of these times; `None` where nothing can be in it.
fn known(id: Ulid, min_time: i64, max_time: i64) -> Option<KnownBlock> {
    // Some say the last time, some the one behind it: one that is too late does no harm.
    Some(KnownBlock { id, range: TimeRange::new(min_time, max_time)? })
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
