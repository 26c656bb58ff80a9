//! Selections that are read while the query runs, a part at a time, because they are too large to be held.
//!
//! The engine pulls, and waits where it runs; reading is done where I/O is. In between is a [`Reader`], which reads a part
//! ahead. What is held of a selection is its first part, or three of the later ones: that which is evaluated, that which has
//! been read ahead, and what whoever sends it has in hand.

use std::sync::Arc;
use std::vec::IntoIter;

use model::{Labels, TimeRange};
use parking_lot::Mutex;
use promql::{SelectedSeries, SeriesBatch, SeriesSet, SharedMemory, SourceError};
use proto::SeriesChunks;
use tokio::sync::{mpsc, oneshot};

use crate::error::{ApiError, ErrorType};
use crate::memory::QueryMemory;
use crate::samples::touch;
use crate::select::{Budget, Selection, held_bytes};
use crate::source::{BATCH_SERIES, selected};

/// So many bytes of series and chunks are read at a time, about.
const PART_BYTES: u64 = 4 << 20;

/// Requests for parts that wait: the engine asks for one after the other.
const ASKED_MAX: usize = 1;

/// What went wrong with a selection while the query ran, for who answers: the engine knows a message only.
pub(crate) type Failure = Arc<Mutex<Option<ApiError>>>;

/// Through which parts are asked for. Reading ends when nobody has one any more.
pub(crate) type Asks = mpsc::Sender<Ask>;

/// Asks for the next part of a selection.
#[derive(Debug)]
pub(crate) struct Ask {
    selection: usize,
    answer: oneshot::Sender<Result<Vec<SeriesChunks>, ApiError>>,
}

/// The memory that a streamed selection holds: its highest mark is taken from the query's.
#[derive(Debug)]
struct Held {
    query: Arc<QueryMemory>,
    marks: Mutex<Marks>,
}

#[derive(Debug)]
struct Marks {
    held: u64,
    highest: u64,
}

impl Held {
    fn grow(&self, bytes: u64) -> Result<(), ApiError> {
        let mut marks = self.marks.lock();
        marks.held = marks.held.saturating_add(bytes);
        if let Some(more) = marks.held.checked_sub(marks.highest).filter(|more| *more > 0) {
            marks.highest = marks.held;
            self.query.take(more)?;
        }
        Ok(())
    }

    fn shrink(&self, bytes: u64) {
        let mut marks = self.marks.lock();
        marks.held = marks.held.saturating_sub(bytes);
    }
}

/// One selection, as it is read.
struct Open {
    selection: Selection,
    held: Arc<Held>,
    /// What has been read ahead; after an error nothing more is.
    ahead: Option<Result<Vec<SeriesChunks>, ApiError>>,
    ended: bool,
}

/// Reads the streamed selections of a query.
pub(crate) struct Reader {
    asked: mpsc::Receiver<Ask>,
    open: Vec<Open>,
    failure: Failure,
    budget: Budget,
}

impl Reader {
    /// Without any selections yet; what is read is taken from the budget.
    pub(crate) fn new(budget: Budget) -> (Self, Asks) {
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        (Self { asked, open: Vec::new(), failure: Failure::default(), budget }, asks)
    }

    /// The budget that selections are read from.
    pub(crate) fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Where it is told what goes wrong while the query runs.
    pub(crate) fn failure(&self) -> Failure {
        Arc::clone(&self.failure)
    }

    /// Takes on the rest of a selection, of which `first` has been read and taken from the memory of the query.
    pub(crate) fn stream(
        &mut self,
        (first, rest): (Vec<SeriesChunks>, Selection),
        range: TimeRange,
        (query, asks): (Arc<QueryMemory>, Asks),
    ) -> Streamed {
        let bytes = first.iter().map(held_bytes).sum();
        let held = Arc::new(Held { query, marks: Mutex::new(Marks { held: bytes, highest: bytes }) });
        let selection = self.open.len();
        self.open.push(Open { selection: rest, held: Arc::clone(&held), ahead: None, ended: false });
        Streamed {
            range,
            parts: Parts { selection, asks, failure: self.failure(), held, current: first.into_iter() },
        }
    }

    /// Reads what is asked for, until nobody can ask any more.
    pub(crate) async fn run(&mut self) {
        while let Some(Ask { selection, answer }) = self.asked.recv().await {
            let (Some(open), budget) = (self.open.get_mut(selection), &mut self.budget) else { continue };
            let part = match open.ahead.take() {
                Some(part) => part,
                None => open.read(budget).await,
            };
            if answer.send(part).is_ok() && !open.ended {
                open.ahead = Some(open.read(budget).await);
            }
        }
    }
}

impl Open {
    /// The next part; without series at the end.
    async fn read(&mut self, budget: &mut Budget) -> Result<Vec<SeriesChunks>, ApiError> {
        let part = self.read_part(budget).await;
        self.ended |= match &part {
            Ok(part) => part.is_empty(),
            Err(_) => true,
        };
        part
    }

    async fn read_part(&mut self, budget: &mut Budget) -> Result<Vec<SeriesChunks>, ApiError> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < PART_BYTES && !self.ended {
            let Some(series) = self.selection.next_uncharged(budget).await? else { break };
            let more = held_bytes(&series);
            self.held.grow(more)?;
            bytes += more;
            part.push(series);
        }
        Ok(part)
    }
}

/// The parts of a streamed selection as the engine gets them.
#[derive(Debug)]
struct Parts {
    selection: usize,
    asks: Asks,
    failure: Failure,
    held: Arc<Held>,
    /// What is left of the current one.
    current: IntoIter<SeriesChunks>,
}

impl Parts {
    /// The next series, so many at most; none at the end. It waits where it is called.
    fn next(&mut self, max: usize) -> Result<Vec<SeriesChunks>, SourceError> {
        if self.current.as_slice().is_empty() {
            self.current = self.ask().map_err(|error| self.fail(error))?.into_iter();
        }
        Ok(self.current.by_ref().take(max).collect())
    }

    fn ask(&self) -> Result<Vec<SeriesChunks>, ApiError> {
        let nobody = || ApiError::new(ErrorType::Canceled, "nobody reads for the query any more");
        let (answer, part) = oneshot::channel();
        let ask = Ask { selection: self.selection, answer };
        self.asks.blocking_send(ask).map_err(|_| nobody())?;
        part.blocking_recv().map_err(|_| nobody())?
    }

    fn fail(&self, error: ApiError) -> SourceError {
        let message = error.message.clone();
        *self.failure.lock() = Some(error);
        SourceError { message }
    }
}

/// A selection that is read while the engine takes it.
#[derive(Debug)]
pub(crate) struct Streamed {
    range: TimeRange,
    parts: Parts,
}

impl Streamed {
    /// The series, from the first one on.
    pub(crate) fn into_set(self) -> Box<dyn SeriesSet> {
        Box::new(StreamedSet { parts: self.parts, batch: Batch { range: self.range, series: Vec::new() } })
    }
}

struct StreamedSet {
    parts: Parts,
    batch: Batch,
}

impl StreamedSet {
    /// Frees the last batch, and gets another one.
    fn advance(&mut self, max: usize) -> Result<(), SourceError> {
        let done = std::mem::take(&mut self.batch.series);
        self.parts.held.shrink(done.iter().map(held_bytes).sum());
        drop(done);
        self.batch.series = self.parts.next(max)?;
        Ok(())
    }
}

/// Series that have been read.
struct Batch {
    range: TimeRange,
    series: Vec<SeriesChunks>,
}

impl SeriesBatch for Batch {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn series(&self, number: usize) -> SelectedSeries<'_> {
        selected(&self.series[number], Some(self.range))
    }

    fn approach(&self, numbers: &mut dyn Iterator<Item = usize>) {
        touch(numbers.filter_map(|number| self.series.get(number)).flat_map(|series| &series.chunks));
    }

    fn labels(&self, number: usize) -> Labels {
        self.series[number].labels.clone()
    }
}

impl SeriesSet for StreamedSet {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        self.advance(1)?;
        Ok(if self.batch.is_empty() { None } else { Some(self.batch.series(0)) })
    }

    fn has_batches(&self) -> bool {
        true
    }

    fn next_batch(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        self.advance(BATCH_SERIES)?;
        Ok(if self.batch.is_empty() { None } else { Some(&self.batch) })
    }

    fn gathered_rest(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        self.advance(usize::MAX)?;
        loop {
            let more = self.parts.next(usize::MAX)?;
            if more.is_empty() {
                return Ok(Some(&self.batch));
            }
            self.batch.series.extend(more);
        }
    }

    fn is_sorted(&self) -> bool {
        true
    }
}
