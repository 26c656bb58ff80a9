//! Answering queriers from the head and the chunk files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use env::Scope;
use futures::StreamExt;
use futures::stream;
use model::{Labels, Matcher, TimeRange};
use proto::{
    Code, Error, ExemplarsRequest, LabelNamesRequest, LabelValuesRequest, SelectBatch, SelectRequest,
    SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest,
};

use crate::chunk_store::StoreError;
use crate::head::Head;
use crate::head::series::Series;
use crate::head::tenant::{Index, Tenant};

/// A batch has at most this many series, so that its chunks are a few hundred kilobytes for an hour's query.
const BATCH_SERIES: usize = 256;
/// The index is locked for the texts of so many series at a time: some hundred microseconds.
const LOCKED_SERIES: usize = 1024;
/// A batch is also cut at this many bytes of chunks.
const BATCH_BYTES: usize = 4 << 20;

/// Opens a selection; its batches are read on blocking threads, one ahead of none.
pub(crate) async fn select(
    head: &Arc<Head>,
    scope: &Scope,
    request: SelectRequest,
) -> Result<SelectStream, Error> {
    if request.matchers.is_empty() {
        return Err(Error::invalid("a selection needs at least one matcher"));
    }
    let Some(tenant) = head.tenant(&request.tenant) else {
        return Ok(stream::empty().boxed());
    };
    let (max_series, range) = (request.max_series, request.range);
    let found = blocking(scope, move || find(&tenant, &request.matchers, range, max_series)).await??;
    let selection = Selection {
        head: head.clone(),
        scope: scope.clone(),
        range,
        bytes_left: request.max_chunk_bytes,
        rest: found,
    };
    Ok(stream::unfold(selection, Selection::next).boxed())
}

/// Runs what may take long or read files where it does not hold up others.
pub(crate) async fn blocking<T: Send + 'static>(
    scope: &Scope,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    scope.run_blocking(work).await.map_err(|e| Error::internal(format!("the ingester is stopping: {e}")))
}

/// Matching series with samples in the range, sorted by labels, last first; an error where there are more than `max`.
fn find(
    tenant: &Tenant,
    matchers: &[Matcher],
    range: TimeRange,
    max: usize,
) -> Result<Vec<(Labels, Arc<Series>)>, Error> {
    let ids = tenant.index.read().select_ids(matchers);
    let mut found = Vec::with_capacity(ids.len().min(max));
    let mut count = 0;
    each_batch(tenant, &ids, range, |index, batch| {
        count += batch.len();
        // Texts of more than may be answered would be thrown away.
        if count <= max {
            found.extend(batch.iter().map(|series| (index.labels(series), (*series).clone())));
        }
    });
    if count > max {
        let message = format!("the query selects {count} series, at most {max} are allowed");
        return Err(Error::new(Code::Unprocessable, message));
    }
    found.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    Ok(found)
}

/// Calls `each` with the series of these numbers that have samples in the range, in batches.
fn each_batch(tenant: &Tenant, ids: &[u32], range: TimeRange, mut each: impl FnMut(&Index, &[&Arc<Series>])) {
    each_locked(tenant, ids, |index, batch| {
        let mut batch = batch.to_vec();
        batch.retain(|series| has_samples(series, range));
        each(index, &batch);
    });
}

/// Calls `each` with the series of these numbers, in batches with the index locked: labels are numbers that mean a text
/// only as long as their series is there, and making texts of many thousands at once would hold up new series. A series
/// that was released in the meantime had expired.
fn each_locked(tenant: &Tenant, ids: &[u32], mut each: impl FnMut(&Index, &[&Arc<Series>])) {
    for ids in ids.chunks(LOCKED_SERIES) {
        let index = tenant.index.read();
        let batch: Vec<_> = ids.iter().filter_map(|id| index.get(*id)).collect();
        each(&index, &batch);
    }
}

fn has_samples(series: &Series, range: TimeRange) -> bool {
    series.state.lock().hull().is_some_and(|hull| hull.overlaps(range))
}

/// What is left of a selection.
struct Selection {
    head: Arc<Head>,
    scope: Scope,
    range: TimeRange,
    bytes_left: usize,
    /// Sorted by labels, last first, so that the next is popped.
    rest: Vec<(Labels, Arc<Series>)>,
}

impl Selection {
    async fn next(mut self) -> Option<(Result<SelectBatch, Error>, Self)> {
        if self.rest.is_empty() {
            return None;
        }
        let scope = self.scope.clone();
        let (head, range, mut rest, bytes_left) =
            (self.head.clone(), self.range, std::mem::take(&mut self.rest), self.bytes_left);
        let read = blocking(&scope, move || {
            let batch = read_batch(&head, range, &mut rest, bytes_left);
            (batch, rest)
        });
        let (batch, rest) = match read.await {
            Ok(done) => done,
            Err(error) => return Some((Err(error), self)),
        };
        match batch {
            Ok((batch, bytes)) => {
                self.bytes_left -= bytes;
                self.rest = rest;
                Some((Ok(batch), self))
            }
            // After an error nothing more comes.
            Err(error) => Some((Err(error), self)),
        }
    }
}

fn read_batch(
    head: &Head,
    range: TimeRange,
    rest: &mut Vec<(Labels, Arc<Series>)>,
    bytes_left: usize,
) -> Result<(SelectBatch, usize), Error> {
    let mut batch: SelectBatch = Vec::with_capacity(BATCH_SERIES.min(rest.len()));
    let mut bytes = 0;
    while let Some((labels, series)) = rest.pop() {
        let selection = series.state.lock().select(range);
        let mut chunks = selection.chunks(range, head.store()).map_err(|e| unreadable(&labels, &e))?;
        bytes += chunks.iter().map(|c| c.data.len()).sum::<usize>();
        if bytes > bytes_left {
            return Err(Error::new(
                Code::Unprocessable,
                "the query reads more bytes of chunks than are allowed",
            ));
        }
        match batch.last_mut() {
            // A series that was about to be released and one that took its place.
            Some(last) if last.labels == labels => {
                last.chunks.append(&mut chunks);
                last.chunks.sort_by_key(|c| (c.range.start_ms(), c.range.end_ms()));
            }
            _ => batch.push(SeriesChunks { labels, chunks }),
        }
        let full = batch.len() >= BATCH_SERIES || bytes >= BATCH_BYTES;
        if full && rest.last().is_none_or(|(next, _)| batch.last().is_none_or(|last| last.labels != *next)) {
            break;
        }
    }
    Ok((batch, bytes))
}

fn unreadable(labels: &Labels, error: &StoreError) -> Error {
    let source = std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default();
    Error::internal(format!("a chunk of {labels} cannot be read: {error}{source}"))
}

/// The numbers of the series that match at least one of the sets (no sets: all), sorted.
fn matching(tenant: &Tenant, sets: &[Vec<Matcher>]) -> Vec<u32> {
    let all: &[Vec<Matcher>] = &[Vec::new()];
    let sets = if sets.is_empty() { all } else { sets };
    let mut ids: Vec<u32> = Vec::new();
    for set in sets {
        ids.extend(tenant.index.read().select_ids(set));
    }
    if sets.len() > 1 {
        ids.sort_unstable();
        ids.dedup();
    }
    ids
}

/// Cuts a list at the client's limit; 0 is none.
fn limited<T>(items: impl IntoIterator<Item = T>, limit: usize) -> Vec<T> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    items.into_iter().take(limit).collect()
}

/// Label sets, sorted.
pub(crate) fn series(tenant: &Tenant, request: &SeriesRequest) -> Vec<Labels> {
    let mut labels = BTreeSet::new();
    each_batch(tenant, &matching(tenant, &request.matcher_sets), request.range, |index, batch| {
        labels.extend(batch.iter().map(|series| index.labels(series)));
    });
    limited(labels, request.limit)
}

/// Names of labels, sorted.
pub(crate) fn label_names(tenant: &Tenant, request: &LabelNamesRequest) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut add = |index: &Index, numbers: BTreeSet<u32>| add_texts(&mut names, index, numbers);
    if is_unrestricted(request) {
        let index = tenant.index.read();
        add(&index, index.postings().names().collect());
    } else {
        each_batch(tenant, &matching(tenant, &request.matcher_sets), request.range, |index, batch| {
            add(index, batch.iter().flat_map(|series| series.labels.iter()).map(|(name, _)| name).collect());
        });
    }
    limited(names, request.limit)
}

/// Values of a label, sorted.
pub(crate) fn label_values(tenant: &Tenant, request: &LabelValuesRequest) -> Vec<String> {
    let mut values = BTreeSet::new();
    if is_unrestricted(&request.series) {
        all_values(tenant, &request.name, &mut values);
    } else {
        let ids = matching(tenant, &request.series.matcher_sets);
        each_batch(tenant, &ids, request.series.range, |index, batch| {
            let Some(name) = index.symbols().find(&request.name) else { return };
            let value_of = |s: &&Arc<Series>| s.labels.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
            add_texts(&mut values, index, batch.iter().filter_map(value_of).collect());
        });
    }
    limited(values, request.series.limit)
}

/// Every value of a label, with the index locked for some at a time.
fn all_values(tenant: &Tenant, name: &str, values: &mut BTreeSet<String>) {
    let numbers: Vec<u32> = {
        let index = tenant.index.read();
        let Some(name) = index.symbols().find(name) else { return };
        index.postings().values(name).map(|(value, _)| value).collect()
    };
    for numbers in numbers.chunks(LOCKED_SERIES) {
        let index = tenant.index.read();
        let Some(name) = index.symbols().find(name) else { return };
        // A number whose series have all gone since may mean another text by now.
        let still = numbers.iter().copied().filter(|value| !index.postings().with(name, *value).is_empty());
        add_texts(values, &index, still.collect());
    }
}

fn add_texts(texts: &mut BTreeSet<String>, index: &Index, numbers: BTreeSet<u32>) {
    for text in numbers.into_iter().map(|number| index.symbols().get(number)) {
        if !texts.contains(text) {
            texts.insert(text.to_owned());
        }
    }
}

/// Whether every series counts, so that the index alone can answer.
fn is_unrestricted(request: &SeriesRequest) -> bool {
    request.matcher_sets.is_empty() && request.range == TimeRange::ALL
}

/// Exemplars, sorted by their series' labels.
pub(crate) fn exemplars(tenant: &Tenant, request: &ExemplarsRequest) -> Vec<SeriesExemplars> {
    if request.matcher_sets.is_empty() {
        return Vec::new();
    }
    let ids = matching(tenant, &request.matcher_sets);
    let stored = tenant.exemplars.lock().select(request.range, |id| ids.binary_search(&id).is_ok());
    let mut by_id: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for stored in stored {
        by_id.entry(stored.series).or_default().push(stored.exemplar);
    }
    let with_some: Vec<u32> = by_id.keys().copied().collect();
    let mut by_labels: BTreeMap<Labels, Vec<_>> = BTreeMap::new();
    each_locked(tenant, &with_some, |index, batch| {
        for series in batch {
            let exemplars = by_id.remove(&series.id).unwrap_or_default();
            by_labels.entry(index.labels(series)).or_default().extend(exemplars);
        }
    });
    by_labels.into_iter().map(|(labels, exemplars)| SeriesExemplars { labels, exemplars }).collect()
}
