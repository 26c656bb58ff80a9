//! A storage in memory with the semantics that scripts assume: samples are appended in order of time, and histograms
//! come back with the reset hints that chunks of a TSDB give them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels, is_stale_nan, stale_nan};
use promql::{SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet, SeriesSource, SourceError};
use thiserror::Error;

/// Why a sample is not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The series has a newer one.
    #[error("out of order sample")]
    OutOfOrder,
    /// The series has another value at that time.
    #[error("duplicate sample for timestamp")]
    Duplicate,
}

/// A sample as loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// When it was taken, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// When its counter started; 0 if that is not known.
    pub start_ms: i64,
    /// Its value.
    pub value: LoadedValue,
}

/// The value of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadedValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// Series by their labels.
#[derive(Debug, Default)]
pub struct Storage {
    series: BTreeMap<Labels, Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    samples: Vec<Loaded>,
    /// The same as they go into chunks, which give histograms their hints.
    written: Vec<Loaded>,
    /// The last histogram as loaded, if no float came after it: what the next one is compared with.
    open_chunk: Option<Arc<FloatHistogram>>,
}

impl Storage {
    /// Appends samples in order of time to a series.
    pub fn append(&mut self, labels: &Labels, samples: Vec<Loaded>) -> Result<(), String> {
        let stored = self.series.entry(labels.clone()).or_default();
        samples.into_iter().try_for_each(|sample| stored.append(sample).map_err(|e| format!("{labels}: {e}")))
    }

    /// All series in order, with their samples as they go into chunks.
    pub fn written(&self) -> impl Iterator<Item = (&Labels, &[Loaded])> {
        self.series.iter().map(|(labels, stored)| (labels, stored.written.as_slice()))
    }

    /// Appends a sample. One that is there already is not appended again, and nothing is wrong with it.
    pub fn append_one(&mut self, labels: &Labels, sample: Loaded) -> Result<(), AppendError> {
        let stored = self.series.entry(labels.clone()).or_default();
        match stored.samples.last() {
            Some(last) if last.timestamp_ms > sample.timestamp_ms => Err(AppendError::OutOfOrder),
            Some(last) if last.timestamp_ms == sample.timestamp_ms => {
                match same(&last.value, &sample.value) {
                    true => Ok(()),
                    false => Err(AppendError::Duplicate),
                }
            }
            _ => stored.append(sample).map_err(|_| AppendError::OutOfOrder),
        }
    }
}

impl Stored {
    fn append(&mut self, mut sample: Loaded) -> Result<(), String> {
        if let Some(last) = self.samples.last()
            && sample.timestamp_ms <= last.timestamp_ms
        {
            return Err(format!("sample at {} ms is not newer than the last one", sample.timestamp_ms));
        }
        let mut written = sample.clone();
        sample.value = match sample.value {
            // A series of histograms becomes stale with a histogram.
            LoadedValue::Float(v) if is_stale_nan(v) && self.open_chunk.is_some() => {
                let stale = Arc::new(FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() });
                self.open_chunk = Some(Arc::clone(&stale));
                LoadedValue::Histogram(stale)
            }
            LoadedValue::Float(v) => {
                self.open_chunk = None;
                LoadedValue::Float(v)
            }
            LoadedValue::Histogram(histogram) => {
                let goes_on = self.open_chunk.as_ref().is_some_and(|last| goes_on(&histogram, last));
                let mut read = (*histogram).clone();
                read.counter_reset_hint = match histogram.counter_reset_hint {
                    CounterResetHint::Gauge => CounterResetHint::Gauge,
                    _ if goes_on => CounterResetHint::NotReset,
                    _ => CounterResetHint::Unknown,
                };
                self.open_chunk = Some(histogram);
                LoadedValue::Histogram(Arc::new(read))
            }
        };
        if let LoadedValue::Histogram(histogram) = &sample.value
            && is_stale_nan(histogram.sum)
        {
            written.value = sample.value.clone();
        }
        self.written.push(written);
        self.samples.push(sample);
        Ok(())
    }
}

/// Whether two values are the same; a hint does not make histograms differ.
fn same(a: &LoadedValue, b: &LoadedValue) -> bool {
    match (a, b) {
        (LoadedValue::Float(a), LoadedValue::Float(b)) => a.to_bits() == b.to_bits(),
        (LoadedValue::Histogram(a), LoadedValue::Histogram(b)) => a.same_data(b),
        _ => false,
    }
}

/// Whether a histogram goes into the chunk that `last` is the end of.
fn goes_on(histogram: &FloatHistogram, last: &FloatHistogram) -> bool {
    let gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if gauge(histogram) != gauge(last) || histogram.counter_reset_hint == CounterResetHint::Reset {
        return false;
    }
    if is_stale_nan(last.sum) {
        return is_stale_nan(histogram.sum);
    }
    let same_layout = histogram.schema == last.schema
        && histogram.zero_threshold == last.zero_threshold
        && histogram.custom_values == last.custom_values;
    let mut unhinted = histogram.clone();
    unhinted.counter_reset_hint = CounterResetHint::Unknown;
    same_layout && (gauge(histogram) || !unhinted.detect_reset(last))
}

impl SeriesSource for Storage {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let matching = self
            .series
            .iter()
            .filter(|(labels, _)| hints.matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name()))));
        Ok(Box::new(Selected {
            series: matching.map(|(labels, stored)| (labels, stored.samples.as_slice())).collect(),
            next: 0,
            range: (hints.start_ms, hints.end_ms),
        }))
    }
}

struct Selected<'s> {
    series: Vec<(&'s Labels, &'s [Loaded])>,
    next: usize,
    range: (i64, i64),
}

impl SeriesSet for Selected<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let Some((labels, samples)) = self.series.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        // Just what was asked for: the engine must not need more.
        let first = samples.partition_point(|s| s.timestamp_ms < self.range.0);
        let end = samples.partition_point(|s| s.timestamp_ms <= self.range.1).max(first);
        Ok(Some(SelectedSeries {
            labels: (*labels).clone(),
            samples: Box::new(Reader { samples: &samples[first..end] }),
        }))
    }

    fn is_sorted(&self) -> bool {
        true
    }
}

/// How many samples are handed over at once: few, so that the engine has to put runs together.
const RUN: usize = 7;

struct Reader<'s> {
    samples: &'s [Loaded],
}

impl SampleCursor for Reader<'_> {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let (run, rest) = self.samples.split_at(self.samples.len().min(RUN));
        self.samples = rest;
        for sample in run {
            let (t, start) = (sample.timestamp_ms, sample.start_ms);
            match &sample.value {
                LoadedValue::Float(v) => into.push_float_with_start(t, start, *v),
                LoadedValue::Histogram(h) => into.push_histogram_with_start(t, start, Arc::clone(h)),
            }
        }
        Ok(!run.is_empty())
    }
}
