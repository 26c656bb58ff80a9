//! Running sums of histograms, compensated in every field.

use super::arithmetic::{Aligned, Combination, IncompatibleSchemas};
use super::sparse::{self, SparseBucket};
use super::{CounterResetHint, FloatHistogram};
use crate::CompensatedSum;

/// A running sum of histograms.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    /// Layout, and the sums as rounded; its counts are not compensated.
    histogram: FloatHistogram,
    /// What rounding lost, in the layout of `histogram`.
    lost: Lost,
}

#[derive(Debug, Clone, Default)]
struct Lost {
    zero_count: f64,
    count: f64,
    sum: f64,
    positive: Vec<f64>,
    negative: Vec<f64>,
}

impl HistogramSum {
    /// The sum of one histogram.
    pub fn new(first: &FloatHistogram) -> Self {
        Self {
            lost: Lost {
                positive: vec![0.0; first.positive_buckets.len()],
                negative: vec![0.0; first.negative_buckets.len()],
                ..Lost::default()
            },
            histogram: first.clone(),
        }
    }

    /// Adds a histogram.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        let own = &mut self.histogram;
        if own.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let same_layout = own.schema == other.schema
            && own.zero_threshold == other.zero_threshold
            && sparse::same_bounds(&own.custom_values, &other.custom_values);
        if !same_layout {
            // The layout is about to change: what was lost goes in first, since it has the old one.
            self.settle();
        }
        let own = &mut self.histogram;
        let mut done = Combination::default();
        (own.counter_reset_hint, done.reset_collision) =
            own.counter_reset_hint.combined(other.counter_reset_hint);
        let aligned = Aligned::new(own, other);
        done.bounds_reconciled = aligned.bounds_reconciled;
        if !same_layout {
            self.lost.positive = vec![0.0; own.positive_buckets.len()];
            self.lost.negative = vec![0.0; own.negative_buckets.len()];
        }
        add_to(&mut own.zero_count, &mut self.lost.zero_count, aligned.other_zero_count);
        add_to(&mut own.count, &mut self.lost.count, other.count);
        add_to(&mut own.sum, &mut self.lost.sum, other.sum);
        let positive = sparse::expand(&own.positive_spans, &own.positive_buckets);
        let (merged, lost) = merge(&positive, &self.lost.positive, &aligned.positive);
        (own.positive_spans, own.positive_buckets) = sparse::collapse(merged);
        self.lost.positive = lost;
        let negative = sparse::expand(&own.negative_spans, &own.negative_buckets);
        let (merged, lost) = merge(&negative, &self.lost.negative, &aligned.negative);
        (own.negative_spans, own.negative_buckets) = sparse::collapse(merged);
        self.lost.negative = lost;
        Ok(done)
    }

    /// Adds another running sum.
    pub fn merge(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        let done = self.add(&other.histogram)?;
        let lost = FloatHistogram {
            counter_reset_hint: other.histogram.counter_reset_hint,
            schema: other.histogram.schema,
            zero_threshold: other.histogram.zero_threshold,
            zero_count: other.lost.zero_count,
            count: other.lost.count,
            sum: other.lost.sum,
            positive_spans: other.histogram.positive_spans.clone(),
            positive_buckets: other.lost.positive.clone(),
            negative_spans: other.histogram.negative_spans.clone(),
            negative_buckets: other.lost.negative.clone(),
            custom_values: other.histogram.custom_values.clone(),
        };
        self.add(&lost)?;
        Ok(done)
    }

    /// Multiplies sums and what was lost. The hint stays.
    pub fn scale(&mut self, factor: f64) {
        let hint = self.histogram.counter_reset_hint;
        self.histogram.scale(factor);
        self.histogram.counter_reset_hint = hint;
        for value in [&mut self.lost.zero_count, &mut self.lost.count, &mut self.lost.sum] {
            *value *= factor;
        }
        for value in self.lost.positive.iter_mut().chain(&mut self.lost.negative) {
            *value *= factor;
        }
    }

    /// Divides sums and what was lost. The hint stays.
    pub fn divide(&mut self, divisor: f64) {
        let hint = self.histogram.counter_reset_hint;
        self.histogram.divide(divisor);
        self.histogram.counter_reset_hint = hint;
        for value in [&mut self.lost.zero_count, &mut self.lost.count, &mut self.lost.sum] {
            *value /= divisor;
        }
        for value in self.lost.positive.iter_mut().chain(&mut self.lost.negative) {
            *value /= divisor;
        }
    }

    /// The largest of the sums that are not of buckets, without its sign.
    pub fn magnitude(&self) -> f64 {
        let h = &self.histogram;
        h.count.abs().max(h.sum.abs()).max(h.zero_count.abs())
    }

    /// What is known about resets.
    pub fn counter_reset_hint(&self) -> CounterResetHint {
        self.histogram.counter_reset_hint
    }

    /// Whether any sum has become infinite.
    pub fn has_overflow(&self) -> bool {
        self.histogram.has_overflow()
    }

    /// Puts what was lost into the sums.
    fn settle(&mut self) {
        let own = &mut self.histogram;
        let settle = |value: &mut f64, lost: &mut f64| {
            if !value.is_infinite() {
                *value += *lost;
            }
            *lost = 0.0;
        };
        settle(&mut own.zero_count, &mut self.lost.zero_count);
        settle(&mut own.count, &mut self.lost.count);
        settle(&mut own.sum, &mut self.lost.sum);
        own.positive_buckets.iter_mut().zip(&mut self.lost.positive).for_each(|(v, l)| settle(v, l));
        own.negative_buckets.iter_mut().zip(&mut self.lost.negative).for_each(|(v, l)| settle(v, l));
    }

    /// The sum. It may have empty buckets.
    pub fn finish(mut self) -> FloatHistogram {
        self.settle();
        self.histogram
    }
}

fn add_to(sum: &mut f64, compensation: &mut f64, value: f64) {
    let mut both = CompensatedSum { sum: *sum, compensation: *compensation };
    both.add(value);
    (*sum, *compensation) = (both.sum, both.compensation);
}

fn merge(own: &[SparseBucket], lost: &[f64], other: &[SparseBucket]) -> (Vec<SparseBucket>, Vec<f64>) {
    let most = own.len().max(other.len());
    let (mut out, mut out_lost) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let (mut i, mut j) = (0, 0);
    loop {
        let (a, b) = (own.get(i), other.get(j));
        let index = match (a, b) {
            (Some(x), Some(y)) => x.0.min(y.0),
            (Some(x), None) => x.0,
            (None, Some(y)) => y.0,
            (None, None) => return (out, out_lost),
        };
        let mut sum = CompensatedSum::default();
        if let Some((_, count)) = a.filter(|x| x.0 == index) {
            sum.sum = *count;
            sum.compensation = lost.get(i).copied().unwrap_or(0.0);
            i += 1;
        }
        if let Some((_, count)) = b.filter(|y| y.0 == index) {
            sum.add(*count);
            j += 1;
        }
        out.push((index, sum.sum));
        out_lost.push(sum.compensation);
    }
}
