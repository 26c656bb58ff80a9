//! Reading from a quorum of zones: all instances of as many zones as it takes are one ingester to the querier.
//!
//! Each call works on the view of the cluster that there is when it begins: the read set of its tenant and range, the
//! zones that have lost nothing of it, one after the other until enough have answered whole. Too few is an error, and
//! never a shorter answer.

mod answers;
mod ask;
mod counts;
mod metrics;
mod plan;
mod select;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use env::Clock;
use futures::stream::{self, StreamExt};
use model::{Labels, TenantId, TenantSeed, TimeRange};
use proto::{
    ActiveSeriesStream, CardinalityRequest, Error, ExemplarsRequest, FamilyMetadata, IndexStats,
    IngesterRead, IngesterReaders, LabelNameCardinality, LabelNamesRequest, LabelValuesCardinality,
    LabelValuesRequest, MetadataRequest, SelectRequest, SelectStream, SeriesExemplars, SeriesRequest,
    TenantStats,
};
use ring::RingView;
use telemetry::Registry;
use tokio::sync::watch;

pub(crate) use self::answers::exemplars as merge_exemplars;
use self::ask::{Patience, ask};
use self::metrics::ZoneMetrics;
use self::plan::{Copies, Plan};
use crate::config::QuerierConfig;
use crate::ingesters::Ingesters;
use crate::service::whole_ms;

/// By how much clocks may differ, and views of the ring be late, so that a write that began before a change of the ring may
/// still have gone where it was before.
const LATE_VIEWS: Duration = Duration::from_secs(10 * 60);

/// What reading from zones needs from outside.
pub struct ZoneDeps {
    /// What is known of the cluster.
    pub view: watch::Receiver<Arc<RingView>>,
    /// From the names of ingesters to the ingesters.
    pub readers: Arc<dyn IngesterReaders>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// How long ingesters keep samples, where `querier.ingesters_hold` does not say so.
    pub retention: Duration,
}

/// The ingesters of a cluster, read from by quorum. Clones are the same.
#[derive(Clone)]
pub struct ZoneIngesters {
    shared: Arc<Shared>,
}

struct Shared {
    view: watch::Receiver<Arc<RingView>>,
    readers: Arc<dyn IngesterReaders>,
    patience: Patience,
    hold: Duration,
    /// Zones take turns.
    turn: AtomicUsize,
}

impl ZoneIngesters {
    /// The ingesters that the view names.
    pub fn new(config: &QuerierConfig, deps: ZoneDeps) -> Self {
        let ZoneDeps { view, readers, clock, registry, retention } = deps;
        let hold = if config.ingesters_hold.is_zero() { retention } else { config.ingesters_hold };
        let metrics = ZoneMetrics::register(&registry);
        let patience = Patience { clock, hedge_after: config.zone_hedge_after, metrics };
        Self { shared: Arc::new(Shared { view, readers, patience, hold, turn: AtomicUsize::new(0) }) }
    }

    /// Whom to ask about a tenant's samples in a range.
    fn plan(&self, tenant: &TenantId, range: TimeRange) -> Result<Plan, Error> {
        let shared = &*self.shared;
        let view = Arc::clone(&shared.view.borrow());
        let now = shared.patience.clock.now_ms();
        let written_since = now.saturating_sub(whole_ms(shared.hold.saturating_add(LATE_VIEWS)));
        let (seed, size) = (TenantSeed::of(tenant), view.shard_size(tenant));
        let set = view.ring().read_set(seed, size, range, written_since, view.lost());
        let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
        Plan::new(&view, &set, &*shared.readers, turn)
    }

    /// The answers of whole zones, as many as it takes; how often what they count is counted.
    async fn ask<T, F>(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        call: impl Fn(Arc<dyn IngesterRead>) -> F,
    ) -> Result<(Vec<Vec<T>>, Copies), Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let plan = self.plan(tenant, range)?;
        let copies = plan.copies;
        Ok((ask(plan, &self.shared.patience, call).await?, copies))
    }
}

impl Ingesters for ZoneIngesters {
    fn readers(&self, _tenant: &TenantId) -> Result<Vec<Arc<dyn IngesterRead>>, Error> {
        Ok(vec![Arc::new(self.clone())])
    }
}

#[async_trait]
impl IngesterRead for ZoneIngesters {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        let plan = self.plan(&request.tenant, request.range)?;
        Ok(select::select(plan, self.shared.patience.clone(), request))
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move { reader.series(request).await }
        };
        let (zones, _) = self.ask(&request.tenant, request.range, call).await?;
        Ok(answers::union(zones, request.limit))
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move { reader.label_names(request).await }
        };
        let (zones, _) = self.ask(&request.tenant, request.range, call).await?;
        Ok(answers::union(zones, request.limit))
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move { reader.label_values(request).await }
        };
        let (zones, _) = self.ask(&request.series.tenant, request.series.range, call).await?;
        Ok(answers::union(zones, request.series.limit))
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move { reader.metadata(request).await }
        };
        // Metadata has no time; what it is about may be of any.
        let (zones, _) = self.ask(&request.tenant, TimeRange::ALL, call).await?;
        Ok(answers::metadata(zones, request.limit, request.limit_per_family))
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move { reader.exemplars(request).await }
        };
        let (zones, _) = self.ask(&request.tenant, request.range, call).await?;
        Ok(answers::exemplars(zones.into_iter().flatten().flatten()))
    }

    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let tenant = tenant.clone();
            async move { reader.stats(&tenant).await }
        };
        let (zones, copies) = self.ask(tenant, TimeRange::ALL, call).await?;
        Ok(counts::stats(&zones, copies))
    }

    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move { reader.label_names_cardinality(request, max_values).await }
        };
        let (zones, _) = self.ask(&request.tenant, TimeRange::ALL, call).await?;
        Ok(counts::label_names(zones.into_iter().flatten().flatten()))
    }

    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let (names, request) = (names.clone(), request.clone());
            async move { reader.label_values_cardinality(names, request, max_values).await }
        };
        let (zones, copies) = self.ask(&request.tenant, TimeRange::ALL, call).await?;
        let about = match counts::label_values(&zones, copies) {
            Ok(exact) => return Ok(exact),
            Err(about) => about,
        };
        if about.series_total > counts::MAX_LISTED_SERIES {
            return Ok(about);
        }
        // Copies are told from each other by their labels.
        let max_series =
            usize::try_from(about.series_total.saturating_mul(2)).unwrap_or(usize::MAX).max(1024);
        let all = CardinalityRequest { matchers: Vec::new(), ..request.clone() };
        match self.active_series(all, max_series).await {
            Ok(series) => counts::of_listed(series, &names, &request.matchers).await,
            Err(error) => Err(error),
        }
    }

    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let request = request.clone();
            async move {
                // Most failures show by the first batch: then another zone is asked.
                let mut series = reader.active_series(request, max_series).await?;
                let first = series.next().await.transpose()?;
                Ok(stream::iter(first.map(Ok)).chain(series).boxed())
            }
        };
        let (zones, _) = self.ask(&request.tenant, TimeRange::ALL, call).await?;
        Ok(crate::cardinality::merge_active(zones.into_iter().flatten().collect(), max_series))
    }

    async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        let call = |reader: Arc<dyn IngesterRead>| {
            let tenant = tenant.clone();
            async move { reader.index_stats(&tenant, limit).await }
        };
        let (zones, copies) = self.ask(tenant, TimeRange::ALL, call).await?;
        Ok(counts::index(&zones, copies, limit))
    }
}

impl std::fmt::Debug for ZoneIngesters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZoneIngesters").field("hold", &self.shared.hold).finish_non_exhaustive()
    }
}
