//! How many series, values and bytes a tenant has in the head, and which of its series are active.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use model::TimeRange;
use proto::{
    ActiveSeries, ActiveSeriesStream, CardinalityRequest, ChunkEncoding, Code, Counted, Error, IndexStats,
    LabelNameCardinality, LabelValueCardinality, LabelValuesCardinality, Stat,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::head::open;
use crate::head::series::{Series, State};
use crate::head::tenant::{Index, Tenant};

/// The label that a metric's name is in.
const METRIC_NAME: &str = "__name__";

/// How many series a batch of listed ones has.
const BATCH_SERIES: usize = 1_024;

/// How long a text has to be for its length to take more than a byte in Prometheus' label sets.
const LONG_TEXT: usize = 255;
/// How many bytes a longer text's length takes.
const LONG_LENGTH_BYTES: usize = 4;

/// The values of each label, by hash.
pub(crate) fn label_names(
    tenant: &Tenant,
    request: &CardinalityRequest,
    max_values: usize,
) -> Result<Vec<LabelNameCardinality>, Error> {
    let index = tenant.index.read();
    let mut by_name = BTreeMap::<&str, Vec<u64>>::new();
    let mut count = 0;
    let mut add = |name: u32, value: u32| {
        count += 1;
        by_name
            .entry(index.symbols().get(name))
            .or_default()
            .push(xxh3_64(index.symbols().get(value).as_bytes()));
        within(count, max_values)
    };
    match restricted(&index, request) {
        None => {
            for name in index.postings().names() {
                for (value, _) in index.postings().values(name) {
                    add(name, value)?;
                }
            }
        }
        Some(series) => {
            let mut seen = BTreeSet::new();
            for pair in series.iter().flat_map(|s| s.labels.iter()) {
                if seen.insert(pair) {
                    add(pair.0, pair.1)?;
                }
            }
        }
    }
    let sorted = |(name, mut values): (&str, Vec<u64>)| {
        values.sort_unstable();
        values.dedup();
        LabelNameCardinality { name: name.to_owned(), values }
    };
    Ok(by_name.into_iter().map(sorted).collect())
}

/// How many series have which values of the labels `names`.
pub(crate) fn label_values(
    tenant: &Tenant,
    names: &[String],
    request: &CardinalityRequest,
    max_values: usize,
) -> Result<LabelValuesCardinality, Error> {
    let index = tenant.index.read();
    let names: BTreeSet<u32> = names.iter().filter_map(|name| index.symbols().find(name)).collect();
    let mut counts = BTreeMap::<(u32, u32), u64>::new();
    match restricted(&index, request) {
        None => {
            for &name in &names {
                for (value, series) in index.postings().values(name) {
                    counts.insert((name, value), series.len() as u64);
                    within(counts.len(), max_values)?;
                }
            }
        }
        Some(series) => {
            for pair in series.iter().flat_map(|s| s.labels.iter()).filter(|(name, _)| names.contains(name)) {
                *counts.entry(pair).or_default() += 1;
                within(counts.len(), max_values)?;
            }
        }
    }
    let mut by_name = BTreeMap::<&str, Vec<(String, u64)>>::new();
    for ((name, value), count) in counts {
        let value = index.symbols().get(value).to_owned();
        by_name.entry(index.symbols().get(name)).or_default().push((value, count));
    }
    let labels = by_name.into_iter().map(|(name, mut values)| {
        values.sort_unstable();
        LabelValueCardinality { name: name.to_owned(), values }
    });
    Ok(LabelValuesCardinality { series_total: total(&index, request.counted), labels: labels.collect() })
}

/// The series that are counted, sorted by labels.
pub(crate) fn active_series(
    tenant: &Tenant,
    request: &CardinalityRequest,
    max_series: usize,
) -> Result<Vec<ActiveSeries>, Error> {
    let index = tenant.index.read();
    let series = restricted(&index, request).unwrap_or_else(|| index.select(&[]));
    if series.len() > max_series {
        let message = format!("{} series are active, at most {max_series} are listed", series.len());
        return Err(Error::new(Code::Unprocessable, message));
    }
    let listed = series.iter().map(|series| ActiveSeries {
        labels: index.labels(series),
        buckets: newest_buckets(&series.state.lock()),
    });
    let mut listed: Vec<_> = listed.collect();
    drop(index);
    listed.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    // A series that is about to be released and one that took its place are one.
    listed.dedup_by(|a, b| a.labels == b.labels);
    Ok(listed)
}

/// Listed series, batch by batch.
pub(crate) fn batches(listed: Vec<ActiveSeries>) -> ActiveSeriesStream {
    let mut rest = listed.into_iter();
    let next = move || {
        let batch: Vec<_> = rest.by_ref().take(BATCH_SERIES).collect();
        (!batch.is_empty()).then_some(Ok(batch))
    };
    stream::iter(std::iter::from_fn(next)).boxed()
}

/// The index in numbers.
pub(crate) fn index_stats(tenant: &Tenant, limit: usize) -> IndexStats {
    let index = tenant.index.read();
    let mut stats = IndexStats { series: index.len() as u64, ..IndexStats::default() };
    let (mut metrics, mut values, mut bytes, mut pairs) =
        (Largest::new(limit), Largest::new(limit), Largest::new(limit), Largest::new(limit));
    for name in index.postings().names().map(|name| (name, index.symbols().get(name))) {
        let (mut of_label, mut label_bytes) = (0, 0);
        for (value, series) in index.postings().values(name.0) {
            let (value, count) = (index.symbols().get(value), series.len() as u64);
            if name.1 == METRIC_NAME {
                metrics.offer(count, (value, ""));
            }
            pairs.offer(count, (name.1, value));
            of_label += 1;
            label_bytes += (encoded_len(name.1) + encoded_len(value)) as u64 * count;
        }
        values.offer(of_label, (name.1, ""));
        bytes.offer(label_bytes, (name.1, ""));
        stats.label_pairs += of_label;
    }
    stats.series_by_metric = metrics.list(|(name, _)| name.to_owned());
    stats.values_by_label = values.list(|(name, _)| name.to_owned());
    stats.bytes_by_label = bytes.list(|(name, _)| name.to_owned());
    stats.series_by_pair = pairs.list(|(name, value)| format!("{name}={value}"));
    for series in index.select(&[]) {
        let state = series.state.lock();
        stats.chunks += u64::from(state.open.is_some());
        stats.range = match (stats.range, state.hull()) {
            (Some(all), Some(own)) => Some(all.hull(own)),
            (all, own) => all.or(own),
        };
    }
    stats
}

/// The series that are counted, where that is not simply all of them.
fn restricted(index: &Index, request: &CardinalityRequest) -> Option<Vec<Arc<Series>>> {
    match request.counted {
        Counted::InMemory if request.matchers.is_empty() => None,
        Counted::InMemory => Some(index.select(&request.matchers)),
        Counted::ActiveSince(since_ms) => {
            let mut series = index.select(&request.matchers);
            series.retain(|series| is_active(&series.state.lock(), since_ms));
            Some(series)
        }
    }
}

fn total(index: &Index, counted: Counted) -> u64 {
    match counted {
        Counted::InMemory => index.len() as u64,
        Counted::ActiveSince(since_ms) => {
            let all = index.select(&[]);
            all.iter().filter(|series| is_active(&series.state.lock(), since_ms)).count() as u64
        }
    }
}

fn is_active(state: &State, since_ms: i64) -> bool {
    let newest = state.hull().map(TimeRange::end_ms);
    // A late sample says nothing about whether the newest in order is a stale marker.
    newest.is_some_and(|newest| newest >= since_ms)
        && !state.open.as_ref().is_some_and(open::OpenChunk::is_stale)
}

/// How many populated buckets the newest sample has, where it is a histogram at hand.
fn newest_buckets(state: &State) -> Option<u32> {
    let open = state.open.as_ref()?;
    if matches!(open.encoding(), ChunkEncoding::Xor | ChunkEncoding::Xor2) {
        return None;
    }
    let samples = open::decode(open.encoding(), open.bytes()).ok()?;
    let count = match &samples.last()?.1 {
        model::Value::Float(_) => return None,
        model::Value::Histogram(h) => h.positive_buckets.len() + h.negative_buckets.len(),
        model::Value::FloatHistogram(h) => h.positive_buckets.len() + h.negative_buckets.len(),
    };
    u32::try_from(count).ok()
}

fn within(count: usize, max_values: usize) -> Result<(), Error> {
    if count <= max_values {
        return Ok(());
    }
    let message =
        format!("there are more than {max_values} distinct label values, which is the most that is counted");
    Err(Error::new(Code::Unprocessable, message))
}

/// How many bytes a text takes in a label set of Prometheus.
fn encoded_len(text: &str) -> usize {
    text.len() + if text.len() < LONG_TEXT { 1 } else { LONG_LENGTH_BYTES }
}

/// The largest of many, in bounded number; of equal ones those that come first by name.
struct Largest<'a> {
    limit: usize,
    items: BTreeSet<(Reverse<u64>, (&'a str, &'a str))>,
}

impl<'a> Largest<'a> {
    fn new(limit: usize) -> Self {
        Self { limit, items: BTreeSet::new() }
    }

    fn offer(&mut self, count: u64, what: (&'a str, &'a str)) {
        let item = (Reverse(count), what);
        if self.items.len() < self.limit {
            self.items.insert(item);
        } else if self.items.last().is_some_and(|last| item < *last) {
            self.items.pop_last();
            self.items.insert(item);
        }
    }

    fn list(&self, name: impl Fn((&str, &str)) -> String) -> Vec<Stat> {
        self.items.iter().map(|(count, what)| Stat { name: name(*what), value: count.0 }).collect()
    }
}
