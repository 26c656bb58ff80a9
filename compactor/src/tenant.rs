//! One look at a tenant's blocks: what is to be done with them, and doing it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bucket::{BucketIndex, NoCompactMark, TenantBucket};
use compact::{Job, Plan, Rules, plan};
use futures::stream::{self, StreamExt as _};
use model::TenantId;
use ulid::Ulid;

use crate::catalog::{Blocks, Catalog};
use crate::clean;
use crate::config::{CompactorConfig, CompactorLimits, whole_ms};
use crate::error::CompactError;
use crate::job::Done;
use crate::service::Inner;
use crate::status::{JobStatus, TenantStatus};
use crate::tenant_deletion;

/// How often plans are made in one look, each after the jobs of the one before: a window of each step of the ladder becomes
/// one of the next.
const MAX_ROUNDS: usize = 16;

/// The longest time that a job which fails is left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 60 * 60);

/// What a word in the index says of a block that was found to be broken.
const BROKEN: &str = "broken";

/// What one look at a tenant has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// Blocks that were merged into others.
    pub merged: Vec<Ulid>,
    /// Blocks that were written.
    pub written: Vec<Ulid>,
    /// Blocks that were marked since they are too old, or contained in others.
    pub dropped: Vec<Ulid>,
    /// Blocks that were set aside.
    pub set_aside: Vec<Ulid>,
    /// How many jobs failed.
    pub failed_jobs: usize,
}

/// A job that has failed.
#[derive(Debug, Clone)]
struct Failed {
    times: u32,
    again_at: Duration,
    why: String,
}

/// What is remembered of a tenant between looks.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    catalog: Catalog,
    listed_at: Option<Duration>,
    failed: BTreeMap<String, Failed>,
}

/// A look at a tenant.
pub(crate) struct Look<'a> {
    pub(crate) inner: &'a Arc<Inner>,
    pub(crate) bucket: TenantBucket,
    pub(crate) tenant: &'a mut Tenant,
}

impl Tenant {
    /// Makes the next look list the tenant's folders.
    pub(crate) fn doubt(&mut self) {
        self.listed_at = None;
    }
}

impl Look<'_> {
    /// What would be done now, without doing anything.
    pub(crate) async fn plan(self) -> Result<TenantStatus, CompactError> {
        let Some((index, _)) = self.bucket.index().await? else { return Ok(TenantStatus::default()) };
        let Blocks { blocks, broken } = self.tenant.catalog.blocks(&self.bucket, &index).await?;
        let plan = plan(&blocks, &self.rules()?, self.inner.deps.clock.now_ms());
        let mut status = self.status(&index, &blocks, &plan);
        status.excluded.extend(broken.into_iter().map(|(id, why)| (id.to_string(), why)));
        Ok(status)
    }

    /// Looks, and does what is to be done. What fails for one block or job keeps nothing else from being done.
    pub(crate) async fn run(mut self) -> Result<Looked, CompactError> {
        if self.is_listing_due()
            && let Some(mark) = self.bucket.tenant_mark().await?
        {
            let now_s = self.now_s();
            let forget = now_s - whole_ms(self.config().deletion_delay) / 1000;
            tenant_deletion::go_on(&self.bucket, mark, now_s, forget).await?;
            *self.tenant = Tenant::default();
            return Ok(Looked::default());
        }
        let mut looked = Looked::default();
        let mut index = self.index().await?;
        for _ in 0..MAX_ROUNDS {
            let Blocks { blocks, broken } = self.tenant.catalog.blocks(&self.bucket, &index).await?;
            if !broken.is_empty() {
                for (id, why) in &broken {
                    if !self.is_forgotten(*id, &blocks).await? {
                        self.set_aside(*id, why, &mut looked).await?;
                    }
                }
                index = self.read_index().await?;
                continue;
            }
            let plan = plan(&blocks, &self.rules()?, self.inner.deps.clock.now_ms());
            self.show(&index, &blocks, &plan);
            let dropped = self.drop_blocks(&plan, &mut looked).await?;
            let jobs = self.due(plan.jobs);
            let ran = self.run_jobs(&jobs, &mut looked).await;
            index = self.read_index().await?;
            if dropped == 0 && ran == 0 {
                break;
            }
        }
        let before_s = self.now_s() - whole_ms(self.config().deletion_delay) / 1000;
        let index = clean::delete_marked(&self.bucket, index, before_s, &self.inner.metrics).await?;
        self.count(&index);
        Ok(looked)
    }

    fn config(&self) -> &CompactorConfig {
        &self.inner.config
    }

    fn limits(&self) -> Arc<CompactorLimits> {
        self.inner.deps.limits.of(self.bucket.tenant())
    }

    fn now_s(&self) -> i64 {
        self.inner.deps.clock.now_ms().div_euclid(1000)
    }

    fn id(&self) -> &TenantId {
        self.bucket.tenant()
    }

    /// Whether it is time to look for what the index does not say.
    fn is_listing_due(&self) -> bool {
        let (now, interval) = (self.inner.deps.clock.monotonic(), self.config().list_interval);
        self.tenant.listed_at.is_none_or(|at| now.saturating_sub(at) >= interval)
    }

    /// The index; from time to time after the folders have been listed.
    async fn index(&mut self) -> Result<BucketIndex, CompactError> {
        let index = self.read_index().await?;
        let now = self.inner.deps.clock.monotonic();
        if !self.is_listing_due() {
            return Ok(index);
        }
        let partial_before = self.inner.deps.clock.now_ms() - whole_ms(self.config().partial_after);
        let (index, found) = clean::list(&self.bucket, index, partial_before).await?;
        self.inner.metrics.adopted.inc_by(found.blocks as u64);
        self.inner.metrics.partial.inc_by(found.partial as u64);
        if found != clean::Found::default() {
            let (blocks, partial) = (found.blocks, found.partial);
            tracing::info!(tenant = %self.id(), blocks, partial, "folders of a tenant held what its index did not have");
        }
        self.tenant.listed_at = Some(now);
        Ok(index)
    }

    /// The index as it is; where there is none yet, one is made from what is there.
    async fn read_index(&self) -> Result<BucketIndex, CompactError> {
        match self.bucket.index().await {
            Ok(Some((index, _))) => Ok(index),
            // Who has no blocks needs none.
            Ok(None) if self.bucket.blocks().await?.is_empty() => Ok(BucketIndex::new()),
            Ok(None) | Err(bucket::TenantBucketError::Malformed { .. }) => {
                Ok(self.bucket.update_index(|_| true).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn rules(&self) -> Result<Rules, CompactError> {
        let (config, limits) = (self.config(), self.limits());
        let retention = limits.compactor_blocks_retention_period;
        let ladder = config.ladder().map_err(|reason| CompactError::Interrupted { reason })?;
        Ok(Rules {
            ladder,
            wait_ms: whole_ms(config.wait),
            settle_ms: whole_ms(config.settle),
            retention_ms: (!retention.is_zero()).then(|| whole_ms(retention)),
            max_series: limits.compactor_max_block_series,
            max_bytes: config.max_block_size.bytes(),
            replicas: self.inner.deps.replicas,
        })
    }

    /// Marks blocks that are too old, and those that are contained in others once these have been read. How many.
    async fn drop_blocks(&mut self, plan: &Plan, looked: &mut Looked) -> Result<usize, CompactError> {
        let mut dropped = 0;
        if !plan.expired.is_empty() {
            dropped += self.mark(&plan.expired, &[], "retention", "older than the retention", looked).await?;
        }
        for contained in &plan.contained {
            let mut is_sound = true;
            for by in &contained.by {
                if let Err(error) = self.inner.workshop.check(&self.bucket, *by).await {
                    is_sound = false;
                    self.blame(&error, looked).await?;
                }
            }
            if is_sound {
                let details = "its samples are in a later block";
                dropped +=
                    self.mark(&[contained.block], &contained.by, "compaction", details, looked).await?;
            }
        }
        Ok(dropped)
    }

    /// Takes a block out of the index that has no objects, if others have what it had: whoever uploads a block and puts it into the
    /// index much later may come when it has been found, merged and deleted. Whether it was so.
    async fn is_forgotten(&mut self, id: Ulid, blocks: &[compact::Block]) -> Result<bool, CompactError> {
        let holders: Vec<&compact::Block> =
            blocks.iter().filter(|block| block.sources.contains(&id)).collect();
        // Every part of the series has to be in one of them.
        let count = holders.iter().map(|block| block.shard.count()).max().unwrap_or(1);
        let has = |part: compact::Shard| holders.iter().any(|block| block.shard.covers(part));
        if !compact::Shard::all(count).all(has) || !self.bucket.files(id).await?.is_empty() {
            return Ok(false);
        }
        let holders: Vec<Ulid> = holders.iter().map(|block| block.id).collect();
        let mut is_gone = false;
        let changed = self.bucket.update_index(|index| {
            is_gone = index.block(id).is_some() && holders.iter().all(|holder| index.is_live(*holder));
            if is_gone {
                index.remove(id);
            }
            is_gone
        });
        changed.await?;
        if is_gone {
            tracing::warn!(tenant = %self.id(), block = %id, "a block was put into the index after it had been merged and deleted; it is out of it again");
            self.tenant.catalog.forget(id);
        }
        Ok(is_gone)
    }

    /// Marks blocks, as long as those `by` which they are replaced are there and not marked themselves.
    async fn mark(
        &mut self,
        ids: &[Ulid],
        by: &[Ulid],
        reason: &'static str,
        details: &str,
        looked: &mut Looked,
    ) -> Result<usize, CompactError> {
        let now_s = self.now_s();
        let mut marked = Vec::new();
        let changed = self.bucket.update_index(|index| {
            let is_replaced = by.iter().all(|id| index.is_live(*id));
            marked = ids.iter().copied().filter(|id| is_replaced && index.is_live(*id)).collect();
            for id in &marked {
                index.mark(*id, now_s);
            }
            !marked.is_empty()
        });
        changed.await?;
        if marked.is_empty() {
            return Ok(0);
        }
        clean::write_marks(&self.bucket, &marked, now_s, details).await?;
        self.inner.metrics.marked(reason, marked.len());
        tracing::info!(tenant = %self.id(), blocks = marked.len(), reason, "blocks are marked to be deleted");
        looked.dropped.extend(&marked);
        Ok(marked.len())
    }

    /// The jobs that are not to be left alone since they failed lately.
    fn due(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let now = self.inner.deps.clock.monotonic();
        let names: Vec<String> = jobs.iter().map(Job::name).collect();
        self.tenant.failed.retain(|name, _| names.contains(name));
        let waits =
            |job: &Job| self.tenant.failed.get(&job.name()).is_some_and(|failed| failed.again_at > now);
        jobs.into_iter().filter(|job| !waits(job)).collect()
    }

    /// Runs jobs, some at a time; how many were done.
    async fn run_jobs(&mut self, jobs: &[Job], looked: &mut Looked) -> usize {
        let (inner, bucket) = (self.inner, self.bucket.clone());
        let own = &bucket;
        let runs = jobs.iter().map(|job| async move { (job, inner.run_job(own, job).await) });
        let runs: Vec<_> = runs.collect();
        let outcomes: Vec<_> = stream::iter(runs).buffer_unordered(inner.config.concurrency).collect().await;
        let mut done = 0;
        for (job, outcome) in outcomes {
            match outcome {
                Ok(None) => {}
                Ok(Some(Done { outputs, .. })) => {
                    done += 1;
                    looked.merged.extend(&job.inputs);
                    looked.written.extend(outputs);
                    let marks =
                        clean::write_marks(&bucket, &job.inputs, self.now_s(), "merged into a later block");
                    if let Err(error) = marks.await {
                        // The index has them marked; these are for others.
                        tracing::warn!(tenant = %bucket.tenant(), %error, "marks beside blocks could not be written");
                    }
                }
                Err(error) => {
                    looked.failed_jobs += 1;
                    self.job_failed(job, &error);
                    if let Err(error) = self.blame(&error, looked).await {
                        tracing::warn!(tenant = %bucket.tenant(), %error, "a broken block could not be set aside");
                    }
                }
            }
        }
        done
    }

    fn job_failed(&mut self, job: &Job, error: &CompactError) {
        let now = self.inner.deps.clock.monotonic();
        let times = self.tenant.failed.get(&job.name()).map_or(0, |failed| failed.times);
        let wait = self.config().retry_wait.saturating_mul(1 << times.min(16)).min(LONGEST_WAIT);
        let failed = Failed { times: times + 1, again_at: now.saturating_add(wait), why: error.to_string() };
        self.tenant.failed.insert(job.name(), failed);
        self.inner.metrics.job_failed(error.reason());
        tracing::error!(
            tenant = %self.id(), job = job.name(), inputs = ?job.inputs.iter().map(Ulid::to_string).collect::<Vec<_>>(),
            %error, ?wait, "blocks could not be merged; nothing has changed, and it is tried again"
        );
    }

    /// Sets the block aside that an error is about, if it says that one is broken.
    async fn blame(&mut self, error: &CompactError, looked: &mut Looked) -> Result<(), CompactError> {
        match error {
            CompactError::Broken { block, source } => {
                let why = source.to_string();
                self.set_aside(*block, &why, looked).await
            }
            CompactError::Tenant(bucket::TenantBucketError::Block { block, source, .. }) => {
                let why = source.to_string();
                self.set_aside(*block, &why, looked).await
            }
            // Something that was known is not there: what is known of these blocks is read again.
            CompactError::Tenant(error) if error.is_not_found() => {
                self.tenant.catalog = Catalog::default();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A block that is broken is merged no more; its tenant's others are. Queries that need it say that it cannot be read.
    async fn set_aside(&mut self, id: Ulid, why: &str, looked: &mut Looked) -> Result<(), CompactError> {
        let reason = format!("{BROKEN}: {why}");
        let mut is_new = false;
        let changed = self.bucket.update_index(|index| {
            is_new = index.exclude(id, &reason);
            is_new
        });
        changed.await?;
        if !is_new {
            return Ok(());
        }
        tracing::error!(
            tenant = %self.id(), block = %id, why,
            "a block is broken and is not merged any more; replace it, or mark it to be deleted, and remove \
             no-compact-mark.json"
        );
        self.inner.metrics.set_aside(BROKEN);
        self.bucket.mark_no_compact(&NoCompactMark::new(id, self.now_s(), BROKEN, why)).await?;
        self.tenant.catalog.forget(id);
        looked.set_aside.push(id);
        Ok(())
    }

    fn show(&self, index: &BucketIndex, blocks: &[compact::Block], plan: &Plan) {
        self.inner.show(self.id(), self.status(index, blocks, plan));
    }

    fn status(&self, index: &BucketIndex, blocks: &[compact::Block], plan: &Plan) -> TenantStatus {
        let mut status = TenantStatus {
            looked_ms: self.inner.deps.clock.now_ms(),
            marked: index.block_deletion_marks.len(),
            ..TenantStatus::default()
        };
        for block in blocks {
            *status.blocks_by_level.entry(block.level).or_default() += 1;
        }
        status.jobs = plan
            .jobs
            .iter()
            .map(|job| JobStatus {
                start_ms: job.window.start_ms,
                end_ms: job.window.end_ms,
                inputs: job.inputs.iter().map(Ulid::to_string).collect(),
                outputs: job.outputs.iter().map(ToString::to_string).collect(),
                running: false,
                failure: self.tenant.failed.get(&job.name()).map(|failed| failed.why.clone()),
            })
            .collect();
        let excluded =
            index.live().filter_map(|block| Some((block.id.to_string(), block.no_compact()?.to_owned())));
        status.excluded = excluded.collect();
        status.dropped = plan.expired.len() + plan.contained.len();
        status
    }

    fn count(&self, index: &BucketIndex) {
        let (metrics, tenant) = (&self.inner.metrics, self.id().as_str());
        metrics.blocks.of(tenant).set(index.blocks.len() as i64);
        metrics.blocks_marked.of(tenant).set(index.block_deletion_marks.len() as i64);
        metrics.index_updated.of(tenant).set(self.now_s());
    }
}
