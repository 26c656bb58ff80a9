//! Series whose samples are evenly spaced, which is what scraping makes: the windows of their steps have few shapes, and
//! what follows from the shape alone is computed once for all windows that have it.

use std::ops::Range;

use super::slide::FloatSeries;

/// Windows with more shapes than this are not worth telling apart.
const SHAPES_MAX: i64 = 16;
/// Samples further apart than this are not looked at: so that nothing here overflows.
const INTERVAL_MAX_MS: i64 = 1 << 40;

/// The steps of a series whose windows have all samples that belong there: none is cut short by an end of the series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EvenSteps {
    /// These steps.
    pub(crate) steps: Range<usize>,
    /// After so many steps a window has the same shape again, ...
    pub(crate) period: usize,
    /// ... so many samples later.
    stride: usize,
    interval_ms: i64,
    range_ms: i64,
    /// From the time of the first sample to the end of the window of step 0.
    first_end_ms: i64,
    step_ms: i64,
}

/// Windows of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The first sample of the first of them; each further one begins `stride` samples later.
    pub(crate) first: usize,
    pub(crate) stride: usize,
    /// How many samples they have.
    pub(crate) length: usize,
    /// From a window's start to its first sample, in milliseconds, ...
    pub(crate) to_start_ms: i64,
    /// ... and from its last sample to its end.
    pub(crate) to_end_ms: i64,
    /// The distance of samples.
    pub(crate) interval_ms: i64,
}

impl EvenSteps {
    /// Such steps, if samples are evenly spaced and there are a few steps.
    pub(crate) fn of(series: &FloatSeries<'_>) -> Option<Self> {
        const STEPS_MIN: usize = 8;
        let [first_ms, second_ms, ..] = series.timestamps else { return None };
        let interval_ms = second_ms.checked_sub(*first_ms).filter(|d| (1..INTERVAL_MAX_MS).contains(d))?;
        let step_ms = series.steps.interval_ms;
        if series.at_ms.is_some() || series.steps.count < STEPS_MIN || step_ms >= INTERVAL_MAX_MS {
            return None;
        }
        let period = interval_ms / greatest_common_divisor(interval_ms, step_ms);
        if period > SHAPES_MAX || !is_even(series.timestamps, interval_ms) {
            return None;
        }
        let first_end_ms = series.steps.start_ms.checked_sub(series.offset_ms)?.checked_sub(*first_ms)?;
        let even = Self {
            steps: 0..0,
            period: period as usize,
            stride: usize::try_from(period * step_ms / interval_ms).ok()?,
            interval_ms,
            range_ms: series.range_ms,
            first_end_ms,
            step_ms,
        };
        let last_step = i64::try_from(series.steps.count).ok()?;
        first_end_ms.checked_sub(series.range_ms)?;
        first_end_ms.checked_add(last_step.checked_mul(step_ms)?)?;
        // Windows begin at most one distance before the first sample, and end before another would follow the last one.
        let begin = even.step_at(series.range_ms.checked_sub(interval_ms)?);
        let samples = i64::try_from(series.timestamps.len()).ok()?;
        let end = even.step_at(samples.checked_mul(interval_ms)?);
        let steps = begin.min(series.steps.count)..end.min(series.steps.count);
        (steps.len() >= STEPS_MIN).then_some(Self { steps, ..even })
    }

    /// The first step whose window ends so long after the first sample, or later.
    fn step_at(&self, end_ms: i64) -> usize {
        let missing = end_ms.saturating_sub(self.first_end_ms);
        if missing <= 0 { 0 } else { ((missing - 1) / self.step_ms + 1) as usize }
    }

    /// The shapes of windows, and of which steps: the given one and every `period`-th after it.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (usize, Shape)> {
        self.steps.clone().take(self.period).map(|step| {
            let end_ms = self.first_end_ms + self.step_ms * step as i64;
            let start_ms = end_ms - self.range_ms;
            // How many samples are at or before the start, and the end.
            let first = start_ms.div_euclid(self.interval_ms) + 1;
            let last = end_ms.div_euclid(self.interval_ms);
            let shape = Shape {
                first: first as usize,
                stride: self.stride,
                length: (last + 1 - first) as usize,
                to_start_ms: first * self.interval_ms - start_ms,
                to_end_ms: end_ms - last * self.interval_ms,
                interval_ms: self.interval_ms,
            };
            (step, shape)
        })
    }
}

/// Whether all neighbours are so far apart. Without a branch for each of them.
fn is_even(timestamps: &[i64], interval_ms: i64) -> bool {
    let pairs = timestamps.iter().zip(timestamps.get(1..).unwrap_or_default());
    pairs.fold(0, |odd, (a, b)| odd | (b.wrapping_sub(*a) ^ interval_ms)) == 0
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
