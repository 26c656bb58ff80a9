//! The role: rounds through the tenants, for as long as the process lives.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Bucket, Layout, TenantBucket};
use compact::Job;
use env::{Clock, FileSystem, Rng, Scope};
use futures::stream::{self, StreamExt as _};
use model::TenantId;
use parking_lot::Mutex;
use settings::Overrides;
use telemetry::Registry;
use tokio::sync::{Notify, Semaphore};

use crate::config::{CompactorConfig, CompactorLimits};
use crate::error::CompactError;
use crate::job::{Done, Workshop};
use crate::metrics::Metrics;
use crate::owners::Owners;
use crate::status::{Status, TenantStatus};
use crate::tenant::{Look, Looked, Tenant};
use crate::tenant_deletion::{self, Progress};

/// How many tenants are looked at at the same time. Jobs have a bound of their own.
const TENANTS_AT_ONCE: usize = 8;

/// What a compactor needs of its surroundings.
#[derive(Clone)]
pub struct Deps {
    /// The disk that new blocks are written to before they are uploaded.
    pub fs: Arc<dyn FileSystem>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For names of blocks, and when rounds begin.
    pub rng: Arc<dyn Rng>,
    /// Where it runs.
    pub scope: Scope,
    /// Where its metrics go.
    pub registry: Registry,
    /// A folder of its own on `fs`; what is in it is worth nothing after a restart.
    pub dir: PathBuf,
    /// Where blocks are.
    pub bucket: Bucket,
    /// What tenants are told.
    pub limits: Overrides<CompactorLimits>,
    /// How many ingesters have each sample.
    pub replicas: u32,
    /// Among whom work is divided.
    pub owners: Arc<dyn Owners>,
}

/// A compactor. Clones are the same.
#[derive(Clone)]
pub struct Compactor {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: CompactorConfig,
    pub(crate) deps: Deps,
    pub(crate) metrics: Metrics,
    pub(crate) workshop: Workshop,
    jobs: Semaphore,
    status: Mutex<Status>,
    tenants: Mutex<BTreeMap<TenantId, Arc<tokio::sync::Mutex<Tenant>>>>,
    wake: Notify,
}

impl Compactor {
    /// A compactor that does nothing by itself yet.
    pub fn build(config: CompactorConfig, deps: Deps) -> Self {
        let workshop = Workshop {
            fs: Arc::clone(&deps.fs),
            scope: deps.scope.clone(),
            clock: Arc::clone(&deps.clock),
            rng: Arc::clone(&deps.rng),
            dir: deps.dir.join("jobs"),
        };
        let inner = Inner {
            metrics: Metrics::register(&deps.registry),
            jobs: Semaphore::new(config.concurrency),
            workshop,
            config,
            deps,
            status: Mutex::default(),
            tenants: Mutex::default(),
            wake: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Goes through the tenants again and again, until the scope ends.
    pub fn start(&self) {
        let own = self.clone();
        // Nobody waits for it: whatever is not finished is done again.
        drop(self.inner.deps.scope.spawn("compactor", async move { own.run().await }));
    }

    async fn run(&self) {
        let Inner { deps, workshop, config, .. } = &*self.inner;
        if let Err(error) = workshop.remove(&workshop.dir).await {
            tracing::warn!(%error, "what jobs left before the restart could not be removed");
        }
        if deps.bucket.config().layout == Layout::Thanos {
            tracing::warn!(
                "bucket.layout is thanos: blocks are served as they are, and compacted by Thanos alone"
            );
            return;
        }
        loop {
            // Compactors that were started together do not look at the same moment.
            let spread = u64::try_from(config.interval.as_millis()).unwrap_or(u64::MAX) / 10;
            let wait = config.interval + Duration::from_millis(deps.rng.below(spread.max(1)));
            tokio::select! {
                biased;
                () = self.inner.wake.notified() => {}
                () = deps.clock.sleep(wait) => {}
            }
            self.round().await;
        }
    }

    /// One round through the tenants that are this compactor's.
    pub async fn round(&self) {
        let Inner { deps, metrics, .. } = &*self.inner;
        metrics.runs_started.inc();
        let tenants = match deps.bucket.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                metrics.runs_failed.inc();
                tracing::warn!(%error, "the tenants of the bucket could not be listed");
                return;
            }
        };
        metrics.tenants.set(tenants.len() as i64);
        let (own, others): (Vec<_>, Vec<_>) = tenants.into_iter().partition(|id| deps.owners.owns(id));
        self.forget(&others);
        let looks: Vec<_> =
            own.iter().map(|tenant| async move { (tenant, self.look(tenant).await) }).collect();
        let mut looks = stream::iter(looks).buffer_unordered(TENANTS_AT_ONCE);
        let mut is_clean = true;
        while let Some((tenant, outcome)) = looks.next().await {
            match outcome {
                Ok(looked) => is_clean &= looked.failed_jobs == 0,
                Err(error) => {
                    is_clean = false;
                    tracing::warn!(%tenant, %error, "the blocks of a tenant could not be looked after; it is tried again");
                    if let Some(status) = self.inner.status.lock().tenants.get_mut(tenant.as_str()) {
                        status.failure = Some(error.to_string());
                    }
                }
            }
        }
        let now_ms = deps.clock.now_ms();
        match is_clean {
            true => {
                metrics.runs_completed.inc();
                metrics.last_success.set(now_ms.div_euclid(1000));
            }
            false => {
                metrics.runs_failed.inc();
            }
        }
        self.inner.sum_up(now_ms);
    }

    /// Forgets what is known of tenants that others look after.
    fn forget(&self, tenants: &[TenantId]) {
        let Inner { tenants: known, status, metrics, .. } = &*self.inner;
        for tenant in tenants {
            if known.lock().remove(tenant).is_some() {
                status.lock().tenants.remove(tenant.as_str());
                for family in [&metrics.blocks, &metrics.blocks_marked, &metrics.index_updated] {
                    family.remove(tenant.as_str());
                }
            }
        }
    }

    /// Looks at one tenant's blocks, and does what is to be done with them.
    ///
    /// # Errors
    /// Where the bucket fails. What was done until then stays done.
    pub async fn look(&self, tenant: &TenantId) -> Result<Looked, CompactError> {
        let Some(bucket) = TenantBucket::new(&self.inner.deps.bucket, tenant) else {
            return Ok(Looked::default());
        };
        let state = self.tenant(tenant);
        let mut state = state.lock().await;
        Look { inner: &self.inner, bucket, tenant: &mut state }.run().await
    }

    /// What would be done with one tenant's blocks now; nothing is.
    ///
    /// # Errors
    /// Where the bucket fails.
    pub async fn plan(&self, tenant: &TenantId) -> Result<TenantStatus, CompactError> {
        let Some(bucket) = TenantBucket::new(&self.inner.deps.bucket, tenant) else {
            return Ok(TenantStatus::default());
        };
        let mut state = Tenant::default();
        Look { inner: &self.inner, bucket, tenant: &mut state }.plan().await
    }

    fn tenant(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<Tenant>> {
        Arc::clone(self.inner.tenants.lock().entry(tenant.clone()).or_default())
    }

    /// What it does and knows.
    pub fn status(&self) -> Status {
        self.inner.status.lock().clone()
    }

    /// Marks all that a tenant has to be removed, and begins with it.
    ///
    /// # Errors
    /// Where the bucket fails.
    pub async fn delete_tenant(&self, tenant: &TenantId) -> Result<(), CompactError> {
        let Some(bucket) = TenantBucket::new(&self.inner.deps.bucket, tenant) else { return Ok(()) };
        let now_s = self.inner.deps.clock.now_ms().div_euclid(1000);
        if tenant_deletion::begin(&bucket, now_s).await? {
            tracing::warn!(%tenant, "all that a tenant has in the bucket is to be removed");
        }
        self.tenant(tenant).lock().await.doubt();
        self.inner.wake.notify_one();
        Ok(())
    }

    /// How far the removal of a tenant has come.
    pub(crate) async fn deletion(&self, tenant: &TenantId) -> Result<Option<Progress>, CompactError> {
        match TenantBucket::new(&self.inner.deps.bucket, tenant) {
            Some(bucket) => tenant_deletion::progress(&bucket).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Inner {
    /// Runs a job, if it is given leave and nobody else has it.
    pub(crate) async fn run_job(
        &self,
        bucket: &TenantBucket,
        job: &Job,
    ) -> Result<Option<Done>, CompactError> {
        // The semaphore is never closed.
        let _turn = self.jobs.acquire().await;
        let Some(hold) = self.deps.owners.hold(bucket.tenant(), &job.name()).await else { return Ok(None) };
        let begun = self.deps.clock.monotonic();
        let _running = Running::new(self, bucket.tenant(), job);
        let outcome = self.workshop.run(bucket, job, &*hold).await;
        hold.release().await;
        let done = outcome?;
        let took = self.deps.clock.monotonic().saturating_sub(begun);
        self.metrics.jobs.inc();
        self.metrics.job_seconds.observe(took.as_secs_f64());
        self.metrics.samples.inc_by(done.samples);
        self.metrics.read_bytes.inc_by(done.read_bytes);
        self.metrics.written_bytes.inc_by(done.written_bytes);
        self.metrics.marked("compaction", job.inputs.len());
        tracing::info!(
            tenant = %bucket.tenant(), job = job.name(), inputs = job.inputs.len(), outputs = done.outputs.len(),
            samples = done.samples, read_bytes = done.read_bytes, written_bytes = done.written_bytes, ?took,
            "blocks have been merged"
        );
        Ok(Some(done))
    }

    pub(crate) fn show(&self, tenant: &TenantId, status: TenantStatus) {
        self.status.lock().tenants.insert(tenant.as_str().to_owned(), status);
    }

    /// Says how much there is to do.
    fn sum_up(&self, now_ms: i64) {
        let mut status = self.status.lock();
        status.last_round_ms = Some(now_ms);
        let jobs = || status.tenants.values().flat_map(|tenant| &tenant.jobs);
        self.metrics.planned.set(jobs().count() as i64);
        let behind_ms = jobs().map(|job| now_ms.saturating_sub(job.end_ms)).max().unwrap_or(0);
        self.metrics.behind_seconds.set(behind_ms / 1000);
        let excluded: usize = status.tenants.values().map(|tenant| tenant.excluded.len()).sum();
        self.metrics.broken.set(excluded as i64);
    }
}

/// Shows a job as running for as long as it lives.
struct Running<'a> {
    inner: &'a Inner,
    tenant: &'a TenantId,
    job: &'a Job,
}

impl<'a> Running<'a> {
    fn new(inner: &'a Inner, tenant: &'a TenantId, job: &'a Job) -> Self {
        let running = Self { inner, tenant, job };
        inner.metrics.running.inc();
        running.set(true);
        running
    }

    fn set(&self, running: bool) {
        let inputs: Vec<String> = self.job.inputs.iter().map(ToString::to_string).collect();
        let mut status = self.inner.status.lock();
        let tenant = status.tenants.get_mut(self.tenant.as_str());
        let jobs = tenant.into_iter().flat_map(|tenant| &mut tenant.jobs);
        for job in jobs.filter(|job| job.inputs == inputs) {
            job.running = running;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.inner.metrics.running.dec();
        self.set(false);
    }
}
