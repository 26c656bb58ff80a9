//! What a query selects, fetched before it runs, and handed to the engine.

use std::sync::Arc;

use model::{FloatHistogram, Labels, TimeRange};
use promql::{SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet, SeriesSource, SourceError};
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
        Ok(Box::new(FetchedSet { range: fetched.range, series: fetched.series.iter() }))
    }
}

/// The series of one selection.
struct FetchedSet<'a> {
    range: Option<TimeRange>,
    series: std::slice::Iter<'a, SeriesChunks>,
}

impl SeriesSet for FetchedSet<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let Some((range, series)) = self.range.zip(self.series.next()) else {
            return Ok(None);
        };
        Ok(Some(SelectedSeries {
            labels: series.labels.clone(),
            samples: Box::new(FetchedSamples {
                labels: &series.labels,
                reader: SeriesReader::new(&series.chunks, range),
            }),
        }))
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
