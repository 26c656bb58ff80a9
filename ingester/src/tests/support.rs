//! An ingester on a simulated disk, and an oracle that knows what it acknowledged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{FileSystem, Scope, SeededRng, SimClock};
use futures::StreamExt;
use model::{Labels, Matcher, SeriesHash, TenantId, TenantSeed, TimeRange, Value};
use proto::{
    Chunk, Error, Frame, IngesterRead, IngesterWrite, PushRequest, PushResponse, SelectRequest, SeriesBatch,
    Source, SymbolTable, Version,
};
use ring::State;
use settings::Overrides;
use telemetry::Registry;
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::histogram::HistogramSample;
use wire::rw2::RequestField;

use crate::config::{IngesterConfig, Limits};
use crate::head::open;
use crate::{Deps, Ingester, StartError, maintenance};

/// When tests begin: 2026-01-01.
pub(super) const NOW_MS: i64 = 1_767_225_600_000;

/// Samples by series and time.
pub(super) type Samples = BTreeMap<Labels, BTreeMap<i64, Value>>;

/// A sample of a series.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) labels: Labels,
    pub(super) timestamp_ms: i64,
    pub(super) value: Value,
}

pub(super) fn row(labels: &Labels, timestamp_ms: i64, value: f64) -> Row {
    Row { labels: labels.clone(), timestamp_ms, value: Value::Float(value) }
}

pub(super) fn labels(name: &str, instance: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("instance", &*format!("host-{instance}")), ("job", "test")])
}

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// The request that a distributor would send for these rows; rows of one series become one frame each.
pub(super) fn request(tenant: &TenantId, rows: &[Row]) -> PushRequest {
    let mut message = Rw1Writer::default();
    let mut hashes = Vec::new();
    for row in rows {
        for (name, value) in row.labels.iter() {
            message.label(name, value);
        }
        match &row.value {
            Value::Float(value) => drop(message.sample(row.timestamp_ms, *value)),
            value => {
                let value = value.clone();
                message.histogram(&HistogramSample {
                    timestamp_ms: row.timestamp_ms,
                    start_timestamp_ms: 0,
                    value,
                });
            }
        }
        message.end_series();
        hashes.push(SeriesHash::of(TenantSeed::of(tenant), &row.labels));
    }
    let request = Bytes::copy_from_slice(message.message());
    let series = wire::rw1::request(&request).map(|field| match field.unwrap() {
        wire::rw1::RequestField::TimeSeries { start, body } => (start as u32, body.len() as u32),
        other @ wire::rw1::RequestField::Metadata { .. } => panic!("{other:?}"),
    });
    let frame = |((start, len), hash)| Frame { hash, source: Source::Request, start, len };
    let frames = series.zip(hashes).map(frame).collect();
    let batch = SeriesBatch {
        version: Version::V1,
        request: request.clone(),
        rewritten: Bytes::new(),
        symbols: Arc::default(),
        frames,
    };
    PushRequest { tenant: tenant.clone(), batch, metadata: Vec::new() }
}

/// The request that a distributor would send for the series written, whose labels are these.
pub(super) fn request_v2(tenant: &TenantId, written: &Rw2Writer, sets: &[Labels]) -> PushRequest {
    let request = Bytes::from(written.message());
    let (mut spans, mut bodies) = (Vec::new(), Vec::new());
    for field in wire::rw2::request(&request) {
        match field.unwrap() {
            RequestField::Symbol { start, text } => spans.push((start as u32, text.len() as u32)),
            RequestField::TimeSeries { start, body } => bodies.push((start as u32, body.len() as u32)),
        }
    }
    let seed = TenantSeed::of(tenant);
    let frame =
        |((start, len), set)| Frame { hash: SeriesHash::of(seed, set), source: Source::Request, start, len };
    let batch = SeriesBatch {
        version: Version::V2,
        request: request.clone(),
        rewritten: Bytes::new(),
        symbols: Arc::new(SymbolTable::new(request, spans).unwrap()),
        frames: bodies.into_iter().zip(sets).map(frame).collect(),
    };
    PushRequest { tenant: tenant.clone(), batch, metadata: Vec::new() }
}

/// An ingester, its clock, and the scope that a crash aborts.
pub(super) struct Host {
    pub(super) ingester: Ingester,
    pub(super) clock: Arc<SimClock>,
    pub(super) scope: Scope,
}

pub(super) fn limits(window: Duration) -> Limits {
    Limits { out_of_order_time_window: window, ..Limits::default() }
}

pub(super) async fn start(fs: Arc<dyn FileSystem>, limits: Limits) -> Result<Host, StartError> {
    start_with(fs, Overrides::fixed(limits)).await
}

pub(super) async fn start_with(
    fs: Arc<dyn FileSystem>,
    limits: Overrides<Limits>,
) -> Result<Host, StartError> {
    start_named("ingester-1", fs, limits, IngesterConfig::default(), State::Active).await
}

pub(super) async fn start_configured(
    fs: Arc<dyn FileSystem>,
    config: IngesterConfig,
    state: State,
) -> Result<Host, StartError> {
    start_named("ingester-1", fs, Overrides::fixed(Limits::default()), config, state).await
}

/// An ingester whose random numbers are those of `seed`.
pub(super) async fn start_seeded(seed: u64, fs: Arc<dyn FileSystem>) -> Host {
    let deps = |scope: &Scope, clock: &Arc<SimClock>| Deps {
        rng: Arc::new(SeededRng::new(seed)),
        ..deps("ingester-1", fs, Overrides::fixed(Limits::default()), scope, clock)
    };
    start_deps(IngesterConfig::default(), State::Active, deps).await.unwrap()
}

/// An ingester whose clock is ahead by so much.
pub(super) async fn start_skewed(skew_ms: i64, fs: Arc<dyn FileSystem>) -> Host {
    let deps = |scope: &Scope, _: &Arc<SimClock>| {
        let clock = Arc::new(SimClock::new(NOW_MS, skew_ms));
        deps("ingester-1", fs, Overrides::fixed(Limits::default()), scope, &clock)
    };
    start_deps(IngesterConfig::default(), State::Active, deps).await.unwrap()
}

/// An ingester whose blocks go to a bucket, so long after [`NOW_MS`].
pub(super) async fn start_with_bucket(
    after_ms: i64,
    fs: Arc<dyn FileSystem>,
    config: IngesterConfig,
    limits: Limits,
    bucket: bucket::Bucket,
) -> Result<Host, StartError> {
    let deps = |scope: &Scope, _: &Arc<SimClock>| {
        let clock = Arc::new(SimClock::new(NOW_MS, after_ms));
        Deps { bucket: Some(bucket), ..deps("ingester-1", fs, Overrides::fixed(limits), scope, &clock) }
    };
    start_deps(config, State::Active, deps).await
}

pub(super) async fn start_named(
    instance: &str,
    fs: Arc<dyn FileSystem>,
    limits: Overrides<Limits>,
    config: IngesterConfig,
    state: State,
) -> Result<Host, StartError> {
    start_deps(config, state, |scope, clock| deps(instance, fs, limits, scope, clock)).await
}

async fn start_deps(
    config: IngesterConfig,
    state: State,
    deps: impl FnOnce(&Scope, &Arc<SimClock>) -> Deps,
) -> Result<Host, StartError> {
    let clock = Arc::new(SimClock::new(NOW_MS, 0));
    let scope = Scope::simulated("ingester");
    let ingester = Ingester::start_as(state, config, deps(&scope, &clock)).await?;
    Ok(Host { ingester, clock, scope })
}

fn deps(
    instance: &str,
    fs: Arc<dyn FileSystem>,
    limits: Overrides<Limits>,
    scope: &Scope,
    clock: &Arc<SimClock>,
) -> Deps {
    Deps {
        fs,
        clock: clock.clone(),
        scope: scope.clone(),
        registry: Registry::new(),
        dir: PathBuf::from("/data/ingester"),
        retention: Duration::from_secs(15 * 86_400),
        limits,
        instance: instance.to_owned(),
        rng: Arc::new(SeededRng::new(1)),
        bucket: None,
    }
}

/// What an ingester needs, on this disk.
pub(super) fn deps_on(fs: Arc<dyn FileSystem>, limits: Overrides<Limits>, scope: &Scope) -> Deps {
    deps("ingester-1", fs, limits, scope, &Arc::new(SimClock::new(NOW_MS, 0)))
}

impl Host {
    pub(super) async fn push(&self, tenant: &TenantId, rows: &[Row]) -> Result<PushResponse, Error> {
        self.ingester.push(request(tenant, rows)).await
    }

    pub(super) async fn snapshot(&self) -> bool {
        maintenance::snapshot(&self.ingester.inner).await.is_ok()
    }

    /// Everything that a tenant has.
    pub(super) async fn read_all(&self, tenant: &TenantId) -> Samples {
        read_all(&self.ingester, tenant).await
    }

    /// All chunks that a tenant has.
    pub(super) async fn chunks(&self, tenant: &TenantId) -> Vec<(Labels, Vec<Chunk>)> {
        chunks(&self.ingester, tenant).await
    }
}

/// Everything that a tenant has. Fails where a timestamp is returned twice with different values.
pub(super) async fn read_all(ingester: &Ingester, tenant: &TenantId) -> Samples {
    let mut all = Samples::new();
    for (labels, chunks) in chunks(ingester, tenant).await {
        let samples = all.entry(labels.clone()).or_default();
        for chunk in &chunks {
            for (timestamp_ms, value) in open::decode(chunk.encoding, &chunk.data).unwrap() {
                assert!(chunk.range.contains(timestamp_ms), "sample outside its chunk's range");
                let repeated = samples.insert(timestamp_ms, value.clone());
                let same = repeated.is_none_or(|r| r.same_bits(&value));
                assert!(same, "{labels}: two values at {timestamp_ms}");
            }
        }
    }
    all
}

async fn chunks(ingester: &Ingester, tenant: &TenantId) -> Vec<(Labels, Vec<Chunk>)> {
    let any = Matcher::new("__name__", model::MatchOp::Regex, ".+").unwrap();
    let request = SelectRequest {
        tenant: tenant.clone(),
        matchers: vec![any],
        range: TimeRange::ALL,
        newest_only: false,
        max_series: usize::MAX,
        max_chunk_bytes: usize::MAX,
    };
    let mut all = Vec::new();
    let mut stream = ingester.select(request).await.unwrap();
    while let Some(batch) = stream.next().await {
        all.extend(batch.unwrap().into_iter().map(|series| (series.labels, series.chunks)));
    }
    all
}

/// Ends an ingester as a crash does, and lets its tasks go.
pub(super) async fn end(host: Host) {
    host.scope.abort();
    drop(host.ingester);
    host.scope.join(&*host.clock, Duration::MAX).await;
}

/// What was acknowledged, and what may or may not have been stored.
#[derive(Default, Clone)]
pub(super) struct Oracle {
    acknowledged: Samples,
    uncertain: Samples,
}

impl Oracle {
    /// Notes the answer to a push of float rows.
    pub(super) fn note(&mut self, rows: &[Row], answer: &Result<PushResponse, Error>) {
        let refused: Vec<u32> = answer.iter().flat_map(|a| a.rejected.iter().map(|r| r.series)).collect();
        for (position, row) in rows.iter().enumerate() {
            let into = match answer {
                Ok(_) if refused.contains(&(position as u32)) => continue,
                Ok(_) => &mut self.acknowledged,
                Err(_) => &mut self.uncertain,
            };
            let samples = into.entry(row.labels.clone()).or_default();
            samples.entry(row.timestamp_ms).or_insert_with(|| row.value.clone());
        }
    }

    /// Every acknowledged sample is there, and nothing that was never sent.
    pub(super) fn check(&self, found: &Samples, context: &str) {
        for (labels, samples) in &self.acknowledged {
            for (timestamp_ms, value) in samples {
                let stored = found.get(labels).and_then(|s| s.get(timestamp_ms));
                let same = stored.is_some_and(|s| s.same_bits(value));
                assert!(
                    same,
                    "{context}: {labels} at {timestamp_ms}: acknowledged {value:?}, found {stored:?}"
                );
            }
        }
        for (labels, samples) in found {
            for (timestamp_ms, value) in samples {
                let sent = [&self.acknowledged, &self.uncertain]
                    .iter()
                    .filter_map(|s| s.get(labels)?.get(timestamp_ms))
                    .any(|sent| sent.same_bits(value));
                assert!(
                    sent,
                    "{context}: {labels} at {timestamp_ms}: found {value:?}, which was never stored"
                );
            }
        }
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.values().map(BTreeMap::len).sum()
    }
}

/// Runs a future on one thread whose time only a test moves.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}
