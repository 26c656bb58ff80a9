//! A distributor behind its real router, with ingesters that keep what they get.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use distributor::{Deps, Distributor, DistributorConfig, WriteLimits};
use env::{ManualClock, Scope};
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt;
use model::{Labels, TenantId, Value};
use proto::{IngesterWrite, Write, WriteRequest};
use ring::{Instance, InstanceId, Quorum, Ring, RingView, ShardSize};
use rpc::{TenantLayer, TenantResolver};
use settings::LimitsLoader;
use telemetry::Registry;
use testkit::FakeIngester;
use testkit::remote_write::{Answer, CaseRequest, TENANT};
use tokio::sync::watch;
use tower::ServiceExt;

/// Now, in all tests.
pub(crate) const NOW_MS: i64 = 1_750_000_000_000;

/// A distributor and what surrounds it.
pub(crate) struct Harness {
    pub(crate) distributor: Arc<Distributor>,
    pub(crate) ingesters: Vec<Arc<FakeIngester>>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
    pub(crate) view: watch::Sender<Arc<RingView>>,
    pub(crate) limits: LimitsLoader,
    router: Router,
}

impl Harness {
    /// One ingester, and this overrides file.
    pub(crate) fn single(overrides: &str) -> Self {
        Self::new(1, 1, overrides, DistributorConfig::default())
    }

    /// So many ingesters, each a zone of its own.
    pub(crate) fn replicated(ingesters: u8, replication_factor: u8) -> Self {
        let config = DistributorConfig::default();
        Self::new(ingesters, replication_factor, "", config)
    }

    pub(crate) fn new(
        ingesters: u8,
        replication_factor: u8,
        overrides: &str,
        config: DistributorConfig,
    ) -> Self {
        let members = (0..ingesters).map(|i| (InstanceId::new(&format!("ingester-{i}")), None));
        Self::of(members.collect(), replication_factor, overrides, config)
    }

    /// So many ingesters in each of three zones, every third in the same one, and three replicas.
    pub(crate) fn zoned(per_zone: u8) -> Self {
        let zone = |i| Some(format!("zone-{}", i % 3).into());
        let members = (0..3 * per_zone).map(|i| (InstanceId::new(&format!("ingester-{i}")), zone(i)));
        Self::of(members.collect(), 3, "", DistributorConfig::default())
    }

    fn of(
        members: Vec<(InstanceId, Option<Arc<str>>)>,
        replication_factor: u8,
        overrides: &str,
        config: DistributorConfig,
    ) -> Self {
        let names: Vec<InstanceId> = members.iter().map(|(id, _)| id.clone()).collect();
        let members = Instance::all_active(members);
        let ring = Ring::new(members, Quorum::new(replication_factor)).expect("names are unique");
        let (view, receiver) = watch::channel(everywhere(ring));
        let ingesters: Vec<Arc<FakeIngester>> = names.iter().map(|_| Arc::default()).collect();
        let pool: BTreeMap<InstanceId, Arc<dyn IngesterWrite>> = names
            .into_iter()
            .zip(&ingesters)
            .map(|(id, ingester)| (id, Arc::clone(ingester) as Arc<dyn IngesterWrite>))
            .collect();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let registry = Registry::new();
        let mut limits = LimitsLoader::new();
        let deps = Deps {
            clock: Arc::clone(&clock) as Arc<dyn env::Clock>,
            scope: Scope::new("test"),
            registry: registry.clone(),
            ingesters: Arc::new(pool),
            view: receiver,
            limits: limits.register(WriteLimits::default()),
        };
        limits.load("overrides.yml", overrides).expect("the overrides are right");
        let distributor = Distributor::build(config, deps);
        let router = distributor::http::router(Arc::clone(&distributor))
            .layer(TenantLayer::new(TenantResolver::multi_tenant()));
        Self { distributor, ingesters, clock, registry, view, limits, router }
    }

    /// Sends a request through the router.
    pub(crate) async fn http(&self, request: &CaseRequest) -> (Answer, Response<()>) {
        let mut builder = Request::post("/api/v1/push")
            .header("content-type", &request.content_type)
            .header("content-encoding", &request.content_encoding);
        if let Some(tenant) = request.tenant {
            builder = builder.header("x-scope-orgid", tenant);
        }
        let request = builder.body(Body::from(request.body.clone())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let written = |kind: &str| {
            let name = HeaderName::try_from(format!("x-prometheus-remote-write-{kind}-written"));
            let value = parts.headers.get(name.expect("a header name"));
            value.and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0)
        };
        let answer = Answer {
            status: parts.status.as_u16(),
            written: [written("samples"), written("histograms"), written("exemplars")],
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        (answer, Response::from_parts(parts, ()))
    }

    /// Writes a message as the process itself does.
    pub(crate) async fn write(
        &self,
        version: proto::Version,
        message: Vec<u8>,
    ) -> Result<proto::WriteResponse, proto::Error> {
        let request = WriteRequest { tenant: tenant(), version, body: message.into() };
        self.distributor.write(request).await
    }

    /// The float samples that an ingester has.
    pub(crate) fn floats(&self, ingester: usize) -> BTreeMap<String, Vec<(i64, f64)>> {
        let stored = self.ingesters[ingester].stored(&tenant());
        let float = |(t, value): (i64, Value)| match value {
            Value::Float(value) => (t, value),
            other => panic!("{other:?}"),
        };
        let series = |(labels, samples): (Labels, BTreeMap<i64, Value>)| {
            (labels.to_string(), samples.into_iter().map(float).collect())
        };
        stored.samples.into_iter().map(series).collect()
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let expected: Vec<(String, String)> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let samples = self.registry.gather();
        let found = samples.iter().find(|s| s.name == name && s.labels == expected);
        found.map_or(0.0, |s| s.value)
    }
}

/// A view in which the tenant of all writes uses every ingester.
pub(crate) fn everywhere(ring: Ring) -> Arc<RingView> {
    sharded(ring, u32::MAX)
}

/// A view in which it uses so many ingesters per zone.
pub(crate) fn sharded(ring: Ring, per_zone: u32) -> Arc<RingView> {
    let shards = [(tenant(), ShardSize::new(per_zone))];
    Arc::new(RingView::new(ring, BTreeMap::new(), Vec::new(), shards))
}

/// The tenant of all writes.
pub(crate) fn tenant() -> TenantId {
    TenantId::new(TENANT).expect("a valid tenant")
}
