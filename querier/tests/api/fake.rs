//! An ingester in memory, with real chunks, and a querier over several of them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use chunk::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, XorAppender};
use env::{Clock, ManualClock, Scope, SimFs};
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use model::{Exemplar, Labels, Matcher, Metadata, TenantId, TimeRange, Value};
use proto::{
    ActiveSeries, ActiveSeriesStream, CardinalityRequest, Chunk, Code, Counted, Error, ExemplarsRequest,
    FamilyMetadata, IndexStats, IngesterRead, LabelNameCardinality, LabelNamesRequest, LabelValueCardinality,
    LabelValuesCardinality, LabelValuesRequest, MetadataRequest, SelectRequest, SelectStream, SeriesChunks,
    SeriesExemplars, SeriesRequest, Stat, TenantStats,
};
use querier::{Deps, FixedIngesters, Querier, QuerierConfig, QuerierLimits};
use rpc::{TenantLayer, TenantResolver};
use settings::Overrides;
use telemetry::Registry;
use tower::ServiceExt;

/// When tests happen.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// How many samples the fake's chunks have at most: few, so that series have many chunks.
const CHUNK_SAMPLES: usize = 7;

/// A series of the fake.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeSeries {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) buckets: Option<u32>,
}

/// An ingester that holds what it is given, for one tenant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    pub(crate) series: Vec<FakeSeries>,
    pub(crate) metadata: Vec<FamilyMetadata>,
    /// What every request fails with.
    pub(crate) failure: Option<Error>,
    /// How long a selection takes: for ever, where it is set.
    pub(crate) hangs: bool,
    /// What becomes of a selection after so many batches: nothing more comes, or an error.
    pub(crate) ends_after: Option<(usize, Option<Error>)>,
}

/// Chunks of `samples`, cut as the TSDB would cut them or shorter.
pub(crate) fn chunks(samples: &[(i64, Value)]) -> Vec<Chunk> {
    let mut out = Vec::new();
    let kind = |v: &Value| std::mem::discriminant(v);
    for run in samples.chunk_by(|a, b| kind(&a.1) == kind(&b.1)) {
        for part in run.chunks(CHUNK_SAMPLES) {
            encode(part, &mut out);
        }
    }
    out
}

fn encode(samples: &[(i64, Value)], out: &mut Vec<Chunk>) {
    let Some((first, value)) = samples.first() else { return };
    let mut taken = 1;
    let (encoding, data) = match value {
        Value::Float(_) => {
            let mut appender = XorAppender::new();
            for (at, value) in samples {
                let Value::Float(v) = value else { unreachable!() };
                appender.append(*at, *v).unwrap();
            }
            taken = samples.len();
            (Encoding::Xor, appender.into_bytes())
        }
        Value::Histogram(h) => {
            let mut appender = HistogramAppender::start(*first, h).unwrap();
            for (at, value) in &samples[1..] {
                let Value::Histogram(h) = value else { unreachable!() };
                match appender.append(*at, h).unwrap() {
                    Appended::Appended | Appended::Recoded => taken += 1,
                    Appended::NeedsNewChunk(_) => break,
                }
            }
            (Encoding::Histogram, appender.into_bytes())
        }
        Value::FloatHistogram(h) => {
            let mut appender = FloatHistogramAppender::start(*first, h).unwrap();
            for (at, value) in &samples[1..] {
                let Value::FloatHistogram(h) = value else { unreachable!() };
                match appender.append(*at, h).unwrap() {
                    Appended::Appended | Appended::Recoded => taken += 1,
                    Appended::NeedsNewChunk(_) => break,
                }
            }
            (Encoding::FloatHistogram, appender.into_bytes())
        }
    };
    out.push(Chunk {
        range: TimeRange::new(*first, samples[taken - 1].0).unwrap(),
        encoding,
        data: data.into_vec().into(),
    });
    encode(&samples[taken..], out);
}

impl Fake {
    /// Adds a series of floats at seconds before [`NOW_MS`], given from the oldest.
    pub(crate) fn floats(self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        let samples: Vec<_> =
            samples.iter().map(|(seconds_ago, v)| (NOW_MS - seconds_ago * 1_000, Value::Float(*v))).collect();
        self.samples(labels, &samples)
    }

    /// Adds a series.
    pub(crate) fn samples(mut self, labels: &[(&str, &str)], samples: &[(i64, Value)]) -> Self {
        self.series.push(FakeSeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            chunks: chunks(samples),
            exemplars: Vec::new(),
            buckets: None,
        });
        self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        self
    }

    /// The series that a request counts.
    fn active(&self, request: &CardinalityRequest) -> Vec<&FakeSeries> {
        let range = match request.counted {
            Counted::InMemory => TimeRange::ALL,
            Counted::ActiveSince(since) => TimeRange::new(since, i64::MAX).unwrap(),
        };
        self.matching(std::slice::from_ref(&request.matchers), range)
    }

    /// How many of them have which pairs.
    fn counted(
        &self,
        request: &CardinalityRequest,
        max_values: usize,
    ) -> Result<BTreeMap<String, BTreeMap<String, u64>>, Error> {
        self.check()?;
        let mut counted = BTreeMap::<String, BTreeMap<String, u64>>::new();
        for (name, value) in self.active(request).into_iter().flat_map(|s| s.labels.iter()) {
            *counted.entry(name.to_owned()).or_default().entry(value.to_owned()).or_default() += 1;
        }
        let values: usize = counted.values().map(BTreeMap::len).sum();
        if values > max_values {
            return Err(Error::new(Code::Unprocessable, "too many values"));
        }
        Ok(counted)
    }

    fn check(&self) -> Result<(), Error> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn matching(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<&FakeSeries> {
        let all = |set: &Vec<Matcher>, s: &FakeSeries| {
            set.iter().all(|m| m.matches(s.labels.get_or_empty(m.name())))
        };
        self.series
            .iter()
            .filter(|s| sets.is_empty() || sets.iter().any(|set| all(set, s)))
            .filter(|s| s.chunks.iter().any(|c| c.range.overlaps(range)))
            .collect()
    }

    fn of_series<T: Ord>(
        &self,
        request: &SeriesRequest,
        items: impl Fn(&FakeSeries) -> Vec<T>,
    ) -> Result<Vec<T>, Error> {
        self.check()?;
        let found = self.matching(&request.matcher_sets, request.range);
        let mut items: Vec<_> =
            found.into_iter().flat_map(items).collect::<BTreeSet<_>>().into_iter().collect();
        if request.limit > 0 {
            items.truncate(request.limit);
        }
        Ok(items)
    }
}

#[async_trait]
impl IngesterRead for Fake {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        self.check()?;
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let found = self.matching(std::slice::from_ref(&request.matchers), request.range);
        if found.len() > request.max_series {
            return Err(Error::new(Code::Unprocessable, "the ingester was asked for fewer series"));
        }
        let series: Vec<_> = found
            .into_iter()
            .map(|s| SeriesChunks {
                labels: s.labels.clone(),
                chunks: s.chunks.iter().filter(|c| c.range.overlaps(request.range)).cloned().collect(),
            })
            .collect();
        // Batches of two, so that merging has to go over several.
        let mut batches: Vec<_> = series.chunks(2).map(|batch| Ok(batch.to_vec())).collect();
        let Some((count, error)) = &self.ends_after else {
            return Ok(futures::stream::iter(batches).boxed());
        };
        batches.truncate(*count);
        batches.extend(error.clone().map(Err));
        Ok(futures::stream::iter(batches).chain(futures::stream::pending()).boxed())
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.of_series(&request, |s| vec![s.labels.clone()])
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        self.of_series(&request, |s| s.labels.iter().map(|(n, _)| n.to_owned()).collect())
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        self.of_series(&request.series, |s| {
            s.labels.get(&request.name).map(str::to_owned).into_iter().collect()
        })
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.check()?;
        let wanted = |m: &&FamilyMetadata| request.family.as_ref().is_none_or(|family| *family == m.family);
        Ok(self.metadata.iter().filter(wanted).cloned().collect())
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        self.check()?;
        let found = self.matching(&request.matcher_sets, TimeRange::ALL);
        Ok(found
            .into_iter()
            .filter(|s| !s.exemplars.is_empty())
            .map(|s| SeriesExemplars {
                labels: s.labels.clone(),
                exemplars: s
                    .exemplars
                    .iter()
                    .filter(|e| request.range.contains(e.timestamp_ms))
                    .cloned()
                    .collect(),
            })
            .collect())
    }

    async fn stats(&self, _tenant: &TenantId) -> Result<TenantStats, Error> {
        self.check()?;
        Ok(TenantStats { series: self.series.len() as u64, samples: 0 })
    }

    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        let values = self.counted(&request, max_values)?;
        let hashed = |values: BTreeMap<String, u64>| {
            let mut hashes: Vec<_> = values.keys().map(|value| hash(value)).collect();
            hashes.sort_unstable();
            hashes
        };
        Ok(values.into_iter().map(|(name, v)| LabelNameCardinality { name, values: hashed(v) }).collect())
    }

    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        let all = CardinalityRequest { matchers: Vec::new(), ..request.clone() };
        let series_total = self.active(&all).len() as u64;
        let mut counted = self.counted(&request, max_values)?;
        counted.retain(|name, _| names.contains(name));
        let labels = counted
            .into_iter()
            .map(|(name, v)| LabelValueCardinality { name, values: v.into_iter().collect() });
        Ok(LabelValuesCardinality { series_total, labels: labels.collect() })
    }

    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        self.check()?;
        let active = self.active(&request);
        if active.len() > max_series {
            return Err(Error::new(Code::Unprocessable, "too many active series"));
        }
        let listed =
            active.into_iter().map(|s| ActiveSeries { labels: s.labels.clone(), buckets: s.buckets });
        let listed: Vec<_> = listed.collect();
        let batches: Vec<_> = listed.chunks(2).map(|batch| Ok(batch.to_vec())).collect();
        Ok(futures::stream::iter(batches).boxed())
    }

    async fn index_stats(&self, _tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        self.check()?;
        let everything = CardinalityRequest {
            tenant: TenantId::anonymous(),
            matchers: Vec::new(),
            counted: Counted::InMemory,
        };
        let counted = self.counted(&everything, usize::MAX)?;
        let list = |mut stats: Vec<Stat>| {
            stats.sort_by_key(|s| std::cmp::Reverse(s.value));
            stats.truncate(limit);
            stats
        };
        let stat = |name: &str, value: u64| Stat { name: name.to_owned(), value };
        let pairs = counted.iter().flat_map(|(name, values)| {
            values.iter().map(move |(value, count)| stat(&format!("{name}={value}"), *count))
        });
        let metrics = counted.get("__name__").into_iter().flatten();
        let ranges = self.series.iter().flat_map(|s| &s.chunks).map(|c| c.range);
        Ok(IndexStats {
            series: self.series.len() as u64,
            label_pairs: counted.values().map(|v| v.len() as u64).sum(),
            chunks: self.series.iter().map(|s| s.chunks.len() as u64).sum(),
            range: ranges.reduce(TimeRange::hull),
            series_by_metric: list(metrics.map(|(name, count)| stat(name, *count)).collect()),
            values_by_label: list(counted.iter().map(|(n, v)| stat(n, v.len() as u64)).collect()),
            bytes_by_label: list(counted.keys().map(|name| stat(name, name.len() as u64)).collect()),
            series_by_pair: list(pairs.collect()),
        })
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Metadata of one family.
pub(crate) fn family(name: &str, metric_type: model::MetricType, help: &str) -> FamilyMetadata {
    FamilyMetadata {
        family: name.to_owned(),
        entries: vec![Metadata { metric_type, help: help.to_owned(), unit: String::new() }],
    }
}

/// An API to ask.
pub(crate) struct Api {
    router: axum::Router,
    pub(crate) querier: Querier,
    pub(crate) limits: Overrides<QuerierLimits>,
    pub(crate) clock: ManualClock,
    pub(crate) registry: Registry,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

/// An API over these ingesters, with these settings of the querier and these limits.
pub(crate) fn api_with(fakes: Vec<Fake>, config: &[(&str, &str)], limits: &[(&str, &str)]) -> Api {
    let clock = ManualClock::new(NOW_MS);
    let registry = Registry::new();
    let readers = fakes.into_iter().map(|fake| Arc::new(fake) as Arc<dyn IngesterRead>).collect();
    let limits = Overrides::<QuerierLimits>::fixed(settings::section::with_values(limits).unwrap());
    let config: QuerierConfig = settings::section::with_values(config).unwrap();
    let querier = Querier::build(
        config,
        Deps {
            blocks: None,
            ingesters: Arc::new(FixedIngesters::new(readers)),
            limits: limits.clone(),
            clock: Arc::new(clock.clone()) as Arc<dyn Clock>,
            scope: Scope::new("test"),
            registry: registry.clone(),
            fs: Arc::new(SimFs::new(1)),
            dir: "/data/querier".into(),
        },
    );
    let router = querier.router().layer(TenantLayer::new(TenantResolver::single_tenant()));
    Api { router, querier, limits, clock, registry }
}

/// An API over one ingester.
pub(crate) fn api(fake: Fake) -> Api {
    api_with(vec![fake], &[], &[])
}

impl Api {
    /// Sends a request, and leaves the body of the answer to be read.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status, content type and bytes of the answer to a request whose answer need not be text.
    pub(crate) async fn send_binary(&self, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
        let response = self.open(request).await;
        let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        (status, content_type.unwrap_or_default(), body)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        Answer {
            status: response.status(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            body: String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec())
                .unwrap(),
        }
    }

    /// GETs `path`, which begins below `/api/v1/`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(format!("/api/v1/{path}")).body(Body::empty()).unwrap()).await
    }

    /// POSTs a form to `path`.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(format!("/api/v1/{path}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        self.send(request).await
    }

    /// Expects a success with this data.
    pub(crate) async fn expect(&self, path: &str, data: &str) {
        let answer = self.get(path).await;
        assert_eq!(answer.body, format!(r#"{{"status":"success","data":{data}}}"#), "{path}");
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.content_type, "application/json");
    }

    /// Expects a failure with this status, type and message.
    pub(crate) async fn expect_error(&self, path: &str, status: u16, kind: &str, message: &str) {
        let answer = self.get(path).await;
        let message = message.replace('"', "\\\"");
        assert_eq!(
            answer.body,
            format!(r#"{{"status":"error","errorType":"{kind}","error":"{message}"}}"#),
            "{path}"
        );
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.content_type, "application/json");
    }

    /// Lets `duration` pass once somebody waits for time to pass.
    pub(crate) async fn pass(&self, duration: Duration) {
        while self.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        self.clock.advance(duration);
    }
}

/// Text for a query string.
pub(crate) fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
