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
    let found = blocking(scope, move || find(&tenant, &request.matchers, range)).await?;
    if found.len() > max_series {
        let message = format!("the query selects {} series, at most {max_series} are allowed", found.len());
        return Err(Error::new(Code::Unprocessable, message));
    }
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

/// Matching series with samples in the range, sorted by labels, last first.
fn find(tenant: &Tenant, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, Arc<Series>)> {
    let index = tenant.index.read();
    let in_range = |series: &Arc<Series>| has_samples(series, range);
    let series = index.select(matchers).into_iter().filter(in_range);
    let mut found: Vec<_> = series.map(|series| (index.labels(&series), series)).collect();
    drop(index);
    found.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    found
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

/// The series that match at least one of the sets (no sets: all) and have samples in the range.
fn matching(index: &Index, request: &SeriesRequest) -> Vec<Arc<Series>> {
    let mut by_id = BTreeMap::new();
    let all: &[Vec<Matcher>] = &[Vec::new()];
    let sets = if request.matcher_sets.is_empty() { all } else { &request.matcher_sets };
    for set in sets {
        by_id.extend(index.select(set).into_iter().map(|s| (s.id, s)));
    }
    by_id.into_values().filter(|s| has_samples(s, request.range)).collect()
}

/// Cuts a list at the client's limit; 0 is none.
fn limited<T>(items: impl IntoIterator<Item = T>, limit: usize) -> Vec<T> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    items.into_iter().take(limit).collect()
}

/// Label sets, sorted.
pub(crate) fn series(tenant: &Tenant, request: &SeriesRequest) -> Vec<Labels> {
    let index = tenant.index.read();
    let labels: BTreeSet<Labels> = matching(&index, request).iter().map(|s| index.labels(s)).collect();
    limited(labels, request.limit)
}

/// Names of labels, sorted.
pub(crate) fn label_names(tenant: &Tenant, request: &LabelNamesRequest) -> Vec<String> {
    let index = tenant.index.read();
    let names: BTreeSet<u32> = if is_unrestricted(request) {
        index.postings().names().collect()
    } else {
        matching(&index, request)
            .iter()
            .flat_map(|s| s.labels.iter().map(|(n, _)| n).collect::<Vec<_>>())
            .collect()
    };
    let names: BTreeSet<&str> = names.into_iter().map(|n| index.symbols().get(n)).collect();
    limited(names.into_iter().map(str::to_owned), request.limit)
}

/// Values of a label, sorted.
pub(crate) fn label_values(tenant: &Tenant, request: &LabelValuesRequest) -> Vec<String> {
    let index = tenant.index.read();
    let Some(name) = index.symbols().find(&request.name) else { return Vec::new() };
    let values: BTreeSet<u32> = if is_unrestricted(&request.series) {
        index.postings().values(name).map(|(value, _)| value).collect()
    } else {
        let value_of = |s: &Arc<Series>| s.labels.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
        matching(&index, &request.series).iter().filter_map(value_of).collect()
    };
    let values: BTreeSet<&str> = values.into_iter().map(|v| index.symbols().get(v)).collect();
    limited(values.into_iter().map(str::to_owned), request.series.limit)
}

/// Whether every series counts, so that the index alone can answer.
fn is_unrestricted(request: &SeriesRequest) -> bool {
    request.matcher_sets.is_empty() && request.range == TimeRange::ALL
}

/// Exemplars, sorted by their series' labels.
pub(crate) fn exemplars(tenant: &Tenant, request: &ExemplarsRequest) -> Vec<SeriesExemplars> {
    let index = tenant.index.read();
    let mut wanted = BTreeMap::new();
    for set in &request.matcher_sets {
        wanted.extend(index.select(set).into_iter().map(|s| (s.id, index.labels(&s))));
    }
    let stored = tenant.exemplars.lock().select(request.range, |id| wanted.contains_key(&id));
    let mut by_labels: BTreeMap<Labels, Vec<_>> = BTreeMap::new();
    for stored in stored {
        if let Some(labels) = wanted.get(&stored.series) {
            by_labels.entry(labels.clone()).or_default().push(stored.exemplar);
        }
    }
    by_labels.into_iter().map(|(labels, exemplars)| SeriesExemplars { labels, exemplars }).collect()
}
