//! A series over the steps of an evaluation, as columns.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::engine::value::SampleValue;

use super::presence::Presence;

/// A series with its samples at the steps. At a step there is a float, a histogram, or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) labels: Labels,
    /// The labels of the stored series, where `labels` are others.
    pub(crate) origin: Option<Labels>,
    /// Whether the metric name is to be dropped at the end of the query.
    pub(crate) drop_name: bool,
    /// Where it belongs, if series come by virtual shards.
    pub(crate) place: Option<Place>,
    pub(crate) points: Points,
}

/// Where a stored series belongs among those of its selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its virtual shard.
    pub(crate) shard: u8,
    /// How many series come before it by labels.
    pub(crate) rank: u32,
}

/// Samples at steps.
#[derive(Debug, Clone)]
pub(crate) struct Points {
    /// A value per step; only those of `floats` mean anything.
    pub(crate) values: Vec<f64>,
    /// The steps with a float.
    pub(crate) floats: Presence,
    /// A histogram per step, if there is any.
    pub(crate) histograms: Option<Box<[Option<Arc<FloatHistogram>>]>>,
}

impl Points {
    pub(crate) fn none(steps: usize) -> Self {
        Self { values: vec![0.0; steps], floats: Presence::none(steps), histograms: None }
    }

    /// The same value at every step.
    pub(crate) fn constant(steps: usize, value: f64) -> Self {
        Self { values: vec![value; steps], floats: Presence::all(steps), histograms: None }
    }

    /// A value at every step.
    pub(crate) fn dense(values: Vec<f64>) -> Self {
        Self { floats: Presence::all(values.len()), values, histograms: None }
    }

    pub(crate) fn steps(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        self.floats.has(step).then(|| self.values[step])
    }

    #[inline]
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.as_ref()?[step].as_ref()
    }

    #[inline]
    pub(crate) fn has(&self, step: usize) -> bool {
        self.floats.has(step) || self.histogram(step).is_some()
    }

    #[inline]
    pub(crate) fn set_float(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.floats.set(step);
    }

    pub(crate) fn set_histogram(&mut self, step: usize, value: Arc<FloatHistogram>) {
        let steps = self.values.len();
        let histograms = self.histograms.get_or_insert_with(|| vec![None; steps].into_boxed_slice());
        histograms[step] = Some(value);
    }

    pub(crate) fn set(&mut self, step: usize, value: SampleValue) {
        match value {
            SampleValue::Float(v) => self.set_float(step, v),
            SampleValue::Histogram(h) => self.set_histogram(step, h),
        }
    }

    pub(crate) fn get(&self, step: usize) -> Option<SampleValue> {
        match self.float(step) {
            Some(v) => Some(SampleValue::Float(v)),
            None => self.histogram(step).map(|h| SampleValue::Histogram(Arc::clone(h))),
        }
    }

    /// The steps with a sample of any kind.
    pub(crate) fn present(&self) -> Presence {
        let mut present = self.floats.clone();
        for (step, histogram) in self.histograms.iter().flatten().enumerate() {
            if histogram.is_some() {
                present.set(step);
            }
        }
        present
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.iter().flatten().all(Option::is_none)
    }

    /// Removes the samples at all steps but these.
    pub(crate) fn keep_only(&mut self, steps: &Presence) {
        self.floats.intersect(steps);
        for (step, histogram) in self.histograms.iter_mut().flatten().enumerate() {
            if !steps.has(step) {
                *histogram = None;
            }
        }
    }

    /// Removes all histograms.
    pub(crate) fn drop_histograms(&mut self) {
        self.histograms = None;
    }

    /// Takes the samples of another over; false if both have one of the same kind at a step.
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        if self.floats.intersects(&other.floats) {
            return false;
        }
        for step in other.floats.iter() {
            self.set_float(step, other.values[step]);
        }
        for (step, histogram) in other.histograms.iter().flatten().enumerate() {
            let Some(histogram) = histogram else { continue };
            if self.histogram(step).is_some() {
                return false;
            }
            self.set_histogram(step, Arc::clone(histogram));
        }
        true
    }

    /// This single step's sample at each of so many steps.
    pub(crate) fn repeated(&self, steps: usize) -> Self {
        let mut out = Self::none(0);
        out.values = vec![self.values.first().copied().unwrap_or(0.0); steps];
        out.floats = if self.floats.has(0) { Presence::all(steps) } else { Presence::none(steps) };
        if let Some(histogram) = self.histogram(0) {
            out.histograms = Some(vec![Some(Arc::clone(histogram)); steps].into());
        }
        out
    }

    /// How many samples this counts for: a float is one, a histogram as many as fit in its place.
    pub(crate) fn weight(&self) -> usize {
        let histograms = self.histograms.iter().flatten().flatten();
        self.floats.count() + histograms.map(|h| histogram_weight(h)).sum::<usize>()
    }

    /// How many bytes it occupies, histograms included even where shared.
    pub(crate) fn bytes(&self) -> usize {
        let steps = self.values.len();
        let histograms = self.histograms.as_ref().map_or(0, |histograms| {
            let held: usize = histograms.iter().flatten().map(|h| h.size_bytes()).sum();
            held + steps * size_of::<usize>()
        });
        steps * size_of::<f64>() + steps / 8 + histograms
    }
}

/// How many floats a histogram counts for.
pub(crate) fn histogram_weight(histogram: &FloatHistogram) -> usize {
    const BYTES_PER_FLOAT_SAMPLE: usize = 16;
    (histogram.size_bytes() / BYTES_PER_FLOAT_SAMPLE).max(1)
}

impl Column {
    pub(crate) fn new(labels: Labels, points: Points) -> Self {
        Self { labels, origin: None, drop_name: false, place: None, points }
    }

    /// Gives it other labels, without forgetting those of the stored series.
    pub(crate) fn relabel(&mut self, labels: Labels) {
        let old = std::mem::replace(&mut self.labels, labels);
        self.origin.get_or_insert(old);
    }

    /// Which of the 64 virtual shards it belongs to.
    pub(crate) fn shard(&self) -> u8 {
        match self.place {
            Some(place) => place.shard,
            None => shard_of(self.origin.as_ref().unwrap_or(&self.labels)),
        }
    }
}

/// Which of the 64 virtual shards a series belongs to.
pub(super) fn shard_of(labels: &Labels) -> u8 {
    (labels.key_hash() >> 58) as u8
}
