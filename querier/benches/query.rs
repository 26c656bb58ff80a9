//! What a query costs between the ingester's chunks and the client's JSON: selection, decoding, evaluation, encoding.

#![allow(missing_docs, reason = "criterion's macros make items without documentation")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use chunk::{Encoding, XorAppender};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use env::{Clock, ManualClock, Scope, SimFs};
use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use model::{Labels, TenantId, TimeRange};
use proto::{
    Chunk, Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest, LabelValuesRequest,
    MetadataRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, TenantStats,
};
use querier::{Deps, FixedIngesters, Querier, QuerierConfig, QuerierLimits};
use rpc::{TenantLayer, TenantResolver};
use settings::Overrides;
use telemetry::Registry;
use tower::ServiceExt;

const NOW_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 1_000;
const SAMPLES: i64 = 240;
const INTERVAL_MS: i64 = 15_000;
const CHUNK_SAMPLES: i64 = 120;

/// Counters of one hour, in chunks as a head has them.
struct Counters(Vec<SeriesChunks>);

impl Counters {
    fn new() -> Self {
        let series = (0..SERIES).map(|i| SeriesChunks {
            labels: Labels::from_pairs([
                ("__name__", "requests_total".to_owned()),
                ("instance", format!("{i:04}")),
            ]),
            chunks: (0..SAMPLES / CHUNK_SAMPLES)
                .map(|chunk| counter(i as i64, chunk * CHUNK_SAMPLES))
                .collect(),
        });
        Self(series.collect())
    }
}

fn counter(series: i64, first: i64) -> Chunk {
    let time = |sample: i64| NOW_MS - (SAMPLES - 1 - sample) * INTERVAL_MS;
    let mut appender = XorAppender::new();
    for sample in first..first + CHUNK_SAMPLES {
        let value = sample * 37 + series * sample % 11;
        appender.append(time(sample), value as f64).unwrap();
    }
    Chunk {
        range: TimeRange::new(time(first), time(first + CHUNK_SAMPLES - 1)).unwrap(),
        encoding: Encoding::Xor,
        data: appender.into_bytes().into_vec().into(),
    }
}

#[async_trait]
impl IngesterRead for Counters {
    async fn select(&self, _request: SelectRequest) -> Result<SelectStream, Error> {
        let batches: Vec<_> = self.0.chunks(100).map(|batch| Ok(batch.to_vec())).collect();
        Ok(futures::stream::iter(batches).boxed())
    }

    async fn series(&self, _request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        Ok(self.0.iter().map(|series| series.labels.clone()).collect())
    }

    async fn label_names(&self, _request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn label_values(&self, _request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn metadata(&self, _request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        Ok(Vec::new())
    }

    async fn exemplars(&self, _request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        Ok(Vec::new())
    }

    async fn stats(&self, _tenant: &TenantId) -> Result<TenantStats, Error> {
        Ok(TenantStats::default())
    }
}

/// The API over `replicas` ingesters with the same data.
fn api(replicas: usize) -> Router {
    let reader: Arc<dyn IngesterRead> = Arc::new(Counters::new());
    let querier = Querier::build(
        QuerierConfig::default(),
        Deps {
            blocks: None,
            ingesters: Arc::new(FixedIngesters::new(vec![reader; replicas])),
            limits: Overrides::fixed(QuerierLimits::default()),
            clock: Arc::new(ManualClock::new(NOW_MS)) as Arc<dyn Clock>,
            scope: Scope::new("bench"),
            registry: Registry::new(),
            fs: Arc::new(SimFs::new(1)),
            dir: "/data/querier".into(),
        },
    );
    querier.router().layer(TenantLayer::new(TenantResolver::single_tenant()))
}

fn queries(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements(SERIES as u64 * SAMPLES as u64)).sample_size(20);
    let hour = "start=1699996400&end=1700000000&step=15";
    for (name, replicas, path) in [
        ("all_samples", 1, "query?query=requests_total[1h]".to_owned()),
        ("all_samples_of_three_replicas", 3, "query?query=requests_total[1h]".to_owned()),
        ("range_of_selector", 1, format!("query_range?query=requests_total&{hour}")),
        ("range_of_sum_of_rate", 1, format!("query_range?query=sum(rate(requests_total[5m]))&{hour}")),
    ] {
        let api = api(replicas);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let request = Request::get(format!("/api/v1/{path}")).body(Body::empty()).unwrap();
                runtime.block_on(async {
                    let answer = api.clone().oneshot(request).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    answer.into_body().collect().await.unwrap().to_bytes().len()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
