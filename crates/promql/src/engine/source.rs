//! Where series come from: the trait that storage implements for the engine.
//!
//! Everything is pulled and synchronous. An implementation that reads over a network asks a [prepared
//! query](crate::PreparedQuery::selections) what it will select, fetches that first, and then only hands out.

use std::sync::Arc;

use model::{FloatHistogram, Labels, Matcher, is_stale_nan};
use thiserror::Error;

/// Why a source cannot give its series. Displayed as its message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SourceError {
    /// What went wrong.
    pub message: String,
}

/// What is selected, and what for.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectHints {
    /// Which selection of the query this is, from 0: the position in the list that the prepared query gives.
    pub ordinal: usize,
    /// The series have to match all of these.
    pub matchers: Vec<Matcher>,
    /// The first time of interest, in milliseconds, included. Earlier samples may be given; they are not used.
    pub start_ms: i64,
    /// The last time of interest, in milliseconds, included. Later samples may be given; they are not used.
    pub end_ms: i64,
    /// The distance of evaluations, in milliseconds.
    pub step_ms: i64,
    /// The length of a range selector, in milliseconds; 0 for instant selectors.
    pub range_ms: i64,
    /// The function or aggregation directly around the selector; empty without one.
    pub func: &'static str,
    /// The labels of the aggregation directly around the selector.
    pub grouping: Vec<String>,
    /// Whether `grouping` are those to keep.
    pub by: bool,
    /// Whether the newest sample between these times suffices, of each series: it is looked at one time only.
    pub newest_only: bool,
    /// Whether counts and sums of histograms suffice: buckets may be left out if reset hints are exact then.
    pub histogram_stats_only: bool,
}

/// Gives series to a query.
pub trait SeriesSource {
    /// Selects series. Of what a prepared query says that it will select, a run selects each at most once.
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError>;
}

/// Selected series, one after the other.
pub trait SeriesSet {
    /// The next series; each label set comes once.
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError>;

    /// Whether series come in order of their labels. Where they do not, the engine holds them all to sort them.
    fn is_sorted(&self) -> bool;

    /// Whether [`SeriesSet::next_batch`] can be asked, too.
    fn has_batches(&self) -> bool {
        false
    }

    /// Some of the next series, of which several can be read at the same time.
    fn next_batch(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        Ok(None)
    }

    /// All of the next series at once, where they are at hand: for who wants them in another order.
    fn rest(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        Ok(None)
    }

    /// All of the next series at once, gathered if need be: for who had them in batches, and holds more for want of an
    /// order than they take. `None` where that is not possible.
    fn gathered_rest(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        self.rest()
    }

    /// What went wrong without being fatal; asked for at the end.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Series that can be read in any order, also at the same time.
pub trait SeriesBatch: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The series with this number, which is less than [`SeriesBatch::len`].
    fn series(&self, number: usize) -> SelectedSeries<'_>;

    /// Says that these series are read next: what memory has of them may be asked for at once, rather than when the turn
    /// of each has come.
    fn approach(&self, numbers: &mut dyn Iterator<Item = usize>) {
        let _ = numbers;
    }

    /// The labels of that series.
    fn labels(&self, number: usize) -> Labels {
        self.series(number).labels
    }
}

/// A series being read.
pub struct SelectedSeries<'a> {
    /// Its labels.
    pub labels: Labels,
    /// Its samples.
    pub samples: Box<dyn SampleCursor + 'a>,
}

/// Reads the samples of a series.
pub trait SampleCursor {
    /// Appends the next run of samples, such as those of a chunk, later than all before; false if there are no more.
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError>;
}

/// Samples of one series in order of time. A timestamp has a float or a histogram, not both.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// The floats, staleness markers included.
    pub(crate) floats: Run<f64>,
    /// The histograms, stale ones included.
    pub(crate) histograms: Run<Arc<FloatHistogram>>,
}

/// Samples of one kind, as columns.
#[derive(Debug, Clone)]
pub(crate) struct Run<T> {
    pub(crate) timestamps: Vec<i64>,
    pub(crate) values: Vec<T>,
    /// As long as the others, or empty where no start timestamp is known; 0 stands for unknown.
    pub(crate) starts: Vec<i64>,
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Self { timestamps: Vec::new(), values: Vec::new(), starts: Vec::new() }
    }
}

impl<T> Run<T> {
    fn push(&mut self, timestamp_ms: i64, start_ms: i64, value: T) {
        if start_ms != 0 && self.starts.is_empty() {
            self.starts.resize(self.timestamps.len(), 0);
        }
        if start_ms != 0 || !self.starts.is_empty() {
            self.starts.push(start_ms);
        }
        self.timestamps.push(timestamp_ms);
        self.values.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    pub(crate) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.starts.clear();
    }

    /// Drops the samples that mark the series as stale.
    pub(crate) fn drop_stale(&mut self)
    where
        T: MaybeStale,
    {
        if !T::may_be_among(&self.values) {
            return;
        }
        let kept: Vec<bool> = self.values.iter().map(|value| !value.is_stale()).collect();
        let mut flags = kept.iter();
        self.values.retain(|_| *flags.next().unwrap_or(&true));
        let mut flags = kept.iter();
        self.timestamps.retain(|_| *flags.next().unwrap_or(&true));
        let mut flags = kept.iter();
        self.starts.retain(|_| *flags.next().unwrap_or(&true));
    }
}

/// A value that may mark the end of a series.
pub(crate) trait MaybeStale: Sized {
    /// Whether it does.
    fn is_stale(&self) -> bool;

    /// Whether one of these may: false where it is certain that none does.
    fn may_be_among(values: &[Self]) -> bool {
        values.iter().any(Self::is_stale)
    }
}

impl MaybeStale for f64 {
    fn is_stale(&self) -> bool {
        is_stale_nan(*self)
    }

    fn may_be_among(values: &[Self]) -> bool {
        // Without a branch for each of them.
        values.iter().fold(false, |any, value| any | value.is_nan())
    }
}

impl MaybeStale for Arc<FloatHistogram> {
    fn is_stale(&self) -> bool {
        is_stale_nan(self.sum)
    }
}

impl Samples {
    /// Appends a float.
    pub fn push_float(&mut self, timestamp_ms: i64, value: f64) {
        self.floats.push(timestamp_ms, 0, value);
    }

    /// Appends floats.
    pub fn extend_floats(&mut self, timestamps_ms: &[i64], values: &[f64]) {
        let n = timestamps_ms.len().min(values.len());
        self.floats.timestamps.extend_from_slice(&timestamps_ms[..n]);
        self.floats.values.extend_from_slice(&values[..n]);
        if !self.floats.starts.is_empty() {
            self.floats.starts.resize(self.floats.timestamps.len(), 0);
        }
    }

    /// The columns of times and values of the floats, to append to: as many of one as of the other, in order of time and
    /// later than what is there. `None` where some have start timestamps.
    pub fn float_columns(&mut self) -> Option<(&mut Vec<i64>, &mut Vec<f64>)> {
        let Run { timestamps, values, starts } = &mut self.floats;
        starts.is_empty().then_some((timestamps, values))
    }

    /// Appends a float with the time at which its counter started, 0 if that is not known.
    pub fn push_float_with_start(&mut self, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.floats.push(timestamp_ms, start_ms, value);
    }

    /// Appends a histogram.
    pub fn push_histogram(&mut self, timestamp_ms: i64, value: Arc<FloatHistogram>) {
        self.histograms.push(timestamp_ms, 0, value);
    }

    /// Appends a histogram with the time at which its counter started, 0 if that is not known.
    pub fn push_histogram_with_start(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: Arc<FloatHistogram>,
    ) {
        self.histograms.push(timestamp_ms, start_ms, value);
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }

    /// Drops what marks the series as stale.
    pub(crate) fn drop_stale(&mut self) {
        self.floats.drop_stale();
        self.histograms.drop_stale();
    }
}
