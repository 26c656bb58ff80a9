//! The times at which an expression is evaluated.

use super::{SelectorPlan, SubqueryPlan};

/// Times from `start_ms`, `interval_ms` apart. There is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    pub(crate) interval_ms: i64,
    pub(crate) count: usize,
}

impl Steps {
    pub(crate) fn single(time_ms: i64) -> Self {
        Self { start_ms: time_ms, interval_ms: 1, count: 1 }
    }

    /// The times from `start_ms` to `end_ms`; none if the end comes first.
    pub(crate) fn range(start_ms: i64, end_ms: i64, interval_ms: i64) -> Option<Self> {
        let interval_ms = interval_ms.max(1);
        let length = end_ms.checked_sub(start_ms).filter(|length| *length >= 0)?;
        Some(Self {
            start_ms,
            interval_ms,
            count: usize::try_from(length / interval_ms).ok()?.checked_add(1)?,
        })
    }

    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start_ms + self.interval_ms * step as i64
    }

    pub(crate) fn last(&self) -> i64 {
        self.time(self.count - 1)
    }

    /// The first time only.
    pub(crate) fn first(&self) -> Self {
        Self { count: 1, ..*self }
    }
}

/// The time that a selector with these modifiers looks at when it is evaluated at `time_ms`.
pub(crate) fn reference_time(time_ms: i64, at_ms: Option<i64>, offset_ms: i64) -> i64 {
    at_ms.unwrap_or(time_ms).saturating_sub(offset_ms)
}

impl SelectorPlan {
    pub(crate) fn reference(&self, time_ms: i64) -> i64 {
        reference_time(time_ms, self.at_ms, self.offset_ms)
    }
}

impl SubqueryPlan {
    pub(crate) fn reference(&self, time_ms: i64) -> i64 {
        reference_time(time_ms, self.at_ms, self.offset_ms)
    }

    /// The times at which the inner expression is evaluated: multiples of the step inside all the ranges that `outer`
    /// looks at.
    pub(crate) fn inner_steps(&self, outer: &Steps) -> Option<Steps> {
        let before = self.reference(outer.start_ms).saturating_sub(self.range_ms);
        let start = before.div_euclid(self.step_ms).checked_add(1)?.checked_mul(self.step_ms)?;
        Steps::range(start, self.reference(outer.last()), self.step_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let steps = Steps::range(0, 25, 10).unwrap();
        assert_eq!((steps.count, steps.last()), (3, 20));
        assert_eq!(Steps::range(0, -1, 10), None);
        assert_eq!(Steps::single(7).last(), 7);
    }
}
