//! Blocks: cut from the head, kept on this disk, shipped to the bucket, and forgotten here once everybody reads them there.
//!
//! The head keeps what a block has until the block's life on this disk has ended: then the bucket's index has had it for so
//! long that every reader knows it. So there is no moment in which a sample can be read from nowhere. Time before which
//! everything is in the bucket is forgotten as a whole; a sample that comes for it later opens its window again.

pub(crate) mod cut;
mod fit;
pub(crate) mod ledger;
mod ship;
pub(crate) mod tasks;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Bucket, TenantBucket, TenantBucketError};
use env::{FileSystem, Rng};
use model::{TenantId, TimeRange};
use parking_lot::Mutex;
use telemetry::LogRateLimit;
use ulid::Ulid;

use crate::config::IngesterConfig;
use crate::head::Head;
use crate::head::coverage::{NEVER, window_of};
use crate::head::tenant::Tenant;
use crate::maintenance::millis;
use crate::service::Inner;
use cut::{CutError, Cutting};
use ledger::{Ledger, Ledgers, LocalBlock, Stage};
use ship::{Listing, ShipError, Shipper};

/// How often the same failure is logged at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// An ingester's blocks.
pub(crate) struct Blocks {
    /// Where they go; without one none are cut.
    pub(crate) bucket: Option<Bucket>,
    pub(crate) ledgers: Ledgers,
    rng: Arc<dyn Rng>,
    /// One cut at a time, so that what cutting costs is bounded; and one upload.
    cutting: tokio::sync::Mutex<()>,
    shipping: tokio::sync::Mutex<()>,
    /// Wakes the task that ships.
    pub(crate) wake: tokio::sync::Notify,
    log: LogRateLimit<&'static str>,
    /// What could be forgotten when each of the last two snapshots was begun, the newer one first.
    forgettable: Mutex<[i64; 2]>,
}

impl Blocks {
    /// Reads what is known of blocks on the disk into the head, before the log is replayed.
    pub(crate) fn load(
        fs: &dyn FileSystem,
        folder: PathBuf,
        head: &Head,
        window: Duration,
    ) -> io::Result<Ledgers> {
        Ledgers::load(fs, folder, |tenant, saved| {
            head.tenant_or_new(tenant).coverage.restore(saved, millis(window));
        })
    }

    pub(crate) fn new(ledgers: Ledgers, bucket: Option<Bucket>, rng: Arc<dyn Rng>) -> Self {
        Self {
            bucket,
            ledgers,
            rng,
            cutting: tokio::sync::Mutex::default(),
            shipping: tokio::sync::Mutex::default(),
            wake: tokio::sync::Notify::new(),
            log: LogRateLimit::new(LOG_EVERY),
            forgettable: Mutex::new([NEVER; 2]),
        }
    }

    /// Saves what got late samples since the last time, so that a snapshot does not hide from a replay that they came.
    /// Blocks.
    pub(crate) fn save_changed(&self, fs: &dyn FileSystem, head: &Head) -> io::Result<()> {
        for tenant in head.tenants().iter().filter(|tenant| tenant.coverage.is_changed()) {
            self.ledgers.of(&tenant.id).save(fs, &tenant.coverage, None)?;
        }
        Ok(())
    }

    fn new_name(&self, now_ms: i64) -> Ulid {
        let random = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), random)
    }

    /// What a tenant has in the bucket; `None` where there is none, or it has no place for the tenant.
    fn of_tenant(&self, tenant: &TenantId) -> Option<TenantBucket> {
        TenantBucket::new(self.bucket.as_ref()?, tenant)
    }
}

impl Inner {
    /// What of a tenant need not be kept: the retention has passed, or it is in the bucket for good. From now on no selection covers
    /// blocks of that time.
    pub(crate) fn forget_before(&self, tenant: &Tenant) -> i64 {
        let oldest_ms = self.oldest_ms();
        if self.blocks.of_tenant(&tenant.id).is_none() {
            return oldest_ms;
        }
        // Whole windows: as long as one is here, queriers need not read its blocks.
        let keep_ms = self.clock.now_ms().saturating_sub(millis(self.config.block_keep));
        let keep_ms = window_of(keep_ms, self.window_ms());
        // In this order: what has been cut by now, the ledger has.
        let uncut = tenant.coverage.uncut_from();
        let unlisted = self.blocks.ledgers.find(&tenant.id).map_or(i64::MAX, |ledger| ledger.unlisted_from());
        let forgettable_ms = uncut.min(unlisted).min(keep_ms).max(oldest_ms);
        tenant.held.forget(forgettable_ms, self.clock.monotonic())
    }

    /// What of all tenants' chunk files need not be kept. A replay from an older snapshot must find what was there when it
    /// was taken, so what has become forgettable since then is kept.
    pub(crate) fn forget_files_before(&self) -> i64 {
        let oldest_ms = self.oldest_ms();
        let [_, then] = *self.blocks.forgettable.lock();
        let before_ms = self.forgettable_now().min(then).max(oldest_ms);
        let now = self.clock.monotonic();
        let allowed = self.head.tenants().into_iter().map(|tenant| tenant.held.forget(before_ms, now));
        allowed.min().unwrap_or(before_ms)
    }

    fn forgettable_now(&self) -> i64 {
        let tenants = self.head.tenants();
        let all = tenants.iter().map(|tenant| self.forget_before(tenant));
        all.min().unwrap_or(i64::MAX)
    }

    /// A snapshot was taken, which was begun when this could be forgotten.
    pub(crate) fn note_snapshot(&self, forgettable: i64) {
        let mut noted = self.blocks.forgettable.lock();
        *noted = [forgettable, noted[0]];
    }

    /// For [`Inner::note_snapshot`], at the beginning of one.
    pub(crate) fn forgettable_at_snapshot(&self) -> i64 {
        self.forgettable_now()
    }

    fn window_ms(&self) -> i64 {
        millis(self.config.block_range)
    }

    /// The tenants that are to have blocks.
    fn cut_tenants(&self) -> Vec<Arc<Tenant>> {
        let has_place = |tenant: &Arc<Tenant>| self.blocks.of_tenant(&tenant.id).is_some();
        self.head.tenants().into_iter().filter(has_place).collect()
    }

    /// Cuts all windows of a tenant that end at or before `edge_ms` and have not been cut, and those that have been open for
    /// long enough.
    pub(crate) async fn cut_due(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        edge_ms: i64,
        open_before_ms: i64,
    ) -> Result<(), CutError> {
        let length = self.window_ms();
        let oldest_ms = self.oldest_ms();
        tenant.coverage.expire(oldest_ms);
        let now_ms = self.clock.now_ms();
        for start in tenant.coverage.to_cut_again(now_ms, open_before_ms) {
            self.cut_window(tenant, start, length).await?;
        }
        let before = tenant.coverage.cut_before();
        if before.saturating_add(length) > edge_ms || tenant.index.read().len() == 0 {
            return Ok(());
        }
        let mut start = before;
        if before == NEVER || before.saturating_add(2 * length) <= edge_ms {
            // Whoever was away for long has no samples in most of these windows.
            let Some(earliest) = self.earliest(tenant).await? else { return Ok(()) };
            start = before.max(window_of(earliest.max(oldest_ms), length));
        }
        while start.saturating_add(length) <= edge_ms {
            self.cut_window(tenant, start, length).await?;
            start = start.saturating_add(length);
        }
        Ok(())
    }

    /// The earliest sample of a tenant.
    async fn earliest(&self, tenant: &Arc<Tenant>) -> Result<Option<i64>, CutError> {
        let tenant = tenant.clone();
        let find = move || {
            let (mut page, mut next, mut earliest) = (Vec::new(), Some(0), None::<i64>);
            while let Some(first) = next {
                next = tenant.index.read().page_from(first, &mut page);
                let starts = page.drain(..).filter_map(|series| series.state.lock().hull());
                earliest = starts.map(TimeRange::start_ms).chain(earliest).min();
            }
            earliest
        };
        self.scope
            .run_blocking(find)
            .await
            .map_err(|error| CutError::Interrupted { reason: error.to_string() })
    }

    /// Cuts one window, whether it has been cut before or not.
    async fn cut_window(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        start: i64,
        length: i64,
    ) -> Result<(), CutError> {
        let _one = self.blocks.cutting.lock().await;
        let beginning = tenant.clone();
        // In log order: what was stored before this is in the block, what comes behind it opens the window again.
        let begun = self.log.run_in_order(move |_| beginning.coverage.begin(start, length)).await;
        begun.map_err(|error| CutError::Interrupted { reason: error.to_string() })?;
        let Some(range) = TimeRange::new(start, start.saturating_add(length - 1)) else { return Ok(()) };
        match self.write_blocks(tenant, range, false).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tenant.coverage.failed(start);
                self.metrics.block_cut_failures.inc();
                Err(error)
            }
        }
    }

    /// Cuts what has not been cut, up to the newest sample. Its windows are cut again once they have ended.
    async fn cut_rest(self: &Arc<Self>, tenant: &Arc<Tenant>) -> Result<(), CutError> {
        let _one = self.blocks.cutting.lock().await;
        let begin = window_of(self.clock.now_ms(), self.window_ms()).max(tenant.coverage.cut_before());
        match TimeRange::new(begin, i64::MAX) {
            Some(range) => self.write_blocks(tenant, range, true).await,
            None => Ok(()),
        }
    }

    /// Writes blocks of a range, and takes them into the ledger.
    async fn write_blocks(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        range: TimeRange,
        is_partial: bool,
    ) -> Result<(), CutError> {
        let now_ms = self.clock.now_ms();
        let ledger = self.blocks.ledgers.of(&tenant.id);
        let cutting = Cutting {
            fs: self.fs.clone(),
            head: self.head.clone(),
            tenant: tenant.clone(),
            ledger: ledger.clone(),
            range,
            is_partial,
            names: [self.blocks.new_name(now_ms), self.blocks.new_name(now_ms)],
        };
        let jitter = self.blocks.rng.below(millis(self.config.block_upload_jitter).unsigned_abs());
        let not_before_ms = now_ms.saturating_add(i64::try_from(jitter).unwrap_or(0));
        let (fs, tenant) = (self.fs.clone(), tenant.clone());
        let work = move || {
            let blocks = cutting.run()?;
            let written = blocks.len();
            let cut: Vec<_> =
                blocks.iter().map(|block| (block.ulid, block.min_time, block.max_time)).collect();
            ledger.change(|known| {
                known.extend(blocks.into_iter().map(|block| LocalBlock { not_before_ms, ..block }));
            });
            let done = (!is_partial).then(|| range.start_ms());
            // Windows without samples are found to have none again after a restart.
            if written > 0
                && let Err(error) = ledger.save(&*fs, &tenant.coverage, done)
            {
                // Nobody would know these after a restart. The samples are cut again.
                let is_new = |block: &LocalBlock| cut.iter().any(|(name, ..)| *name == block.ulid);
                ledger.change(|known| known.retain(|block| !is_new(block)));
                for (name, ..) in &cut {
                    let _ = fs.remove_dir_all(&ledger.folder_of(*name));
                }
                return Err(CutError::Ledger(error));
            }
            cut.into_iter().for_each(|(name, min_time, max_time)| tenant.held.add(name, min_time, max_time));
            done.into_iter().for_each(|start| tenant.coverage.done(start));
            Ok(written)
        };
        let cut = self.scope.run_blocking(work).await;
        let written = cut.map_err(|error| CutError::Interrupted { reason: error.to_string() })??;
        self.metrics.blocks_cut.inc_by(written as u64);
        self.blocks.wake.notify_one();
        Ok(())
    }

    /// Brings the blocks of a tenant as far as they come now: up, into the index, and off this disk.
    pub(crate) async fn ship_tenant(
        self: &Arc<Self>,
        tenant: &TenantId,
        ledger: &Ledger,
        at_once: bool,
    ) -> Result<(), ShipError> {
        let Some(bucket) = self.blocks.of_tenant(tenant) else { return Ok(()) };
        let _one = self.blocks.shipping.lock().await;
        let shipper = Shipper { fs: &self.fs, scope: &self.scope, ledger, bucket: &bucket };
        for block in ledger.blocks() {
            if block.stage == Stage::Cut && (at_once || block.not_before_ms <= self.clock.now_ms()) {
                match shipper.upload(block.ulid).await {
                    Ok(()) => self.advance(tenant, ledger, block.ulid, Stage::Uploaded).await?,
                    Err(error @ ShipError::Damaged { .. }) => {
                        self.give_up(tenant, ledger, &block).await?;
                        return Err(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        for block in ledger.blocks().iter().filter(|block| block.stage == Stage::Uploaded) {
            if shipper.list(block, self.clock.now_ms()).await? == Listing::Gone {
                tracing::warn!(
                    tenant = tenant.as_str(),
                    block = %block.ulid,
                    "a block that was uploaded is gone from the bucket before its index had it, it is uploaded again"
                );
                self.advance(tenant, ledger, block.ulid, Stage::Cut).await?;
                continue;
            }
            let listed = Stage::Listed { since_ms: self.clock.now_ms() };
            self.advance(tenant, ledger, block.ulid, listed).await?;
            self.metrics.blocks_shipped.inc();
            tracing::info!(
                tenant = tenant.as_str(),
                block = %block.ulid,
                min_time = block.min_time,
                max_time = block.max_time,
                "block shipped"
            );
        }
        self.end_lives(tenant, ledger, &shipper, &bucket).await
    }

    /// Removes blocks that every reader finds in the bucket.
    async fn end_lives(
        self: &Arc<Self>,
        tenant: &TenantId,
        ledger: &Ledger,
        shipper: &Shipper<'_>,
        bucket: &TenantBucket,
    ) -> Result<(), ShipError> {
        // Two refreshes: the one that a reader may have begun just before, and the next.
        let visible_ms = millis(bucket.bucket().config().index_refresh).saturating_mul(2);
        let now_ms = self.clock.now_ms();
        let mut over = ledger.blocks();
        over.retain(|block| {
            matches!(block.stage, Stage::Listed { since_ms } if now_ms.saturating_sub(since_ms) >= visible_ms)
        });
        if over.is_empty() {
            return Ok(());
        }
        let index = match bucket.index().await {
            Ok(found) => found.map(|(index, _)| index).unwrap_or_default(),
            Err(TenantBucketError::Malformed { .. }) => bucket.rebuild_index().await?,
            Err(error) => return Err(error.into()),
        };
        for block in over {
            if !shipper.is_listed(&block, &index).await? {
                // Somebody took it out of the index, or made that anew while it was not there. It is uploaded and listed
                // again: what is right in the bucket is found to be so.
                tracing::warn!(tenant = tenant.as_str(), block = %block.ulid, "a block was lost from the bucket's index");
                self.advance(tenant, ledger, block.ulid, Stage::Cut).await?;
                continue;
            }
            self.drop_block(tenant, ledger, block.ulid).await?;
        }
        Ok(())
    }

    /// Notes how far a block has come.
    async fn advance(
        &self,
        tenant: &TenantId,
        ledger: &Ledger,
        block: Ulid,
        stage: Stage,
    ) -> Result<(), ShipError> {
        let before = ledger.blocks();
        ledger.change(|known| {
            known.iter_mut().filter(|known| known.ulid == block).for_each(|known| known.stage = stage);
        });
        let saved = self.save(tenant, block).await;
        if saved.is_err() {
            let stage = before.iter().find(|known| known.ulid == block).map(|known| known.stage);
            ledger.change(|known| {
                let found = known.iter_mut().find(|known| known.ulid == block);
                found.into_iter().zip(stage).for_each(|(known, stage)| known.stage = stage);
            });
        }
        saved
    }

    /// Takes a block off this disk.
    async fn drop_block(&self, tenant: &TenantId, ledger: &Ledger, block: Ulid) -> Result<(), ShipError> {
        let before = ledger.blocks();
        ledger.change(|known| known.retain(|known| known.ulid != block));
        if let Err(error) = self.save(tenant, block).await {
            ledger.change(|known| known.extend(before.into_iter().filter(|known| known.ulid == block)));
            return Err(error);
        }
        let (fs, folder) = (self.fs.clone(), ledger.folder_of(block));
        // What cannot be removed now is a leftover, which the next start removes.
        let removed = self.scope.run_blocking(move || fs.remove_dir_all(&folder)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%block, %error, "a block that has been shipped cannot be removed from the disk");
        }
        Ok(())
    }

    /// A block that the disk has damaged: the head has its samples still, and they are cut again.
    async fn give_up(&self, tenant: &TenantId, ledger: &Ledger, block: &LocalBlock) -> Result<(), ShipError> {
        if let Some(head) = self.head.tenant(tenant) {
            head.coverage.failed(window_of(block.min_time, self.window_ms()));
        }
        self.drop_block(tenant, ledger, block.ulid).await
    }

    async fn save(&self, tenant: &TenantId, block: Ulid) -> Result<(), ShipError> {
        let (fs, ledger) = (self.fs.clone(), self.blocks.ledgers.of(tenant));
        let tenant = self.head.tenant_or_new(tenant);
        let saved = self.scope.run_blocking(move || ledger.save(&*fs, &tenant.coverage, None)).await;
        let saved = saved.map_err(|error| ShipError::Interrupted { reason: error.to_string() })?;
        saved.map_err(|source| ShipError::Local { block, source })
    }
}

/// Where a tenant's windows end that are to be cut at a time.
pub(crate) fn edge(now_ms: i64, config: &IngesterConfig) -> i64 {
    let delay = config.block_delay.unwrap_or(config.block_range / 2);
    window_of(now_ms.saturating_sub(millis(delay)), millis(config.block_range))
}
