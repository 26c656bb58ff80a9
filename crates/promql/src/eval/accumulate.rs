//! Sums and means that come out the same in whatever parts they are computed, as long as the parts are the same.

use model::histogram::IncompatibleSchemas;
use model::{CompensatedSum, CounterResetHint, FloatHistogram, HistogramSum};

use crate::ast::Span;
use crate::engine::annotations::Annotations;
use crate::functions::histogram_rate::{Operation, note_reconciled};

use super::column::Points;

/// By what sums are scaled down once they would overflow: a power of two, so that nothing is rounded.
const DOWN: f64 = 1.0 / (1u64 << 32) as f64 / (1u64 << 32) as f64;
const UP: f64 = 1.0 / DOWN;

/// A mean of floats. Where the sum would overflow, a scaled one is carried on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: CompensatedSum,
    count: f64,
    scaled: bool,
}

impl Mean {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.scaled {
            self.sum.add(value * DOWN);
            return;
        }
        let before = self.sum;
        self.sum.add(value);
        if self.sum.sum.is_infinite() && before.sum.is_finite() && value.is_finite() {
            self.sum = before;
            self.scale_down();
            self.sum.add(value * DOWN);
        }
    }

    /// The mean of values.
    pub(crate) fn of(values: &[f64]) -> f64 {
        let sum = CompensatedSum::of(values);
        if sum.sum.is_finite() {
            let count = values.len() as f64;
            return sum.sum / count + sum.compensation / count;
        }
        let mut mean = Self::default();
        values.iter().for_each(|v| mean.add(*v));
        mean.mean()
    }

    fn scale_down(&mut self) {
        self.sum.scale(DOWN);
        self.scaled = true;
    }

    pub(crate) fn merge(&mut self, mut other: Self) {
        self.count += other.count;
        let overflows = !self.scaled
            && !other.scaled
            && self.sum.sum.is_finite()
            && other.sum.sum.is_finite()
            && (self.sum.sum + other.sum.sum).is_infinite();
        if (self.scaled || overflows) && !other.scaled {
            other.scale_down();
        }
        if other.scaled && !self.scaled {
            self.scale_down();
        }
        self.sum.merge(other.sum);
    }

    pub(crate) fn mean(&self) -> f64 {
        let mean = self.sum.sum / self.count + self.sum.compensation / self.count;
        if self.scaled { mean * UP } else { mean }
    }
}

/// Compensated sums at steps, as columns: what rounding loses is found without a branch (Knuth), so that several steps are
/// added at once. Once a sum is infinite, what is beside it means nothing.
#[derive(Debug, Clone)]
pub(crate) struct SumColumns {
    sums: Vec<f64>,
    /// None as long as there is one addend.
    compensations: Vec<f64>,
}

impl SumColumns {
    pub(crate) fn new(steps: usize) -> Self {
        Self { sums: vec![0.0; steps], compensations: Vec::new() }
    }

    /// The sums of a single series' floats, in their place: these are not left behind.
    pub(crate) fn take(points: &mut Points) -> Self {
        if points.floats.count() < points.steps() {
            let mut sums = Self::new(points.steps());
            for run in points.floats.runs() {
                let columns = sums.sums[run.clone()].iter_mut().zip(&points.values[run]);
                columns.for_each(|(sum, value)| *sum += value);
            }
            return sums;
        }
        let mut sums = std::mem::take(&mut points.values);
        // Zero is added, as to any sum: of a negative zero it makes a positive one.
        sums.iter_mut().for_each(|sum| *sum += 0.0);
        Self { sums, compensations: Vec::new() }
    }

    /// Adds the floats of a series.
    pub(crate) fn add(&mut self, points: &Points) {
        self.compensations.resize(self.sums.len(), 0.0);
        let add = |sum: &mut f64, compensation: &mut f64, value: f64| {
            let total = *sum + value;
            let added = total - *sum;
            *compensation += (*sum - (total - added)) + (value - added);
            *sum = total;
        };
        for run in points.floats.runs() {
            let columns = self.sums[run.clone()].iter_mut().zip(&mut self.compensations[run.clone()]);
            columns.zip(&points.values[run]).for_each(|((sum, lost), value)| add(sum, lost, *value));
        }
    }

    pub(crate) fn at(&self, step: usize) -> CompensatedSum {
        let sum = self.sums[step];
        let known = self.compensations.get(step).copied().unwrap_or(0.0);
        let compensation = if sum.is_finite() { known } else { 0.0 };
        CompensatedSum { sum, compensation }
    }

    /// Adds the sum that another has at a step; `fresh` says that there is none here yet.
    pub(crate) fn merge(&mut self, other: &Self, step: usize, fresh: bool) {
        let sum = if fresh {
            other.at(step)
        } else {
            let mut sum = self.at(step);
            sum.merge(other.at(step));
            sum
        };
        self.sums[step] = sum.sum;
        self.compensations.resize(self.sums.len(), 0.0);
        self.compensations[step] = sum.compensation;
    }
}

/// Means at steps, as columns as long as no sum can overflow.
#[derive(Debug, Clone)]
pub(crate) enum MeanColumns {
    Plain {
        sums: SumColumns,
        counts: Vec<f64>,
        /// No sum is larger, whatever its sign.
        bound: f64,
    },
    Any(Vec<Mean>),
}

impl MeanColumns {
    /// Sums up to this are far from overflowing.
    const SAFE: f64 = 1e307;

    pub(crate) fn new(steps: usize) -> Self {
        Self::Plain { sums: SumColumns::new(steps), counts: vec![0.0; steps], bound: 0.0 }
    }

    /// Adds the floats of a series.
    pub(crate) fn add(&mut self, points: &Points) {
        if let Self::Plain { sums, counts, bound } = self {
            // NaN, of which nothing is less, does not pass either.
            let largest =
                points.values.iter().fold(0.0, |max: f64, v| if v.abs() <= max { max } else { v.abs() });
            if *bound + largest < Self::SAFE {
                *bound += largest;
                sums.add(points);
                for run in points.floats.runs() {
                    counts[run].iter_mut().for_each(|count| *count += 1.0);
                }
                return;
            }
        }
        let means = self.any();
        points.floats.iter().for_each(|i| means[i].add(points.values[i]));
    }

    fn any(&mut self) -> &mut Vec<Mean> {
        if let Self::Plain { counts, .. } = self {
            *self = Self::Any((0..counts.len()).map(|step| self.at(step)).collect());
        }
        match self {
            Self::Any(means) => means,
            Self::Plain { .. } => unreachable!("it has just been replaced"),
        }
    }

    pub(crate) fn at(&self, step: usize) -> Mean {
        match self {
            Self::Plain { sums, counts, .. } => {
                Mean { sum: sums.at(step), count: counts[step], scaled: false }
            }
            Self::Any(means) => means[step],
        }
    }

    /// Adds the mean that another has at a step; `fresh` says that there is none here yet.
    pub(crate) fn merge(&mut self, other: &Self, step: usize, fresh: bool) {
        let mean = &mut self.any()[step];
        if fresh {
            *mean = other.at(step);
        } else {
            mean.merge(other.at(step));
        }
    }
}

/// A sum or mean of histograms.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistogramAccumulator {
    sum: Option<HistogramSum>,
    count: f64,
    scaled: bool,
    saw_reset: bool,
    saw_no_reset: bool,
    reconciled: bool,
}

impl HistogramAccumulator {
    /// Adds a histogram to what becomes a sum.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.note(histogram);
        match &mut self.sum {
            None => self.sum = Some(HistogramSum::new(histogram)),
            Some(sum) => self.reconciled |= sum.add(histogram)?.bounds_reconciled,
        }
        Ok(())
    }

    /// Adds a histogram to what becomes a mean.
    pub(crate) fn add_to_mean(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        const NEAR_OVERFLOW: f64 = 1e300;
        let mut addend = std::borrow::Cow::Borrowed(histogram);
        let near = |m: f64| m > NEAR_OVERFLOW;
        let own = self.sum.as_ref().map_or(0.0, HistogramSum::magnitude);
        if !self.scaled && (near(own) || near(HistogramSum::new(histogram).magnitude())) {
            if let Some(sum) = &mut self.sum {
                sum.scale(DOWN);
            }
            self.scaled = true;
        }
        if self.scaled {
            addend.to_mut().scale(DOWN);
        }
        self.add(&addend)
    }

    fn note(&mut self, histogram: &FloatHistogram) {
        self.count += 1.0;
        self.saw_reset |= histogram.counter_reset_hint == CounterResetHint::Reset;
        self.saw_no_reset |= histogram.counter_reset_hint == CounterResetHint::NotReset;
    }

    /// Adds what another one has gathered.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), IncompatibleSchemas> {
        self.count += other.count;
        self.saw_reset |= other.saw_reset;
        self.saw_no_reset |= other.saw_no_reset;
        self.reconciled |= other.reconciled;
        let Some(addend) = &other.sum else {
            return Ok(());
        };
        let mut addend = addend.clone();
        if self.scaled && !other.scaled {
            addend.scale(DOWN);
        }
        match &mut self.sum {
            None => {
                self.sum = Some(addend);
                self.scaled |= other.scaled;
            }
            Some(sum) => {
                if other.scaled && !self.scaled {
                    sum.scale(DOWN);
                    self.scaled = true;
                }
                self.reconciled |= sum.merge(&addend)?.bounds_reconciled;
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sum.is_none()
    }

    /// The sum, compacted.
    pub(crate) fn sum(self) -> Option<FloatHistogram> {
        self.sum.map(|sum| sum.finish().compacted())
    }

    /// The mean, compacted.
    pub(crate) fn mean(self) -> Option<FloatHistogram> {
        let mut sum = self.sum?;
        sum.divide(self.count);
        let mut mean = sum.finish().compacted();
        if self.scaled {
            mean.scale(UP);
        }
        Some(mean)
    }

    /// Notes what has to be known about the result.
    pub(crate) fn annotate(&self, span: Span, annotations: &mut Annotations) {
        if self.saw_reset && self.saw_no_reset {
            annotations.warn(span, "conflicting counter resets during histogram aggregation");
        }
        if self.reconciled {
            note_reconciled(Operation::Aggregation, span, annotations);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> Mean {
        let mut mean = Mean::default();
        values.iter().for_each(|v| mean.add(*v));
        mean
    }

    #[test]
    fn means_do_not_overflow() {
        let big = f64::MAX;
        assert_eq!(mean_of(&[big, big, big]).mean(), big);
        let mut merged = mean_of(&[big]);
        merged.merge(mean_of(&[big]));
        merged.merge(mean_of(&[1.0, 1.0]));
        assert_eq!(merged.mean(), big / 2.0);
        assert_eq!(mean_of(&[f64::INFINITY, 1.0]).mean(), f64::INFINITY);
        assert!(mean_of(&[f64::INFINITY, f64::NEG_INFINITY]).mean().is_nan());
        assert_eq!(mean_of(&[1.0, 1e100, 1.0, -1e100]).mean(), 0.5);
    }

    #[test]
    fn means_of_histograms_do_not_overflow() {
        let h = FloatHistogram { count: f64::MAX, sum: 1.0, ..FloatHistogram::default() };
        let mut mean = HistogramAccumulator::default();
        for _ in 0..4 {
            mean.add_to_mean(&h).unwrap();
        }
        assert_eq!(mean.mean().unwrap().count, f64::MAX);
    }
}
