//! What a query selects, fetched before it runs, and handed to the engine.

use std::sync::Arc;

use model::{FloatHistogram, Labels, TimeRange};
use promql::{
    SampleCursor, Samples, SelectHints, SelectedSeries, SeriesBatch, SeriesSet, SeriesSource, SourceError,
};
use proto::SeriesChunks;

use crate::samples::{SeriesReader, Sink};

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
pub(crate) struct Prefetched(Vec<Fetched>);

impl Prefetched {
    /// The selection for `hints`, if it has been fetched: that of the same series over at least the same time.
    pub(crate) fn find(&self, hints: &SelectHints) -> Option<&Fetched> {
        self.0.iter().find(|f| {
            f.hints.start_ms <= hints.start_ms
                && f.hints.end_ms >= hints.end_ms
                && f.hints.matchers == hints.matchers
        })
    }

    /// Adds a selection.
    pub(crate) fn add(&mut self, fetched: Fetched) {
        self.0.push(fetched);
    }
}

impl SeriesSource for Prefetched {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let Some(fetched) = self.find(hints) else {
            return Err(SourceError {
                message: format!("selection {} was not announced by the plan", hints.ordinal),
            });
        };
        let (range, rest) = (fetched.range, &*fetched.series);
        Ok(Box::new(FetchedSet { batch: FetchedBatch { range, series: &[] }, rest }))
    }
}

/// The engine is given so many series at once: so many columns may be in memory that have not been folded.
const BATCH_SERIES: usize = 1024;

/// The series of one selection.
struct FetchedSet<'a> {
    batch: FetchedBatch<'a>,
    rest: &'a [SeriesChunks],
}

/// Some of them.
struct FetchedBatch<'a> {
    range: Option<TimeRange>,
    series: &'a [SeriesChunks],
}

impl SeriesBatch for FetchedBatch<'_> {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn series(&self, number: usize) -> SelectedSeries<'_> {
        selected(&self.series[number], self.range)
    }
}

/// A series as the engine reads it; without samples where none can count.
fn selected(series: &SeriesChunks, range: Option<TimeRange>) -> SelectedSeries<'_> {
    let (chunks, range) = match range {
        Some(range) => (series.chunks.as_slice(), range),
        None => (&[][..], TimeRange::ALL),
    };
    let samples = FetchedSamples { labels: &series.labels, reader: SeriesReader::new(chunks, range) };
    SelectedSeries { labels: series.labels.clone(), samples: Box::new(samples) }
}

impl SeriesSet for FetchedSet<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let Some((series, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        Ok(Some(selected(series, self.batch.range)))
    }

    fn has_batches(&self) -> bool {
        true
    }

    fn next_batch(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        (self.batch.series, self.rest) = self.rest.split_at(self.rest.len().min(BATCH_SERIES));
        Ok((!self.batch.is_empty()).then_some(&self.batch))
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
