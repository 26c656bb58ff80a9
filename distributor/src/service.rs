//! The distributor itself: a write from its bytes to its answer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use env::{Clock, Scope};
use model::TenantId;
use proto::{Code, Error, IngesterWriters, Version, Write, WriteRequest, WriteResponse};
use ring::RingView;
use settings::Overrides;
use telemetry::Registry;
use tokio::sync::watch;
use tracing::Instrument as _;
use wire::{WireError, snappy};

use crate::config::{DistributorConfig, WriteLimits};
use crate::error::WriteError;
use crate::ha::{HaTracker, MemoryHaTracker};
use crate::inflight::{Inflight, Permit};
use crate::metrics::Metrics;
use crate::push::{Combined, Pusher};
use crate::tenants::{Tenant, Tenants};
use crate::walk::{self, Context, Owners, Plan};

/// What a tenant whose limits refused something is told to wait.
const LIMIT_RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// How often a request is walked while its HA pairs hold elections.
const MAX_WALKS: u32 = 4;

/// What the distributor takes from its surroundings.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where pushes go on after a quorum has answered.
    pub scope: Scope,
    /// Where metrics are registered.
    pub registry: Registry,
    /// The ingesters.
    pub ingesters: Arc<dyn IngesterWriters>,
    /// Who owns which series.
    pub view: watch::Receiver<Arc<RingView>>,
    /// The limits of tenants.
    pub limits: Overrides<WriteLimits>,
}

/// The front door for writes. Holds no data: any number of them may run side by side.
pub struct Distributor {
    config: DistributorConfig,
    clock: Arc<dyn Clock>,
    view: watch::Receiver<Arc<RingView>>,
    limits: Overrides<WriteLimits>,
    ha: Arc<dyn HaTracker>,
    tenants: Tenants,
    inflight: Inflight,
    pusher: Pusher,
}

/// What became of a write, and whether all of it was left out because another replica of its HA pair is elected.
pub(crate) struct Outcome {
    pub(crate) response: WriteResponse,
    pub(crate) deduplicated: bool,
}

impl Distributor {
    /// A distributor that takes writes at once, and keeps elections of HA pairs to itself. It runs no tasks of its own.
    ///
    /// # Panics
    /// When its metrics are registered already.
    pub fn build(config: DistributorConfig, deps: Deps) -> Arc<Self> {
        let tracker = MemoryHaTracker::new(config.ha_tracker_failover_timeout);
        Self::with_ha_tracker(config, deps, Arc::new(tracker))
    }

    /// A distributor of several, which have elections of HA pairs in common.
    ///
    /// # Panics
    /// When its metrics are registered already.
    pub fn with_ha_tracker(config: DistributorConfig, deps: Deps, ha: Arc<dyn HaTracker>) -> Arc<Self> {
        let metrics = Metrics::new(&deps.registry);
        let pusher = Pusher {
            clock: Arc::clone(&deps.clock),
            scope: deps.scope,
            ingesters: deps.ingesters,
            metrics: metrics.clone(),
            timeout: config.remote_timeout,
            retry_after: config.retry_after,
        };
        Arc::new(Self {
            clock: deps.clock,
            view: deps.view,
            limits: deps.limits,
            ha,
            tenants: Tenants::new(&metrics),
            inflight: Inflight::new(&config, &metrics),
            pusher,
            config,
        })
    }

    pub(crate) fn config(&self) -> &DistributorConfig {
        &self.config
    }

    pub(crate) fn inflight(&self) -> &Inflight {
        &self.inflight
    }

    /// Stores a compressed write. `permits` cover what is under way already.
    pub(crate) async fn write_compressed(
        &self,
        tenant: TenantId,
        version: Version,
        compressed: Bytes,
        mut permits: Vec<Permit>,
    ) -> Result<Outcome, Error> {
        let declared = snappy::declared_len(&compressed).map_err(not_snappy)?;
        self.check_size(&tenant, declared)?;
        permits.push(self.inflight.bytes(declared as u64)?);
        let body = snappy::decompress(&compressed, declared).map_err(not_snappy)?;
        drop(compressed);
        let request = WriteRequest { tenant, version, body };
        self.store(request, permits).await
    }

    fn check_size(&self, tenant: &TenantId, bytes: usize) -> Result<(), WriteError> {
        let limits = self.limits.of(tenant);
        let of_tenant = (limits.max_write_request_size, "max_write_request_size");
        let of_all = (self.config.max_recv_msg_size, "distributor.max_recv_msg_size");
        for (max, limit) in [of_tenant, of_all] {
            let max = max.as_usize();
            if bytes > max {
                return Err(WriteError::TooLarge { bytes, max, limit });
            }
        }
        Ok(())
    }

    async fn store(&self, request: WriteRequest, permits: Vec<Permit>) -> Result<Outcome, Error> {
        let now = self.clock.monotonic();
        let view = Arc::clone(&self.view.borrow());
        let limits = self.limits.of(&request.tenant);
        let tenant = self.tenants.of(&request.tenant, now);
        let shard = tenant.shard(&request.tenant, &view);
        let context = Context {
            tenant: &request.tenant,
            seed: tenant.seed,
            limits: &limits,
            owners: Owners { ring: view.ring(), shard: &shard },
            ha: &*self.ha,
            now_ms: self.clock.now_ms(),
            now,
        };
        let span = telemetry::request_span!("distributor.decode", tenant = request.tenant.as_str());
        let plan = self.walk(&context, &request).instrument(span).await?;
        count(&tenant, &plan);
        let samples = plan.accepted_samples();
        if !tenant.admit(samples, &limits, now) {
            let reason = proto::RejectReason::RateLimited.as_str();
            tenant.metrics.discarded_for(reason, samples);
            count_refusals(&tenant, &plan.refusals);
            return Err(WriteError::RateLimited {
                samples,
                rate: limits.ingestion_rate,
                burst: limits.ingestion_burst_size,
            }
            .into());
        }
        let deduplicated = plan.deduped > 0 && plan.tallies.is_empty();
        let received = plan.received;
        let combined = self.pusher.push(view.ring(), &request, plan, Arc::new(permits)).await;
        count_refusals(&tenant, &combined.refusals);
        let response = self.answer(combined, received)?;
        Ok(Outcome { deduplicated: deduplicated && response.error.is_none(), response })
    }

    /// Walks the request, again where HA pairs have to hold elections first.
    async fn walk(&self, context: &Context<'_>, request: &WriteRequest) -> Result<Plan, WriteError> {
        for _ in 0..MAX_WALKS {
            let plan = walk::walk(context, request.version, &request.body)?;
            if plan.elections.is_empty() {
                return Ok(plan);
            }
            for (cluster, replica) in &plan.elections {
                self.ha.elect(&request.tenant, cluster, replica, context.limits.ha_max_clusters).await;
            }
        }
        Err(WriteError::NoElection { walks: MAX_WALKS, retry_after: self.config.retry_after })
    }

    fn answer(&self, combined: Combined, received: proto::Written) -> Result<WriteResponse, Error> {
        if combined.undecided > 0 {
            let reason =
                combined.failure.map_or_else(|| "too few ingesters are there".to_owned(), |e| e.message);
            return Err(WriteError::NoQuorum {
                series: combined.undecided,
                all: combined.all,
                reason,
                retry_after: self.config.retry_after,
            }
            .into());
        }
        let refused = combined.refusals.total();
        let bad_data = combined.refusals.bad_data;
        let error = combined.refusals.first.map(|first| {
            let all = |w: proto::Written| w.samples + w.histograms + w.exemplars;
            let message = format!(
                "{} ({} of {} samples, histograms and exemplars were refused)",
                first.message,
                all(refused),
                all(received)
            );
            match bad_data {
                true => Error::new(Code::InvalidArgument, message),
                false => Error::tenant_limit(message, LIMIT_RETRY_AFTER),
            }
        });
        Ok(WriteResponse { written: combined.written, error })
    }
}

#[async_trait]
impl Write for Distributor {
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, Error> {
        let permits = vec![self.inflight.request()?, self.inflight.bytes(request.body.len() as u64)?];
        self.check_size(&request.tenant, request.body.len())?;
        self.store(request, permits).await.map(|outcome| outcome.response)
    }
}

fn not_snappy(source: WireError) -> Error {
    WriteError::Malformed { expected: "snappy block", source }.into()
}

fn count(tenant: &Tenant, plan: &Plan) {
    tenant.metrics.received(plan.received);
    tenant.metrics.deduped(plan.deduped);
    tenant.metrics.discarded_for("relabel_configuration", plan.dropped);
    for reason in &plan.refused_metadata {
        tenant.metrics.discarded_metadata(reason);
    }
}

fn count_refusals(tenant: &Tenant, refusals: &walk::Refusals) {
    for (reason, refused) in refusals.iter() {
        tenant.metrics.discarded(reason, refused);
    }
}
