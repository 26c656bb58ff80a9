//! Whether a counter histogram was reset between two samples.

use super::sparse::{self, SparseBucket};
use super::{CounterResetHint, FloatHistogram, exponential_bound};

impl FloatHistogram {
    /// Whether this sample, which follows `previous`, comes after a reset: the hint says so, or, without a hint, any
    /// count went down, a populated bucket vanished, or the layout changed in a way that only a reset allows.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if !sparse::same_bounds(&self.custom_values, &previous.custom_values) {
                return self.detect_reset_in_common_bounds(previous);
            }
        } else if previous.uses_custom_buckets() {
            return true;
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = previous.zero_count_for(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let outside = |buckets: Vec<SparseBucket>| -> Vec<SparseBucket> {
            let inside = |index: i32| {
                !self.uses_custom_buckets()
                    && self.zero_threshold != 0.0
                    && exponential_bound(index, self.schema) <= self.zero_threshold
            };
            buckets.into_iter().skip_while(|(index, _)| inside(*index)).collect()
        };
        let side = |own: Vec<SparseBucket>, before: Vec<SparseBucket>| {
            let before = if previous.schema == self.schema {
                before
            } else {
                sparse::coarsen(&before, previous.schema, self.schema)
            };
            any_went_down(&outside(own), &outside(before))
        };
        side(
            sparse::expand(&self.positive_spans, &self.positive_buckets),
            sparse::expand(&previous.positive_spans, &previous.positive_buckets),
        ) || side(
            sparse::expand(&self.negative_spans, &self.negative_buckets),
            sparse::expand(&previous.negative_spans, &previous.negative_buckets),
        )
    }

    fn detect_reset_in_common_bounds(&self, previous: &Self) -> bool {
        let bounds = sparse::common_bounds(&self.custom_values, &previous.custom_values);
        let rebinned = |h: &Self| {
            let buckets = sparse::expand(&h.positive_spans, &h.positive_buckets);
            sparse::rebin(&buckets, &h.custom_values, &bounds)
        };
        any_went_down(&rebinned(self), &rebinned(previous))
    }
}

/// Whether any bucket holds less now than before; a bucket that is not there holds nothing.
fn any_went_down(now: &[SparseBucket], before: &[SparseBucket]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.next_if(|(i, _)| i < index).is_some() {}
        let current = now.next_if(|(i, _)| i == index).map(|(_, c)| *c);
        match current {
            Some(current) => current < *count,
            None => *count != 0.0,
        }
    })
}
