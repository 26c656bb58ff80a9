//! What the distributor costs per series: walk, validate, hash, group, with an ingester that does nothing.
//!
//! Budget: at most 0.25 µs per series of one sample, about 302 bytes each as remote write 1.0.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use distributor::{Deps, Distributor, DistributorConfig, WriteLimits};
use env::{Scope, SystemClock};
use model::TenantId;
use proto::{Error, IngesterWrite, PushRequest, PushResponse, Version, Write, WriteRequest};
use ring::{Instance, InstanceId, Quorum, Ring, RingView, ShardSize};
use settings::Overrides;
use telemetry::Registry;
use tokio::sync::watch;
use wire::encode::{Rw1Writer, Rw2Writer};

const SERIES: usize = 2_000;

/// Labels as of a container metric in Kubernetes.
fn labels(i: usize) -> [(&'static str, String); 10] {
    [
        ("__name__", format!("container_network_receive_bytes_total_{}", i % 50)),
        ("cluster", "prod-eu-west-1".to_owned()),
        ("container", "POD".to_owned()),
        ("image", "registry.example.org/pause:3.9".to_owned()),
        ("instance", format!("10.0.{}.{}:10250", i / 250, i % 250)),
        ("interface", "eth0".to_owned()),
        ("job", "kubelet".to_owned()),
        ("metrics_path", "/metrics/cadvisor".to_owned()),
        ("namespace", format!("team-{}", i % 20)),
        ("pod", format!("service-{}-6d4b75cb6d-{i:05}", i % 100)),
    ]
}

fn request(version: Version) -> Bytes {
    let (mut v1, mut v2) = (Rw1Writer::default(), Rw2Writer::default());
    for i in 0..SERIES {
        for (name, value) in labels(i) {
            v1.label(name, &value);
            v2.label(name, &value);
        }
        v1.sample(1_750_000_000_000, i as f64).end_series();
        v2.sample(1_750_000_000_000, i as f64, 0).end_series();
    }
    match version {
        Version::V1 => v1.message().to_vec().into(),
        Version::V2 => v2.message().into(),
    }
}

/// Answers at once.
struct NullIngester;

#[async_trait]
impl IngesterWrite for NullIngester {
    async fn push(&self, _request: PushRequest) -> Result<PushResponse, Error> {
        Ok(PushResponse::default())
    }
}

fn distributor(ingesters: usize, replication_factor: u8, limits: WriteLimits) -> Arc<Distributor> {
    let names: Vec<InstanceId> = (0..ingesters).map(|i| InstanceId::new(&format!("ingester-{i}"))).collect();
    let members = Instance::all_active(names.iter().map(|id| (id.clone(), None)));
    let ring = Ring::new(members, Quorum::new(replication_factor)).expect("names are unique");
    let pool: BTreeMap<InstanceId, Arc<dyn IngesterWrite>> =
        names.into_iter().map(|id| (id, Arc::new(NullIngester) as Arc<dyn IngesterWrite>)).collect();
    let shards = [(TenantId::anonymous(), ShardSize::new(u32::MAX))];
    let view = RingView::new(ring, BTreeMap::new(), Vec::new(), shards);
    let (_, view) = watch::channel(Arc::new(view));
    let deps = Deps {
        clock: Arc::new(SystemClock::new()),
        scope: Scope::new("bench"),
        registry: Registry::new(),
        ingesters: Arc::new(pool),
        view,
        limits: Overrides::fixed(limits),
    };
    Distributor::build(DistributorConfig::default(), deps)
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let relabelled = WriteLimits { drop_labels: vec!["image".to_owned()], ..WriteLimits::default() };
    let cases = [
        ("rw1", Version::V1, 1, 1, WriteLimits::default()),
        ("rw2", Version::V2, 1, 1, WriteLimits::default()),
        ("rw1, 3 replicas on 6 ingesters", Version::V1, 6, 3, WriteLimits::default()),
        ("rw1, one label dropped", Version::V1, 1, 1, relabelled),
    ];
    let mut group = criterion.benchmark_group("push_path");
    group.throughput(Throughput::Elements(SERIES as u64));
    for (name, version, ingesters, replicas, limits) in cases {
        let distributor = distributor(ingesters, replicas, limits);
        let write = WriteRequest { tenant: TenantId::anonymous(), version, body: request(version) };
        group.bench_function(name, |b| {
            b.iter(|| {
                let response = runtime.block_on(distributor.write(write.clone()));
                assert_eq!(response.map(|r| r.written.samples), Ok(SERIES as u64));
            });
        });
    }
    group.finish();
}

criterion_group!(push_path, benches);
criterion_main!(push_path);
