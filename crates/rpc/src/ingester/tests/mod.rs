//! What is sent is what arrives, over real gRPC on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use env::{Clock, Scope, SystemClock};
use futures::stream::{StreamExt, TryStreamExt};
use model::{Exemplar, Labels, MatchOp, Matcher, Metadata, MetricType, SeriesHash, TenantId, TimeRange};
use parking_lot::Mutex;
use proto::{
    ActiveSeries, ActiveSeriesStream, CardinalityRequest, ChecksumStream, Chunk, ChunkEncoding, Code,
    Counted, Error, ExemplarsRequest, FamilyMetadata, Frame, IndexStats, IngesterRead, IngesterWrite,
    LabelNameCardinality, LabelNamesRequest, LabelValueCardinality, LabelValuesCardinality,
    LabelValuesRequest, MetadataEntry, MetadataRequest, PushRequest, PushResponse, ReferencedRequest,
    RejectReason, Rejection, SelectRequest, SelectStream, SeriesBatch, SeriesChunks, SeriesExemplars,
    SeriesRequest, Source, Stat, SymbolTable, TenantStats, Version, Written,
};
use settings::{Secret, Setting as _};
use telemetry::Registry;
use tokio::sync::oneshot;
use wire::protobuf::{put_bytes_field, put_varint};

use super::{IngesterService, RemoteIngester, TakeOverService};
use crate::grpc::{ClientPolicy, Dial, GrpcConfig, GrpcMetrics, GrpcServer, Routes, ServerPolicy, TcpDial};

mod checksums;
mod peers;
mod sending;
mod take_over;

/// Answers the same to everything, and keeps what it was asked, as text.
#[derive(Default)]
struct Fixed {
    pushed: Mutex<Vec<PushRequest>>,
    asked: Mutex<Vec<String>>,
    taken: Mutex<Vec<proto::TakeOverRequest>>,
    hangs: AtomicBool,
}

fn labels(n: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "up".to_owned()),
        ("instance", format!("host-{n:05}")),
        ("ü", "é\"\n".into()),
    ])
}

fn range() -> TimeRange {
    TimeRange::new(-5, 1_780_000_000_000).expect("a range")
}

fn series_chunks(n: usize) -> SeriesChunks {
    let chunk = |encoding, data: &'static [u8]| Chunk { range: range(), encoding, data: data.into() };
    SeriesChunks {
        labels: labels(n),
        chunks: vec![chunk(ChunkEncoding::Xor, b"abc"), chunk(ChunkEncoding::FloatHistogramSt, b"")],
    }
}

fn metadata() -> Metadata {
    Metadata { metric_type: MetricType::Summary, help: "help".into(), unit: "s".into() }
}

fn exemplars() -> SeriesExemplars {
    let exemplar = Exemplar { labels: labels(9), value: f64::INFINITY, timestamp_ms: -3 };
    SeriesExemplars { labels: labels(1), exemplars: vec![exemplar] }
}

fn response() -> PushResponse {
    let refused = Written { samples: 1, histograms: 2, exemplars: 3 };
    let rejected = RejectReason::ALL.into_iter().enumerate().map(|(i, reason)| Rejection {
        series: i as u32,
        reason,
        refused,
        message: format!("refused {i}"),
    });
    PushResponse {
        written: Written { samples: 7, histograms: 8, exemplars: 9 },
        rejected: rejected.collect(),
    }
}

fn stat(name: &str, value: u64) -> Vec<Stat> {
    vec![Stat { name: name.to_owned(), value }]
}

/// Of more tenants than a message takes.
fn all_stats() -> Vec<(TenantId, TenantStats)> {
    let tenant = |n: u64| TenantId::new(&format!("{n:0>100}")).unwrap();
    (0..20_000).map(|n| (tenant(n), TenantStats { series: n, samples: u64::MAX - n })).collect()
}

fn index_stats() -> IndexStats {
    IndexStats {
        series: 1,
        label_pairs: 2,
        chunks: 3,
        range: Some(range()),
        series_by_metric: stat("a", 4),
        values_by_label: stat("b", 5),
        bytes_by_label: stat("c", 6),
        series_by_pair: stat("d", 7),
    }
}

fn value_counts() -> LabelValuesCardinality {
    let label = LabelValueCardinality { name: "job".into(), values: vec![("api".into(), 3)] };
    LabelValuesCardinality { series_total: 11, labels: vec![label] }
}

/// Enough series for several messages.
const MANY: usize = 40_000;

#[async_trait]
impl IngesterWrite for Fixed {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        self.pushed.lock().push(request);
        match self.hangs.load(Ordering::Relaxed) {
            true => std::future::pending().await,
            false => Ok(response()),
        }
    }
}

impl Fixed {
    /// Answers no push from now on.
    fn hang(&self) {
        self.hangs.store(true, Ordering::Relaxed);
    }

    fn recover(&self) {
        self.hangs.store(false, Ordering::Relaxed);
    }

    fn note(&self, request: &impl std::fmt::Debug) {
        self.asked.lock().push(format!("{request:?}"));
    }
}

#[async_trait]
impl IngesterRead for Fixed {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        self.note(&request);
        if request.max_series == 1 {
            let last = Err(Error::new(Code::Unprocessable, "more than 1 series"));
            return Ok(futures::stream::iter([Ok(vec![series_chunks(0)]), last]).boxed());
        }
        let batches = (0..3).map(|n| Ok(vec![series_chunks(2 * n), series_chunks(2 * n + 1)]));
        Ok(futures::stream::iter(batches.collect::<Vec<_>>()).boxed())
    }
    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        self.note(&("checksums", &request));
        checksums::answer(self, request).await
    }
    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        self.note(&request);
        Ok((0..request.series.len()).map(series_chunks).collect())
    }
    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.note(&request);
        Ok((0..MANY).map(labels).collect())
    }
    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        self.note(&request);
        Err(Error::unavailable("the head is being replayed", Duration::from_secs(3)))
    }
    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        self.note(&request);
        Ok((0..MANY).map(|n| format!("a value that is long enough, and its number is {n:06}")).collect())
    }
    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.note(&request);
        Ok(vec![FamilyMetadata { family: "up".into(), entries: vec![metadata(), Metadata::default()] }])
    }
    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        self.note(&request);
        Ok(vec![exemplars()])
    }
    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        self.note(tenant);
        Ok(TenantStats { series: 3, samples: u64::MAX })
    }
    async fn all_stats(&self) -> Result<Vec<(TenantId, TenantStats)>, Error> {
        Ok(all_stats())
    }
    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        self.note(&(request, max_values));
        Ok(vec![LabelNameCardinality { name: "job".into(), values: vec![0, u64::MAX] }])
    }
    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        self.note(&(names, request, max_values));
        Ok(value_counts())
    }
    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        self.note(&(request, max_series));
        let series = |n, buckets| ActiveSeries { labels: labels(n), buckets };
        let batches = vec![Ok(vec![series(0, None)]), Ok(vec![series(1, Some(0)), series(2, Some(160))])];
        Ok(futures::stream::iter(batches).boxed())
    }
    async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        self.note(&(tenant, limit));
        Ok(index_stats())
    }
}

struct Pair {
    ingester: Arc<Fixed>,
    remote: RemoteIngester,
    address: String,
    _scope: Scope,
    /// Dropped, it ends the listener.
    _stop: oneshot::Sender<()>,
}

fn config() -> GrpcConfig {
    let secret = Secret::parse("a secret of this test").expect("a secret");
    GrpcConfig { cluster_secret: secret, ..GrpcConfig::default() }
}

async fn pair() -> Pair {
    pair_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
}

async fn pair_at(address: SocketAddr) -> Pair {
    let config = config();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let scope = Scope::new("test");
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let server_policy = ServerPolicy::new(&config, metrics.clone(), clock.clone()).expect("a policy");
    let server = GrpcServer::bind(address, config.clone(), server_policy, &scope, clock.clone());
    let server = server.await.expect("a port");
    let address = server.local_addr().to_string();
    let ingester = Arc::new(Fixed::default());
    let service = IngesterService::serve(Arc::clone(&ingester), config.max_message_bytes());
    let take_over = TakeOverService::serve(Arc::clone(&ingester), config.max_message_bytes());
    let (stop, stopped) = oneshot::channel::<()>();
    drop(scope.spawn("serve", async move {
        server
            .serve(Routes::new(service).add_service(take_over), async {
                let _ = stopped.await;
            })
            .await;
    }));
    let policy = ClientPolicy::new(&config, metrics, clock).expect("a policy");
    let channel = TcpDial::new(config, policy, &scope).dial(&address).expect("an address");
    Pair { ingester, remote: RemoteIngester::new(channel), address, _scope: scope, _stop: stop }
}

fn tenant() -> TenantId {
    TenantId::new("team-a").expect("a tenant")
}

fn frame(hash: u64, source: Source, start: u32, len: u32) -> Frame {
    Frame { hash: SeriesHash(hash), source, start, len }
}

#[tokio::test]
async fn a_write_of_version_1_arrives_as_it_was_sent() {
    let pair = pair().await;
    let batch = SeriesBatch {
        version: Version::V1,
        request: Bytes::from_static(b"..first....second"),
        rewritten: Bytes::from_static(b"-rewritten"),
        symbols: Arc::default(),
        frames: vec![
            frame(u64::MAX, Source::Request, 11, 6),
            frame(5, Source::Rewritten, 1, 9),
            frame(7, Source::Request, 2, 5),
        ],
    };
    let family = MetadataEntry { family: "up".into(), metadata: metadata() };
    let request = PushRequest { tenant: tenant(), batch, metadata: vec![family.clone()] };
    assert_eq!(pair.remote.push(request.clone()).await, Ok(response()));
    let pushed = pair.ingester.pushed.lock();
    let [got] = &pushed[..] else { panic!("{} requests", pushed.len()) };
    assert_eq!((&got.tenant, &got.metadata[..], got.batch.version), (&tenant(), &[family][..], Version::V1));
    let bodies = |batch: &SeriesBatch| {
        batch.frames.iter().map(|f| (f.hash, batch.body(f).map(<[u8]>::to_vec))).collect::<Vec<_>>()
    };
    assert_eq!(bodies(&got.batch), bodies(&request.batch));
    assert_eq!(got.batch.body(&got.batch.frames[1]), Some(&b"rewritten"[..]));
}

/// A series of remote write 2.0 that refers to these symbols.
fn referring(references: &[u32]) -> Vec<u8> {
    let mut packed = Vec::new();
    references.iter().for_each(|reference| put_varint(&mut packed, u64::from(*reference)));
    let mut body = Vec::new();
    put_bytes_field(&mut body, 1, &packed);
    body
}

/// What the table that arrived has at each index, after the table sent had `count` symbols of which one series refers
/// to `references`.
async fn symbols_after(count: u32, references: &[u32]) -> Vec<String> {
    let pair = pair().await;
    let text: String = (0..count).map(|n| format!("{n:07}")).collect();
    let spans = (0..count).map(|n| (7 * n, 7)).collect();
    let mut table = SymbolTable::new(text.into(), spans).expect("a table");
    table.add(Bytes::from_static(b"added"));
    let body = referring(references);
    let frames = vec![frame(1, Source::Request, 0, body.len() as u32)];
    let batch = SeriesBatch {
        version: Version::V2,
        request: body.into(),
        rewritten: Bytes::new(),
        symbols: Arc::new(table),
        frames,
    };
    let request = PushRequest { tenant: tenant(), batch, metadata: Vec::new() };
    pair.remote.push(request).await.expect("taken");
    let pushed = pair.ingester.pushed.lock();
    let table = &pushed[0].batch.symbols;
    let symbols = (0..table.len() as u32).map(|n| table.get(n).expect("a symbol"));
    symbols.map(|symbol| String::from_utf8(symbol.to_vec()).expect("a text")).collect()
}

#[tokio::test]
async fn symbols_keep_their_numbers_and_those_that_nobody_needs_stay_behind() {
    let symbols = symbols_after(1_000, &[3, 999, 1_000, 3]).await;
    assert_eq!(symbols.len(), 1_001);
    assert_eq!(
        (symbols[3].as_str(), symbols[999].as_str(), symbols[1_000].as_str()),
        ("0000003", "0000999", "added")
    );
    assert_eq!(symbols.iter().filter(|symbol| !symbol.is_empty()).count(), 3);
}

#[tokio::test]
async fn a_large_table_is_sent_whole_when_few_of_it_are_needed() {
    let symbols = symbols_after(100_000, &[77_777]).await;
    assert_eq!(symbols.len(), 100_001);
    assert!(symbols.iter().all(|symbol| !symbol.is_empty()));
    assert_eq!(symbols[77_777], "0077777");
}

#[test]
fn messages_that_contradict_themselves_are_refused() {
    use proto::ingester::{PushRequest, Symbols, Version};
    type Change = Box<dyn Fn(&mut PushRequest)>;
    let good = PushRequest {
        tenant: "a".into(),
        version: Version::V2.into(),
        bodies: Bytes::from_static(b"ab"),
        lengths: vec![1, 1],
        hashes: vec![1, 2],
        symbols: Some(Symbols { count: 2, indexes: vec![1], lengths: vec![3], text: "abc".into() }),
        metadata: Vec::new(),
        gaps: Vec::new(),
    };
    super::write::from_push(good.clone()).expect("it is good");
    let break_symbols = |change: fn(&mut Symbols)| {
        move |message: &mut PushRequest| message.symbols.iter_mut().for_each(change)
    };
    let changes: Vec<Change> = vec![
        Box::new(|m| m.tenant = "no/tenant".into()),
        Box::new(|m| m.version = 0),
        Box::new(|m| m.version = 99),
        Box::new(|m| m.lengths = vec![1]),
        Box::new(|m| m.lengths = vec![1, 2]),
        Box::new(|m| m.lengths = vec![u32::MAX, u32::MAX]),
        Box::new(|m| m.gaps = vec![0]),
        Box::new(|m| m.gaps = vec![1, 0]),
        Box::new(|m| m.gaps = vec![u32::MAX, u32::MAX]),
        Box::new(break_symbols(|s| s.count = u32::MAX)),
        Box::new(break_symbols(|s| s.indexes = vec![2])),
        Box::new(break_symbols(|s| s.lengths = vec![4])),
        Box::new(break_symbols(|s| s.lengths = vec![])),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut message = good.clone();
        change(&mut message);
        let error = super::write::from_push(message).expect_err("it is broken");
        assert_eq!(error.code, Code::InvalidArgument, "change {i}: {error}");
    }
}

#[test]
fn labels_that_are_none_are_refused() {
    let packed = super::labels::pack(&labels(1));
    assert_eq!(super::labels::unpack(&packed), Ok(labels(1)));
    assert_eq!(super::labels::unpack(b""), Ok(Labels::empty()));
    for end in 1..packed.len() {
        // What is cut off between two labels is a shorter set.
        if let Ok(shorter) = super::labels::unpack(&packed[..end]) {
            assert!(shorter.len() < 3, "{shorter}");
        }
    }
    for wrong in
        [&b"\x01a\x00"[..], b"\x00\x01b", b"\x01b\x01x\x01a\x01x", b"\x01a\x01\xff", b"\x01a", b"\xff\xff"]
    {
        assert!(super::labels::unpack(wrong).is_err(), "{wrong:?}");
    }
}

fn matchers() -> Vec<Matcher> {
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    ops.into_iter().map(|op| Matcher::new("job", op, "a|b.*").expect("a matcher")).collect()
}

fn series_request() -> SeriesRequest {
    SeriesRequest { tenant: tenant(), matcher_sets: vec![matchers(), Vec::new()], range: range(), limit: 17 }
}

#[tokio::test]
async fn selections_arrive_batch_by_batch_and_errors_where_they_happen() {
    let Pair { ingester, remote, .. } = &pair().await;
    let mut request = SelectRequest {
        tenant: tenant(),
        matchers: matchers(),
        range: TimeRange::ALL,
        newest_only: false,
        max_series: usize::MAX,
        max_chunk_bytes: 1 << 30,
    };
    let batches: Vec<_> =
        remote.select(request.clone()).await.expect("a stream").try_collect().await.expect("all");
    assert_eq!(batches.concat(), (0..6).map(series_chunks).collect::<Vec<_>>());
    assert_eq!(*ingester.asked.lock(), [format!("{request:?}")]);
    request.max_series = 1;
    let batches: Vec<_> = remote.select(request).await.expect("a stream").collect().await;
    let expected = [Ok(vec![series_chunks(0)]), Err(Error::new(Code::Unprocessable, "more than 1 series"))];
    assert_eq!(batches, expected);
}

#[tokio::test]
async fn every_question_and_every_answer_crosses_unchanged() {
    let Pair { ingester, remote, .. } = &pair().await;
    let mut asked = Vec::new();
    let request = series_request();
    asked.push(format!("{request:?}"));
    assert_eq!(remote.series(request.clone()).await, Ok((0..MANY).map(labels).collect()));
    asked.push(format!("{request:?}"));
    let replayed = Error::unavailable("the head is being replayed", Duration::from_secs(3));
    assert_eq!(remote.label_names(request.clone()).await, Err(replayed));
    let values = LabelValuesRequest { name: "job".into(), series: request };
    asked.push(format!("{values:?}"));
    assert_eq!(remote.label_values(values).await.map(|values| values.len()), Ok(MANY));
    let families =
        MetadataRequest { tenant: tenant(), family: Some("up".into()), limit: 1, limit_per_family: 2 };
    asked.push(format!("{families:?}"));
    let family = FamilyMetadata { family: "up".into(), entries: vec![metadata(), Metadata::default()] };
    assert_eq!(remote.metadata(families).await, Ok(vec![family]));
    let request = ExemplarsRequest { tenant: tenant(), matcher_sets: vec![matchers()], range: range() };
    asked.push(format!("{request:?}"));
    assert_eq!(remote.exemplars(request).await, Ok(vec![exemplars()]));
    asked.push(format!("{:?}", tenant()));
    assert_eq!(remote.stats(&tenant()).await, Ok(TenantStats { series: 3, samples: u64::MAX }));
    assert_eq!(remote.all_stats().await, Ok(all_stats()));
    for counted in [Counted::InMemory, Counted::ActiveSince(-1)] {
        let request = CardinalityRequest { tenant: tenant(), matchers: matchers(), counted };
        asked.push(format!("{:?}", (&request, 5_usize)));
        let name = LabelNameCardinality { name: "job".into(), values: vec![0, u64::MAX] };
        assert_eq!(remote.label_names_cardinality(request.clone(), 5).await, Ok(vec![name]));
        let names = vec!["job".to_owned()];
        asked.push(format!("{:?}", (&names, &request, 6_usize)));
        assert_eq!(remote.label_values_cardinality(names, request.clone(), 6).await, Ok(value_counts()));
        asked.push(format!("{:?}", (&request, 7_usize)));
        let series: Vec<_> =
            remote.active_series(request, 7).await.expect("a stream").try_concat().await.expect("all");
        let buckets: Vec<_> = series.iter().map(|series| (&series.labels, series.buckets)).collect();
        assert_eq!(buckets, [(&labels(0), None), (&labels(1), Some(0)), (&labels(2), Some(160))]);
    }
    asked.push(format!("{:?}", (tenant(), 10_usize)));
    assert_eq!(remote.index_stats(&tenant(), 10).await, Ok(index_stats()));
    assert_eq!(*ingester.asked.lock(), asked);
}
