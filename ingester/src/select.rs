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

use crate::chunk_reader::ChunkReader;
use crate::chunk_store::StoreError;
use crate::head::Head;
use crate::head::series::Series;
use crate::head::tenant::{Index, Tenant};
use crate::index::sort_by_labels;

/// The first batch has at most this many series, so that its chunks are a few hundred kilobytes for an hour's query, ...
const BATCH_SERIES: usize = 256;
/// ... and each further one twice as many as the one before, up to this.
const BATCH_SERIES_MAX: usize = 1024;
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
    let looking = tenant.clone();
    let found = blocking(scope, move || find(&looking, &request.matchers, range, max_series)).await??;
    let selection = Selection {
        scope: scope.clone(),
        bytes_left: request.max_chunk_bytes,
        batch_series: BATCH_SERIES,
        work: Some(Work {
            head: head.clone(),
            tenant,
            range,
            labelled: Vec::new().into_iter(),
            rest: found.into_iter(),
            reader: ChunkReader::default(),
        }),
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

/// Matching series with samples in the range, sorted by labels; an error where there are more than `max`.
fn find(
    tenant: &Tenant,
    matchers: &[Matcher],
    range: TimeRange,
    max: usize,
) -> Result<Vec<Arc<Series>>, Error> {
    let ids = tenant.index.read().select_ids(matchers);
    let mut found = Vec::with_capacity(ids.len());
    each_batch(tenant, &ids, range, |_, batch| {
        found.extend(batch.iter().map(|series| Arc::clone(series)));
    });
    if found.len() > max {
        let message = format!("the query selects {} series, at most {max} are allowed", found.len());
        return Err(Error::new(Code::Unprocessable, message));
    }
    sort_by_labels(&mut found, tenant.index.read().symbols(), |series| &series.labels);
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
    scope: Scope,
    bytes_left: usize,
    batch_series: usize,
    /// `None` once it has ended.
    work: Option<Work>,
}

/// What reads the batches of a selection.
struct Work {
    head: Arc<Head>,
    tenant: Arc<Tenant>,
    range: TimeRange,
    /// The next series. These and the rest are sorted by labels.
    labelled: std::vec::IntoIter<(Labels, Arc<Series>)>,
    rest: std::vec::IntoIter<Arc<Series>>,
    reader: ChunkReader,
}

impl Selection {
    async fn next(mut self) -> Option<(Result<SelectBatch, Error>, Self)> {
        let mut work = self.work.take().filter(|work| !work.is_done())?;
        let (scope, bytes_left, series) = (self.scope.clone(), self.bytes_left, self.batch_series);
        let read = blocking(&scope, move || {
            let batch = work.read_batch(series, bytes_left);
            (batch, work)
        });
        // After an error nothing more comes.
        let answer = match read.await {
            Ok((Ok((batch, bytes)), work)) => {
                self.bytes_left -= bytes;
                self.batch_series = (2 * series).min(BATCH_SERIES_MAX);
                self.work = Some(work);
                Ok(batch)
            }
            Ok((Err(error), _)) | Err(error) => Err(error),
        };
        Some((answer, self))
    }
}

impl Work {
    fn is_done(&self) -> bool {
        self.labelled.as_slice().is_empty() && self.rest.as_slice().is_empty()
    }

    fn read_batch(&mut self, max_series: usize, bytes_left: usize) -> Result<(SelectBatch, usize), Error> {
        if self.labelled.as_slice().is_empty() {
            self.labelled = self.label(max_series).into_iter();
        }
        let mut batch: SelectBatch = Vec::with_capacity(self.labelled.len());
        let mut bytes = 0;
        while let Some((labels, series)) = self.labelled.next() {
            let selection = series.state.lock().select(self.range);
            let mut chunks = selection
                .chunks(self.range, self.head.store(), &mut self.reader)
                .map_err(|e| unreadable(&labels, &e))?;
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
            let last = batch.last().map(|last| &last.labels);
            if bytes >= BATCH_BYTES && self.labelled.as_slice().first().map(|(next, _)| next) != last {
                break;
            }
        }
        Ok((batch, bytes))
    }

    /// The next series with their labels, at least `max`, unless there are fewer: those with the same labels come together.
    /// A series that has been released meanwhile has lost all its samples to retention.
    fn label(&mut self, max: usize) -> Vec<(Labels, Arc<Series>)> {
        let mut found: Vec<(Labels, Arc<Series>)> = Vec::with_capacity(max.min(self.rest.len()));
        let mut scratch = String::with_capacity(512);
        let index = self.tenant.index.read();
        while let Some(next) = self.rest.as_slice().first() {
            let same_as_last = || found.last().is_some_and(|(_, last)| last.labels == next.labels);
            if found.len() >= max && !same_as_last() {
                break;
            }
            let Some(series) = self.rest.next() else { break };
            if index.get(series.id).is_some_and(|known| Arc::ptr_eq(known, &series)) {
                found.push((series.labels.to_labels_with(&mut scratch, index.symbols()), series));
            }
        }
        found
    }
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
