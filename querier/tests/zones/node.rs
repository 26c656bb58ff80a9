//! An ingester that holds what it is given, cuts chunks in its own way, and fails when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chunk::{Encoding, ValueRef, XorAppender};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use model::{Exemplar, Labels, Matcher, SeriesHash, TenantId, TenantSeed, TimeRange};
use parking_lot::Mutex;
use proto::{
    ActiveSeries, ActiveSeriesStream, CardinalityRequest, Checked, ChecksumBatch, ChecksumStream,
    ChecksummedSeries, Chunk, Error, ExemplarsRequest, FamilyMetadata, IndexStats, IngesterRead,
    LabelNameCardinality, LabelNamesRequest, LabelValueCardinality, LabelValuesCardinality,
    LabelValuesRequest, MetadataRequest, ReferencedRequest, SelectBatch, SelectRequest, SelectStream,
    SeriesChunks, SeriesExemplars, SeriesRequest, Stat, TenantStats,
};

/// How many series a batch has: few, so that merging has to go over several.
const BATCH_SERIES: usize = 3;

/// What a node does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behaviour {
    /// It answers.
    #[default]
    Answers,
    /// It fails after so many batches; calls without batches fail at once.
    FailsAfter(usize),
    /// It says nothing more after so many batches; calls without batches are never answered.
    HangsAfter(usize),
}

/// What it was asked for, and how much it sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) chunks: usize,
    pub(crate) checksums: usize,
    pub(crate) referenced: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) series: Mutex<BTreeMap<Labels, BTreeMap<i64, f64>>>,
    pub(crate) exemplars: Mutex<BTreeMap<Labels, Vec<Exemplar>>>,
    pub(crate) metadata: Mutex<Vec<FamilyMetadata>>,
    pub(crate) behaviour: Mutex<Behaviour>,
    /// How often others may go on before each of its batches comes.
    pub(crate) lag: Mutex<usize>,
    /// Chunks are cut at multiples of this, in milliseconds.
    pub(crate) cut_ms: i64,
    /// It is of the release before, which has no checksums.
    pub(crate) is_old: bool,
    pub(crate) sent: Mutex<Sent>,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("team").unwrap()
}

fn encode(samples: &[(i64, f64)]) -> Chunk {
    let mut appender = XorAppender::new();
    for (at, value) in samples {
        appender.append(*at, *value).unwrap();
    }
    Chunk {
        range: TimeRange::new(samples[0].0, samples[samples.len() - 1].0).unwrap(),
        encoding: Encoding::Xor,
        data: appender.into_bytes().into_vec().into(),
    }
}

/// All samples of chunks. Fails where they are not sorted, or one comes twice.
pub(crate) fn decode(series: &SeriesChunks) -> BTreeMap<i64, f64> {
    let starts = |c: &Chunk| c.range.start_ms();
    assert!(series.chunks.is_sorted_by_key(starts), "chunks of {} out of order", series.labels);
    let mut samples = BTreeMap::new();
    for (i, chunk) in series.chunks.iter().enumerate() {
        assert!(!series.chunks[..i].contains(chunk), "a chunk of {} twice", series.labels);
        let mut cursor = chunk::cursor(chunk.encoding, &chunk.data).unwrap();
        while let Some((at, _, value)) = cursor.next_with_start().unwrap() {
            let ValueRef::Float(value) = value else { panic!("not a float") };
            let before = samples.insert(at, value);
            assert!(before.is_none_or(|before| before == value), "two values of {} at {at}", series.labels);
        }
    }
    samples
}

impl Node {
    pub(crate) fn write(&self, labels: &Labels, at: i64, value: f64) {
        self.series.lock().entry(labels.clone()).or_default().insert(at, value);
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    fn chunks(&self, samples: &BTreeMap<i64, f64>, range: TimeRange) -> Vec<Chunk> {
        let samples: Vec<_> = samples.iter().map(|(at, value)| (*at, *value)).collect();
        let cut = self.cut_ms;
        let parts = samples.chunk_by(|a, b| a.0.div_euclid(cut) == b.0.div_euclid(cut));
        parts.map(encode).filter(|chunk| chunk.range.overlaps(range)).collect()
    }

    fn find(&self, sets: &[Vec<Matcher>], range: TimeRange) -> SelectBatch {
        let matches = |labels: &Labels, set: &Vec<Matcher>| {
            set.iter().all(|m| m.matches(labels.get_or_empty(m.name())))
        };
        let all = self.series.lock();
        let found =
            all.iter().filter(|(labels, _)| sets.is_empty() || sets.iter().any(|set| matches(labels, set)));
        let found = found.map(|(labels, samples)| SeriesChunks {
            labels: labels.clone(),
            chunks: self.chunks(samples, range),
        });
        found.filter(|series| !series.chunks.is_empty()).collect()
    }

    /// Batches, until it fails.
    fn stream<T: Send + 'static>(&self, batches: Vec<T>) -> BoxStream<'static, Result<T, Error>> {
        let lag = *self.lag.lock();
        let (count, end) = match *self.behaviour.lock() {
            Behaviour::Answers => (batches.len(), stream::empty().boxed()),
            Behaviour::FailsAfter(n) => (n, stream::iter([Err(broken())]).boxed()),
            Behaviour::HangsAfter(n) => (n, stream::pending().boxed()),
        };
        let lagging = move |batch| async move {
            for _ in 0..lag {
                tokio::task::yield_now().await;
            }
            batch
        };
        stream::iter(batches.into_iter().take(count).map(Ok)).chain(end).then(lagging).boxed()
    }

    async fn answer<T>(&self, answer: impl FnOnce() -> T) -> Result<T, Error> {
        let behaviour = *self.behaviour.lock();
        match behaviour {
            Behaviour::Answers => Ok(answer()),
            Behaviour::FailsAfter(_) => Err(broken()),
            Behaviour::HangsAfter(_) => std::future::pending().await,
        }
    }

    fn of_series<T: Ord>(&self, request: &SeriesRequest, items: impl Fn(&Labels) -> Vec<T>) -> Vec<T> {
        let found = self.find(&request.matcher_sets, request.range);
        let mut items: Vec<T> = found.iter().flat_map(|series| items(&series.labels)).collect();
        items.sort();
        items.dedup();
        items.truncate(if request.limit == 0 { usize::MAX } else { request.limit });
        items
    }

    fn counted(&self, matchers: &[Matcher]) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut counted = BTreeMap::<String, BTreeMap<String, u64>>::new();
        for series in self.find(&[matchers.to_vec()], TimeRange::ALL) {
            for (name, value) in series.labels.iter() {
                *counted.entry(name.to_owned()).or_default().entry(value.to_owned()).or_default() += 1;
            }
        }
        counted
    }

    fn checksums(batch: &[SeriesChunks], start: usize) -> Checked {
        let seed = TenantSeed::of(&tenant());
        let series = batch.iter().enumerate().map(|(i, series)| ChecksummedSeries {
            hash: SeriesHash::of(seed, &series.labels),
            reference: (start + i) as u64,
            chunks: series.chunks.len() as u32,
        });
        Checked::Checksums(ChecksumBatch {
            series: series.collect(),
            checksums: batch.iter().flat_map(|series| &series.chunks).map(Chunk::checksum).collect(),
            last: batch[batch.len() - 1].labels.clone(),
        })
    }
}

fn broken() -> Error {
    Error::unavailable("it is broken", std::time::Duration::from_secs(1))
}

#[async_trait]
impl IngesterRead for Node {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        let found = self.find(std::slice::from_ref(&request.matchers), request.range);
        self.sent.lock().chunks += found.iter().map(|series| series.chunks.len()).sum::<usize>();
        Ok(self.stream(found.chunks(BATCH_SERIES).map(<[_]>::to_vec).collect()))
    }

    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        if self.is_old {
            return Ok(self.select(request).await?.map(|batch| batch.map(Checked::Chunks)).boxed());
        }
        let found = self.find(std::slice::from_ref(&request.matchers), request.range);
        self.sent.lock().checksums += found.iter().map(|series| series.chunks.len()).sum::<usize>();
        // As many series in a batch as chunks have, and one more: batches end at other series.
        let batches = found.chunks(BATCH_SERIES + 1).enumerate();
        let batches = batches.map(|(i, batch)| Self::checksums(batch, i * (BATCH_SERIES + 1)));
        Ok(self.stream(batches.collect()))
    }

    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        let seed = TenantSeed::of(&request.tenant);
        let found = self.find(&[], request.range);
        let read = || {
            let read = request.series.iter().map(|asked| {
                let series = found.iter().find(|series| SeriesHash::of(seed, &series.labels) == asked.hash);
                let SeriesChunks { labels, mut chunks } = series.expect("it named the series").clone();
                chunks.retain(|chunk| chunk.range.end_ms() >= asked.since_ms);
                SeriesChunks { labels, chunks }
            });
            let read: Vec<_> = read.collect();
            self.sent.lock().referenced += read.iter().map(|series| series.chunks.len()).sum::<usize>();
            read
        };
        match *self.behaviour.lock() {
            // Some fail between the two.
            Behaviour::FailsAfter(n) if n % 2 == 1 => return Err(broken()),
            _ => {}
        }
        Ok(read())
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.answer(|| self.of_series(&request, |labels| vec![labels.clone()])).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        let names = |labels: &Labels| labels.iter().map(|(name, _)| name.to_owned()).collect();
        self.answer(|| self.of_series(&request, names)).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        let values = |labels: &Labels| labels.get(&request.name).map(str::to_owned).into_iter().collect();
        self.answer(|| self.of_series(&request.series, values)).await
    }

    async fn metadata(&self, _: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.answer(|| self.metadata.lock().clone()).await
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        let one = |(labels, exemplars): (&Labels, &Vec<Exemplar>)| {
            let exemplars = exemplars.iter().filter(|e| request.range.contains(e.timestamp_ms)).cloned();
            SeriesExemplars { labels: labels.clone(), exemplars: exemplars.collect() }
        };
        self.answer(|| self.exemplars.lock().iter().map(one).collect()).await
    }

    async fn stats(&self, _: &TenantId) -> Result<TenantStats, Error> {
        self.answer(|| {
            let series = self.series.lock();
            let samples = series.values().map(BTreeMap::len).sum::<usize>() as u64;
            TenantStats { series: series.len() as u64, samples }
        })
        .await
    }

    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        _: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        let hash = |value: &String| SeriesHash::of_canonical(TenantSeed::NONE, value.as_bytes()).0;
        let one = |(name, values): (String, BTreeMap<String, u64>)| {
            let mut values: Vec<u64> = values.keys().map(hash).collect();
            values.sort_unstable();
            LabelNameCardinality { name, values }
        };
        self.answer(|| self.counted(&request.matchers).into_iter().map(one).collect()).await
    }

    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        _: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        self.answer(|| {
            let counted = self.counted(&request.matchers).into_iter();
            let labels = counted
                .filter(|(name, _)| names.contains(name))
                .map(|(name, values)| LabelValueCardinality { name, values: values.into_iter().collect() });
            LabelValuesCardinality { series_total: self.series.lock().len() as u64, labels: labels.collect() }
        })
        .await
    }

    async fn active_series(
        &self,
        request: CardinalityRequest,
        _: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        let found = self.find(&[request.matchers], TimeRange::ALL);
        let found: Vec<_> =
            found.into_iter().map(|series| ActiveSeries { labels: series.labels, buckets: None }).collect();
        Ok(self.stream(found.chunks(BATCH_SERIES).map(<[_]>::to_vec).collect()))
    }

    async fn index_stats(&self, _: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        self.answer(|| {
            let counted = self.counted(&[]);
            let list = |label: &str| {
                let values = counted.get(label).into_iter().flatten();
                let mut stats: Vec<_> =
                    values.map(|(name, value)| Stat { name: name.clone(), value: *value }).collect();
                stats.sort_by_key(|stat| std::cmp::Reverse(stat.value));
                stats.truncate(limit);
                stats
            };
            IndexStats {
                series: self.series.lock().len() as u64,
                series_by_metric: list("__name__"),
                ..IndexStats::default()
            }
        })
        .await
    }
}

/// Nodes that know each other by number.
pub(crate) fn node(cut_ms: i64, is_old: bool) -> Arc<Node> {
    Arc::new(Node { cut_ms, is_old, ..Node::default() })
}
