//! Answering queriers who have the chunks from another ingester: checksums of ours, and then the chunks that differ.

use std::collections::VecDeque;
use std::sync::Arc;

use env::Scope;
use futures::{StreamExt, stream};
use model::{Labels, TimeRange};
use proto::{
    Checked, ChecksumBatch, ChecksumStream, ChecksummedSeries, Chunk, Code, Error, MAX_REFERENCED_SERIES,
    ReferencedRequest, SelectRequest, SeriesChunks,
};

use crate::chains;
use crate::chunk_reader::ChunkReader;
use crate::head::Head;
use crate::head::series::Series;
use crate::head::tenant::Tenant;
use crate::select::{Wanted, blocking, find, unreadable};

/// A batch has at most this many series and those with the same labels as its last: so many have to be held of the chunks
/// with which it is compared.
const BATCH_SERIES: usize = 2048;
/// The chunks of a batch take up this much memory at most, where one series alone has not more.
const READ_BYTES: usize = 32 << 20;

/// Opens a selection of checksums.
pub(crate) async fn select(
    head: &Arc<Head>,
    scope: &Scope,
    request: SelectRequest,
) -> Result<ChecksumStream, Error> {
    if request.matchers.is_empty() {
        return Err(Error::invalid("a selection needs at least one matcher"));
    }
    let Some(tenant) = head.tenant(&request.tenant) else {
        return Ok(stream::empty().boxed());
    };
    let (max_series, wanted, bytes_left) =
        (request.max_series, Wanted::by(&request), request.max_chunk_bytes);
    let looking = tenant.clone();
    let found =
        blocking(scope, move || find(&looking, &request.matchers, wanted.range, max_series)).await??;
    let reader = ChunkReader::default();
    let work = Work { head: head.clone(), tenant, wanted, rest: found.into(), bytes_left, reader };
    let scope = scope.clone();
    let batches = stream::unfold(Some(work), move |work| {
        let scope = scope.clone();
        async move {
            let mut work = work?;
            let read = blocking(&scope, move || work.read_batch().map(|batch| (batch, work)));
            // After an error nothing more comes.
            match read.await.flatten() {
                Ok((batch, work)) => batch.map(|batch| (Ok(Checked::Checksums(batch)), Some(work))),
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    Ok(batches.boxed())
}

/// Some series, and the chunks of each.
type SeriesAndChunks = (Vec<Arc<Series>>, Vec<Vec<Chunk>>);

/// What reads the batches of a selection.
struct Work {
    head: Arc<Head>,
    tenant: Arc<Tenant>,
    wanted: Wanted,
    /// Sorted by labels.
    rest: VecDeque<Arc<Series>>,
    bytes_left: usize,
    reader: ChunkReader,
}

impl Work {
    /// The next batch; `None` at the end.
    fn read_batch(&mut self) -> Result<Option<ChecksumBatch>, Error> {
        while !self.rest.is_empty() {
            let (mut series, mut chunks) = self.read_next()?;
            let bytes = chunks.iter().flatten().map(|chunk| chunk.data.len()).sum();
            self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(too_many_bytes)?;
            let Some(last) = self.label_last(&mut series) else { continue };
            chunks.truncate(series.len());
            let named = series.iter().zip(&chunks).map(|(series, chunks)| ChecksummedSeries {
                hash: series.hash,
                reference: series.id.into(),
                chunks: chunks.len() as u32,
            });
            let series = named.collect();
            let checksums = chunks.iter().flatten().map(Chunk::checksum).collect();
            return Ok(Some(ChecksumBatch { series, checksums, last }));
        }
        Ok(None)
    }

    /// The next series and their chunks. Series with the same labels come together.
    fn read_next(&mut self) -> Result<SeriesAndChunks, Error> {
        let mut count = BATCH_SERIES.min(self.rest.len());
        while self.same_labels(count) {
            count += 1;
        }
        let mut chunks = self.chunks(count, READ_BYTES)?;
        while self.same_labels(chunks.len()) {
            chunks.pop();
        }
        if chunks.is_empty() {
            chunks = self.chunks((1..).find(|n| !self.same_labels(*n)).unwrap_or(1), usize::MAX)?;
        }
        Ok((self.rest.drain(..chunks.len()).collect(), chunks))
    }

    /// Whether the series with this number in the rest and the one before it have the same labels.
    fn same_labels(&self, number: usize) -> bool {
        let of = |number: usize| self.rest.get(number).map(|series| &series.labels);
        number.checked_sub(1).is_some_and(|before| of(number).is_some() && of(before) == of(number))
    }

    /// The chunks of the next series, so many or as many as fit, but of one at least.
    fn chunks(&mut self, series: usize, max_bytes: usize) -> Result<Vec<Vec<Chunk>>, Error> {
        let selections = self.rest.iter().take(series).map(|series| self.wanted.of(&series.state.lock()));
        let read = chains::of_many(
            selections.collect(),
            self.wanted.range,
            self.head.store(),
            &mut self.reader,
            max_bytes,
        );
        read.map_err(|broken| {
            let known = self.rest.get(broken.series).and_then(|series| labels(&self.tenant, series));
            unreadable(&known.unwrap_or_default(), &broken.error)
        })
    }

    /// The labels of the last of the series. Those behind it that have been released meanwhile, and so have lost all their
    /// samples to retention, are taken away.
    fn label_last(&self, series: &mut Vec<Arc<Series>>) -> Option<Labels> {
        while let Some(last) = series.last() {
            if let Some(labels) = labels(&self.tenant, last) {
                return Some(labels);
            }
            series.pop();
        }
        None
    }
}

/// Series of which checksums were sent, with their chunks.
pub(crate) async fn referenced(
    head: &Arc<Head>,
    scope: &Scope,
    request: ReferencedRequest,
) -> Result<Vec<SeriesChunks>, Error> {
    if request.series.len() > MAX_REFERENCED_SERIES {
        let message = format!(
            "{} series are too many, at most {MAX_REFERENCED_SERIES} are read at once",
            request.series.len()
        );
        return Err(Error::invalid(message));
    }
    let tenant = head.tenant(&request.tenant).ok_or_else(gone)?;
    let head = head.clone();
    blocking(scope, move || read_referenced(&head, &tenant, &request)).await?
}

fn read_referenced(
    head: &Head,
    tenant: &Tenant,
    request: &ReferencedRequest,
) -> Result<Vec<SeriesChunks>, Error> {
    let labelled: Option<Vec<(Labels, Arc<Series>)>> = {
        let index = tenant.index.read();
        let known = request.series.iter().map(|asked| {
            let id = u32::try_from(asked.reference).ok()?;
            let series = index.get(id).filter(|series| series.hash == asked.hash)?;
            Some((index.labels(series), series.clone()))
        });
        known.collect()
    };
    let mut bytes_left = request.max_chunk_bytes;
    let mut read = Vec::with_capacity(request.series.len());
    for ((labels, series), asked) in labelled.ok_or_else(gone)?.into_iter().zip(&request.series) {
        let start = asked.since_ms.max(request.range.start_ms());
        let Some(range) = TimeRange::new(start, request.range.end_ms()) else {
            return Err(Error::invalid("a series is asked for from a time behind the selection's range"));
        };
        let selection = series.state.lock().select(range);
        let chunks =
            chains::of_one(selection, range, head.store()).map_err(|error| unreadable(&labels, &error))?;
        let bytes = chunks.iter().map(|chunk| chunk.data.len()).sum();
        bytes_left = bytes_left.checked_sub(bytes).ok_or_else(too_many_bytes)?;
        read.push(SeriesChunks { labels, chunks });
    }
    Ok(read)
}

/// The labels of a series that has not been released.
fn labels(tenant: &Tenant, series: &Arc<Series>) -> Option<Labels> {
    let index = tenant.index.read();
    index.get(series.id).filter(|known| Arc::ptr_eq(known, series)).map(|known| index.labels(known))
}

fn gone() -> Error {
    Error::new(Code::NotFound, "a series of which checksums were sent is not here any more")
}

fn too_many_bytes() -> Error {
    Error::new(Code::Unprocessable, "the query reads more bytes of chunks than are allowed")
}
