//! The ingester's hot paths end to end: a push (resolve, record, log, apply), a selection, and a restart.
//!
//! Run with `cargo bench -p ingester --bench ingest`. A push is of 2,000 series with 11 labels and one sample each, the
//! usual remote write request; the log is on the real disk.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use env::{Clock, RealFs, Scope, SystemClock};
use futures::StreamExt;
use ingester::{Deps, Ingester, IngesterConfig, Limits};
use model::{Labels, Matcher, SeriesHash, TenantId, TenantSeed, TimeRange};
use proto::{Frame, IngesterRead, IngesterWrite, PushRequest, SelectRequest, SeriesBatch, Source, Version};
use settings::Overrides;
use telemetry::Registry;
use tokio::runtime::Runtime;
use wire::encode::Rw1Writer;

const SERIES: usize = 2_000;

fn labels(series: usize) -> Labels {
    let (instance, mode) =
        (format!("10.0.{}.{}:9100", series / 250, series % 250), format!("mode-{}", series % 8));
    Labels::from_pairs([
        ("__name__", "node_cpu_seconds_total"),
        ("cluster", "production-eu-west-1"),
        ("container", "node-exporter"),
        ("cpu", &*(series % 64).to_string()),
        ("endpoint", "https"),
        ("instance", &*instance),
        ("job", "node-exporter"),
        ("mode", &*mode),
        ("namespace", "monitoring"),
        ("pod", &*format!("node-exporter-{series:05x}")),
        ("service", "node-exporter"),
    ])
}

/// The same series at another time: a scrape after the other.
fn request(tenant: &TenantId, sets: &[Labels], timestamp_ms: i64) -> PushRequest {
    let mut message = Rw1Writer::default();
    for (i, labels) in sets.iter().enumerate() {
        for (name, value) in labels.iter() {
            message.label(name, value);
        }
        message.sample(timestamp_ms, (timestamp_ms / 1000 % 5000 + i as i64) as f64).end_series();
    }
    let request = Bytes::copy_from_slice(message.message());
    let seed = TenantSeed::of(tenant);
    let frames = wire::rw1::request(&request)
        .zip(sets)
        .filter_map(|(field, labels)| match field {
            Ok(wire::rw1::RequestField::TimeSeries { start, body }) => Some(Frame {
                hash: SeriesHash::of(seed, labels),
                source: Source::Request,
                start: start as u32,
                len: body.len() as u32,
            }),
            _ => None,
        })
        .collect();
    let batch = SeriesBatch {
        version: Version::V1,
        request: request.clone(),
        rewritten: Bytes::new(),
        symbols: Arc::default(),
        frames,
    };
    PushRequest { tenant: tenant.clone(), batch, metadata: Vec::new() }
}

async fn start(dir: &Path, clock: &Arc<dyn Clock>) -> (Ingester, Scope) {
    let scope = Scope::new("bench");
    let deps = Deps {
        fs: Arc::new(RealFs),
        clock: clock.clone(),
        scope: scope.clone(),
        registry: Registry::new(),
        dir: dir.to_owned(),
        retention: Duration::from_secs(86_400),
        limits: Overrides::fixed(Limits::default()),
        instance: "bench".to_owned(),
        rng: Arc::new(env::SeededRng::new(1)),
        bucket: None,
    };
    (Ingester::start(IngesterConfig::default(), deps).await.expect("the directory is new"), scope)
}

async fn end(ingester: Ingester, scope: Scope, clock: &Arc<dyn Clock>) {
    scope.abort();
    drop(ingester);
    scope.join(&**clock, Duration::from_secs(10)).await;
}

fn benches(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let tenant = TenantId::anonymous();
    let sets: Vec<Labels> = (0..SERIES).map(labels).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let begun_ms = clock.now_ms() - 3_600_000;
    let mut now_ms = begun_ms;
    let (ingester, scope) = runtime.block_on(start(dir.path(), &clock));

    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("push_2000", |b| {
        b.iter_batched(
            || {
                now_ms += 100;
                request(&tenant, &sets, now_ms)
            },
            |request| runtime.block_on(ingester.push(request)).expect("stored"),
            BatchSize::PerIteration,
        );
    });
    let scrapes = (now_ms - begun_ms) / 100;
    group.throughput(Throughput::Elements(SERIES as u64 * scrapes as u64));
    group.bench_function("select_all_encoded", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let request = SelectRequest {
                    tenant: tenant.clone(),
                    matchers: vec![Matcher::equal("job", "node-exporter")],
                    range: TimeRange::ALL,
                    newest_only: false,
                    max_series: SERIES,
                    max_chunk_bytes: usize::MAX,
                };
                let mut batches = ingester.select(request).await.expect("selected");
                while let Some(batch) = batches.next().await {
                    black_box(batch.expect("read"));
                }
            });
        });
    });
    runtime.block_on(end(ingester, scope, &clock));
    group.sample_size(10);
    group.bench_function("replay", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let (ingester, scope) = start(dir.path(), &clock).await;
                assert!(ingester.restored().series as usize == SERIES);
                end(ingester, scope, &clock).await;
            });
        });
    });
    group.finish();
}

criterion_group!(ingest, benches);
criterion_main!(ingest);
