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

/// When something was, by both clocks: the monotonic one may stand still while a machine is suspended, and the other one may be
/// set back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    monotonic: Duration,
    wall_ms: i64,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        Self { monotonic: clock.monotonic(), wall_ms: clock.now_ms() }
    }

    /// How long ago it was: what the one of the clocks says that has moved on by more.
    fn age(self, clock: &dyn Clock) -> Duration {
        let by_wall = clock.now_ms().saturating_sub(self.wall_ms);
        let by_wall = Duration::from_millis(u64::try_from(by_wall).unwrap_or(0));
        clock.monotonic().saturating_sub(self.monotonic).max(by_wall)
    }
}

/// What is known of one tenant's blocks.
struct Known {
    blocks: Vec<KnownBlock>,
    /// When the bucket said so.
    read_at: Moment,
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
    /// How long ago the bucket may have been asked when an ingester answers, so that whatever the ingester has forgotten is among
    /// the blocks: less than the two refreshes, since clocks differ a little.
    holds_for: Duration,
    clock: Arc<dyn Clock>,
    metrics: BlocksMetrics,
    tenants: Mutex<BTreeMap<TenantId, Arc<Tenant>>>,
}

/// A tenant's blocks as they were read.
pub(super) struct Listed {
    known: Arc<Known>,
    /// Whether the bucket has been asked just now.
    pub(super) is_new: bool,
}

impl Listed {
    /// The blocks that overlap a range, by name.
    pub(super) fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &KnownBlock> {
        self.known.blocks.iter().filter(move |block| block.range.overlaps(range))
    }

    /// The names of all that there are.
    pub(super) fn names(&self) -> Vec<Ulid> {
        self.known.blocks.iter().map(|block| block.id).collect()
    }

    /// Whether a block was there.
    pub(super) fn knows(&self, id: Ulid) -> bool {
        self.known.blocks.iter().any(|block| block.id == id)
    }

    /// When the bucket said so.
    pub(super) fn read_at(&self) -> Moment {
        self.known.read_at
    }
}

impl Catalog {
    pub(super) fn new(
        config: BlocksConfig,
        refresh: Duration,
        clock: Arc<dyn Clock>,
        metrics: BlocksMetrics,
    ) -> Self {
        let (max_age, holds_for) = (refresh + refresh / 2, 2 * refresh - refresh / 4);
        Self { config, refresh, max_age, holds_for, clock, metrics, tenants: Mutex::default() }
    }

    /// The blocks of a tenant.
    ///
    /// # Errors
    /// Where the bucket could not be asked for too long.
    pub(super) async fn blocks(&self, bucket: &TenantBucket) -> Result<Listed, Error> {
        let tenant = self.tenant(bucket.tenant());
        let (known, is_new) = self.known(&tenant, bucket, self.refresh).await?;
        Ok(Listed { known, is_new })
    }

    /// Whether what was read then has every block for sure whose samples an ingester may have forgotten by now.
    pub(super) fn holds(&self, read_at: Moment) -> bool {
        read_at.age(&*self.clock) <= self.holds_for
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
            known.filter(|known| known.read_at.age(&*self.clock) < age)
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
        let read_at = Moment::now(&*self.clock);
        let asked = self.ask(bucket, before.as_deref(), read_at);
        // For so long what is known can be used in place of an answer.
        let left = before.as_ref().map(|known| self.max_age.saturating_sub(known.read_at.age(&*self.clock)));
        let left = left.filter(|left| !left.is_zero());
        let outcome = match left {
            None => asked.await.map_err(|error| chain(&error)),
            Some(left) => tokio::select! {
                biased;
                outcome = asked => outcome.map_err(|error| chain(&error)),
                () = self.clock.sleep(left) => Err(format!("no answer within {} ms", left.as_millis())),
            },
        };
        let labels = OutcomeLabels { outcome: if outcome.is_ok() { "success" } else { "failure" } };
        self.metrics.refreshes.get_or_create(&labels).inc();
        match (outcome, before.filter(|known| left.is_some() && self.holds(known.read_at))) {
            (Ok(known), _) => {
                let known = Arc::new(known);
                *tenant.known.lock() = Some(Arc::clone(&known));
                Ok((self.not_too_old(known)?, true))
            }
            (Err(error), Some(known)) => {
                tracing::warn!(tenant = %bucket.tenant(), error, "the blocks of a tenant cannot be read anew");
                Ok((self.not_too_old(known)?, false))
            }
            (Err(error), None) => {
                self.metrics.failed("stale");
                let message = format!("what blocks there are cannot be read: {error}");
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
        read_at: Moment,
    ) -> Result<Known, TenantBucketError> {
        match bucket.index().await? {
            Some((index, _)) => Ok(self.of_index(&index, read_at)),
            None => self.list(bucket, before, read_at).await,
        }
    }

    fn of_index(&self, index: &BucketIndex, read_at: Moment) -> Known {
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
        read_at: Moment,
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
