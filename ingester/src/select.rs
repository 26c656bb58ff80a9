//! Answering queriers from the head and the chunk files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use env::Scope;
use futures::StreamExt;
use futures::stream;
use model::{Labels, Matcher, TimeRange};
use proto::{
    Chunk, Code, Error, ExemplarsRequest, LabelNamesRequest, LabelValuesRequest, SelectBatch, SelectRequest,
    SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest,
};

use crate::chains;
use crate::chunk_cache::ChunkCache;
use crate::chunk_reader::ChunkReader;
use crate::chunk_store::StoreError;
use crate::head::held::Promise;
use crate::head::series::{Series, State};
use crate::head::tenant::{Index, Tenant};
use crate::head::{self, Head};
use crate::index::{LabelTexts, sort_by_labels};

/// A batch has at most this many series.
const BATCH_SERIES: usize = 1024;
/// The chunks of so many series are read together: the more, the nearer to each other they lie in the files.
const READ_SERIES: usize = 16 << 10;
/// But not more than so many bytes, where one series alone has not.
const READ_BYTES: usize = 8 << 20;
/// The index is locked for the texts of so many series at a time: some hundred microseconds.
const LOCKED_SERIES: usize = 1024;
/// A batch is also cut at this many bytes of chunks.
const BATCH_BYTES: usize = 4 << 20;

/// When to come back after an answer that took too long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Opens a selection. Its chunks are read on blocking threads, the first ones at once. It fails where the head forgets what is promised.
pub(crate) async fn select(
    head: &Arc<Head>,
    cache: &Arc<ChunkCache>,
    scope: &Scope,
    request: SelectRequest,
    promise: Promise,
) -> Result<SelectStream, Error> {
    if request.matchers.is_empty() {
        return Err(Error::invalid("a selection needs at least one matcher"));
    }
    let Some(tenant) = head.tenant(&request.tenant) else {
        return Ok(stream::empty().boxed());
    };
    let (head, cache) = (head.clone(), cache.clone());
    let work = blocking(scope, move || {
        let found = find(&tenant, &request.matchers, request.range, request.max_series)?;
        let mut work = Work {
            head,
            tenant,
            wanted: Wanted::by(&request),
            bytes_left: request.max_chunk_bytes,
            read: Vec::new().into_iter(),
            labelled: Vec::new(),
            rest: found.into_iter(),
            read_series: READ_SERIES,
            reader: ChunkReader::with_cache(cache),
            promise,
        };
        work.read_ahead()?;
        Ok::<_, Error>(work)
    });
    let selection = Selection { scope: scope.clone(), work: Some(work.await??) };
    Ok(stream::unfold(selection, Selection::next).boxed())
}

/// Runs what may take long or read files where it does not hold up others.
pub(crate) async fn blocking<T: Send + 'static>(
    scope: &Scope,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    scope.run_blocking(work).await.map_err(|e| Error::internal(format!("the ingester is stopping: {e}")))
}

/// Which samples of a series are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Those in this range, ...
    pub(crate) range: TimeRange,
    /// ... or only the newest of them.
    newest_only: bool,
}

impl Wanted {
    /// Those that a request wants.
    pub(crate) fn by(request: &SelectRequest) -> Self {
        Self { range: request.range, newest_only: request.newest_only }
    }

    /// What a reader needs of this series for them.
    pub(crate) fn of(self, state: &State) -> head::series::Selection {
        if self.newest_only { state.select_newest(self.range) } else { state.select(self.range) }
    }
}

/// Matching series with samples in the range, sorted by labels; an error where there are more than `max`.
pub(crate) fn find(
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
    /// `None` once it has ended.
    work: Option<Work>,
}

/// What reads the series of a selection.
struct Work {
    head: Arc<Head>,
    tenant: Arc<Tenant>,
    wanted: Wanted,
    bytes_left: usize,
    /// The next series, with their chunks. These and those below are sorted by labels.
    read: std::vec::IntoIter<SeriesChunks>,
    /// Those behind them, ...
    labelled: Vec<(Labels, Arc<Series>)>,
    /// ... and those behind these.
    rest: std::vec::IntoIter<Arc<Series>>,
    /// So many series are read together.
    read_series: usize,
    reader: ChunkReader,
    /// What everything that is read here has to have. It is looked at after each reading: then whatever is forgotten was there.
    promise: Promise,
}

impl Selection {
    async fn next(mut self) -> Option<(Result<SelectBatch, Error>, Self)> {
        let mut work = self.work.take()?;
        // After an error nothing more comes.
        while work.read.as_slice().is_empty() {
            if work.is_done() {
                return None;
            }
            let read = blocking(&self.scope, move || {
                let outcome = work.read_ahead();
                (outcome, work)
            });
            work = match read.await {
                Ok((Ok(()), work)) => work,
                Ok((Err(error), _)) | Err(error) => return Some((Err(error), self)),
            };
        }
        let batch = work.batch();
        self.work = Some(work);
        Some((Ok(batch), self))
    }
}

impl Work {
    /// Whether everything has been read.
    fn is_done(&self) -> bool {
        self.labelled.is_empty() && self.rest.as_slice().is_empty()
    }

    /// Some of the series that have been read.
    fn batch(&mut self) -> SelectBatch {
        let mut bytes = 0;
        let fit = self.read.as_slice().iter().take(BATCH_SERIES).take_while(|series| {
            let fits = bytes < BATCH_BYTES;
            bytes += series.chunks.iter().map(|c| c.data.len()).sum::<usize>();
            fits
        });
        let series = fit.count();
        self.read.by_ref().take(series).collect()
    }

    /// Reads the next series.
    fn read_ahead(&mut self) -> Result<(), Error> {
        self.read_next()?;
        if self.promise.is_kept() {
            return Ok(());
        }
        let why = "the head has forgotten what this answer was to have in place of blocks: it took too long";
        Err(Error::unavailable(why, RETRY_AFTER))
    }

    fn read_next(&mut self) -> Result<(), Error> {
        while self.labelled.len() < self.read_series && !self.rest.as_slice().is_empty() {
            self.label(LOCKED_SERIES);
        }
        if self.labelled.is_empty() {
            return Ok(());
        }
        // Series with the same labels are read together.
        let mut series = self.read_series.min(self.labelled.len());
        while self.same_labels(series) {
            series += 1;
        }
        let mut chunks = self.chunks(series, READ_BYTES)?;
        while self.same_labels(chunks.len()) {
            chunks.pop();
        }
        if chunks.is_empty() {
            chunks = self.chunks((1..).find(|n| !self.same_labels(*n)).unwrap_or(1), usize::MAX)?;
        }
        // What was too much for these would be too much for the next ones.
        self.read_series = match chunks.len() {
            fewer if fewer < series => fewer.max(1),
            all => (2 * all).clamp(1, READ_SERIES),
        };
        self.read = self.take(chunks).into_iter();
        Ok(())
    }

    /// Whether the labelled series with this number and the one before it have the same labels.
    fn same_labels(&self, number: usize) -> bool {
        let of = |number: usize| self.labelled.get(number).map(|(labels, _)| labels);
        number.checked_sub(1).is_some_and(|before| of(before).is_some() && of(before) == of(number))
    }

    /// The chunks of the first labelled series, so many or as many as fit, but of one at least.
    fn chunks(&mut self, series: usize, max_bytes: usize) -> Result<Vec<Vec<Chunk>>, Error> {
        let first = self.labelled.get(..series).unwrap_or_default();
        let selections = first.iter().map(|(_, series)| self.wanted.of(&series.state.lock())).collect();
        let read =
            chains::of_many(selections, self.wanted.range, self.head.store(), &mut self.reader, max_bytes);
        let chunks = read.map_err(|broken| match self.labelled.get(broken.series) {
            Some((labels, _)) => unreadable(labels, &broken.error),
            None => Error::internal(broken.error.to_string()),
        })?;
        let bytes: usize = chunks.iter().flatten().map(|c| c.data.len()).sum();
        if bytes > self.bytes_left {
            return Err(Error::new(
                Code::Unprocessable,
                "the query reads more bytes of chunks than are allowed",
            ));
        }
        Ok(chunks)
    }

    /// The first labelled series with their chunks.
    fn take(&mut self, chunks: Vec<Vec<Chunk>>) -> Vec<SeriesChunks> {
        let mut series: Vec<SeriesChunks> = Vec::with_capacity(chunks.len());
        let labels = self.labelled.drain(..chunks.len().min(self.labelled.len())).map(|(labels, _)| labels);
        for (labels, mut chunks) in labels.zip(chunks) {
            self.bytes_left =
                self.bytes_left.saturating_sub(chunks.iter().map(|c| c.data.len()).sum::<usize>());
            match series.last_mut() {
                // A series that was about to be released and one that took its place.
                Some(last) if last.labels == labels => {
                    last.chunks.append(&mut chunks);
                    last.chunks.sort_by_key(|c| (c.range.start_ms(), c.range.end_ms()));
                }
                _ => series.push(SeriesChunks { labels, chunks }),
            }
        }
        series
    }

    /// Makes the labels of the next series, of at least `max`, unless there are fewer: those with the same labels come
    /// together. A series that has been released meanwhile has lost all its samples to retention.
    fn label(&mut self, max: usize) {
        let enough = self.labelled.len() + max;
        let index = self.tenant.index.read();
        let mut texts = LabelTexts::new(index.symbols());
        while let Some(next) = self.rest.as_slice().first() {
            let same_as_last = || self.labelled.last().is_some_and(|(_, last)| last.labels == next.labels);
            if self.labelled.len() >= enough && !same_as_last() {
                break;
            }
            let Some(series) = self.rest.next() else { break };
            if index.get(series.id).is_some_and(|known| Arc::ptr_eq(known, &series)) {
                let labels = texts.next(&series.labels);
                self.labelled.push((labels, series));
            }
        }
    }
}

pub(crate) fn unreadable(labels: &Labels, error: &StoreError) -> Error {
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
