//! What a query selects, fetched before it runs or begun to be, and handed to the engine.

use std::sync::Arc;

use model::{FloatHistogram, Labels, Matcher, TimeRange};
use parking_lot::Mutex;
use promql::{
    SampleCursor, Samples, SelectHints, SelectedSeries, SeriesBatch, SeriesSet, SeriesSource, SourceError,
};
use proto::SeriesChunks;

use crate::samples::{SeriesReader, Sink, touch};
use crate::streamed::Streamed;

/// One selection of a query.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// What was asked for.
    pub(crate) hints: SelectHints,
    /// Where samples count; `None` where none can.
    pub(crate) range: Option<TimeRange>,
    /// Sorted by labels. Equal selections share them.
    pub(crate) series: Arc<[SeriesChunks]>,
}

/// All selections of a query.
#[derive(Debug, Default)]
pub(crate) struct Prefetched {
    held: Vec<Fetched>,
    /// Those that are read while the query runs; each is taken once.
    streamed: Vec<(SelectHints, Mutex<Option<Streamed>>)>,
}

impl Prefetched {
    /// The selection that has the series for `hints`, if it has been fetched: that of the same series, or of these among
    /// others, over at least the same time.
    pub(crate) fn find(&self, hints: &SelectHints) -> Option<&Fetched> {
        self.held.iter().find(|fetched| contains(&fetched.hints, hints))
    }

    /// Adds a selection.
    pub(crate) fn add(&mut self, fetched: Fetched) {
        self.held.push(fetched);
    }

    /// Adds a selection that nothing else of the query is a part of.
    pub(crate) fn add_streamed(&mut self, hints: SelectHints, streamed: Streamed) {
        self.streamed.push((hints, Mutex::new(Some(streamed))));
    }

    fn take_streamed(&self, hints: &SelectHints) -> Option<Streamed> {
        let (_, streamed) = self.streamed.iter().find(|(known, _)| known == hints)?;
        streamed.lock().take()
    }
}

/// Whether a selection has all that another one asks for: it demands nothing of series that the other one does not, and
/// reaches as far.
pub(crate) fn contains(all: &SelectHints, some: &SelectHints) -> bool {
    all.start_ms <= some.start_ms
        && all.end_ms >= some.end_ms
        && all.matchers.iter().all(|matcher| some.matchers.contains(matcher))
}

impl SeriesSource for Prefetched {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        if let Some(streamed) = self.take_streamed(hints) {
            return Ok(streamed.into_set());
        }
        let Some(fetched) = self.find(hints) else {
            return Err(SourceError {
                message: format!("selection {} was not announced by the plan", hints.ordinal),
            });
        };
        let more = |matcher: &&Matcher| !fetched.hints.matchers.contains(*matcher);
        let more: Vec<&Matcher> = hints.matchers.iter().filter(more).collect();
        let rest = if more.is_empty() {
            Picked::All(&fetched.series)
        } else {
            Picked::Some(fetched.series.iter().filter(|series| match_all(&more, &series.labels)).collect())
        };
        Ok(Box::new(FetchedSet { range: fetched.range, batch: 0..0, series: rest }))
    }
}

fn match_all(matchers: &[&Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get_or_empty(matcher.name())))
}

/// The engine is given so many series at once: so many columns may be in memory that have not been folded.
pub(crate) const BATCH_SERIES: usize = 1024;

/// The series of one selection.
struct FetchedSet<'a> {
    range: Option<TimeRange>,
    series: Picked<'a>,
    /// The numbers of those handed out last.
    batch: std::ops::Range<usize>,
}

/// Series out of what has been fetched.
enum Picked<'a> {
    All(&'a [SeriesChunks]),
    Some(Vec<&'a SeriesChunks>),
}

impl<'a> Picked<'a> {
    fn len(&self) -> usize {
        match self {
            Self::All(series) => series.len(),
            Self::Some(series) => series.len(),
        }
    }

    fn get(&self, number: usize) -> &'a SeriesChunks {
        match self {
            Self::All(series) => &series[number],
            Self::Some(series) => series[number],
        }
    }
}

impl FetchedSet<'_> {
    /// Goes on to the next series, so many at most; whether there are any.
    fn advance(&mut self, max: usize) -> bool {
        let begin = self.batch.end;
        self.batch = begin..self.series.len().min(begin.saturating_add(max));
        !self.batch.is_empty()
    }
}

impl SeriesBatch for FetchedSet<'_> {
    fn len(&self) -> usize {
        self.batch.len()
    }

    fn series(&self, number: usize) -> SelectedSeries<'_> {
        selected(self.series.get(self.batch.start + number), self.range)
    }

    fn approach(&self, numbers: &mut dyn Iterator<Item = usize>) {
        touch(numbers.flat_map(|number| &self.series.get(self.batch.start + number).chunks));
    }

    fn labels(&self, number: usize) -> Labels {
        self.series.get(self.batch.start + number).labels.clone()
    }
}

/// A series as the engine reads it; without samples where none can count.
pub(crate) fn selected(series: &SeriesChunks, range: Option<TimeRange>) -> SelectedSeries<'_> {
    let (chunks, range) = match range {
        Some(range) => (series.chunks.as_slice(), range),
        None => (&[][..], TimeRange::ALL),
    };
    let samples = FetchedSamples { labels: &series.labels, reader: SeriesReader::new(chunks, range) };
    SelectedSeries { labels: series.labels.clone(), samples: Box::new(samples) }
}

impl SeriesSet for FetchedSet<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        Ok(if self.advance(1) { Some(self.series(0)) } else { None })
    }

    fn has_batches(&self) -> bool {
        true
    }

    fn next_batch(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        Ok(if self.advance(BATCH_SERIES) { Some(&*self) } else { None })
    }

    fn rest(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        self.advance(usize::MAX);
        Ok(Some(&*self))
    }

    fn is_sorted(&self) -> bool {
        true
    }
}

/// The samples of one series.
struct FetchedSamples<'a> {
    labels: &'a Labels,
    reader: SeriesReader<'a>,
}

impl SampleCursor for FetchedSamples<'_> {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        self.reader
            .read_run(&mut Columns(into))
            .map_err(|e| SourceError { message: format!("series {} is damaged: {e}", self.labels) })
    }
}

/// The engine's samples as a sink.
struct Columns<'a>(&'a mut Samples);

impl Sink for Columns<'_> {
    fn columns(&mut self) -> Option<(&mut Vec<i64>, &mut Vec<f64>)> {
        self.0.float_columns()
    }

    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.0.push_float(timestamp_ms, value);
    }

    fn floats(&mut self, timestamps_ms: &[i64], values: &[f64]) {
        self.0.extend_floats(timestamps_ms, values);
    }

    fn histogram(&mut self, timestamp_ms: i64, value: Arc<FloatHistogram>) {
        self.0.push_histogram(timestamp_ms, value);
    }

    fn started_float(&mut self, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.0.push_float_with_start(timestamp_ms, start_ms, value);
    }

    fn started_histogram(&mut self, timestamp_ms: i64, start_ms: i64, value: Arc<FloatHistogram>) {
        self.0.push_histogram_with_start(timestamp_ms, start_ms, value);
    }
}
