//! How a series' value goes on: counters that only rise until they are reset, gauges that wander, classic histograms
//! whose buckets agree with one another.

use model::{BucketSpan, CounterResetHint, Histogram};

use super::noise::{derive, log_uniform, unit, walk};

/// The kinds of series found in a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// Always 1, as `…_info`.
    One,
    /// 0 or 1 for life, mostly 0.
    Flag,
    /// A moment in the past, in seconds.
    Since,
    /// A counter of errors: it hardly ever moves.
    Idle,
    /// A counter that rises by one now and then.
    Slow,
    /// A counter of events or bytes, at a rate of its own.
    Busy,
    /// CPU seconds with two decimals.
    Seconds,
    /// CPU seconds with nanoseconds.
    Nanos,
    /// A small whole number that changes every few minutes.
    Level,
    /// Bytes of memory, in pages.
    Bytes,
    /// Bytes that change seldom, as of a file system.
    Space,
    /// A float between 0 and 1 with all its bits.
    Ratio,
    /// A number with two decimals, as a load average.
    Decimal,
    /// The share of a histogram's observations that is within a bound.
    Bucket(f64),
    /// All observations of a histogram.
    Count,
    /// The sum of a histogram's observations.
    Sum,
    /// A native histogram (a busy counter when those are off).
    Native,
}

/// One series' values, all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    shape: Shape,
    seed: u64,
    /// What the shape makes of it: a rate per step, a size, a constant.
    scale: f64,
    /// Added to the step: how long the counter ran before the first step; minus the step of its birth.
    age: i64,
    /// Steps between two resets.
    period: i64,
}

/// Buckets of a native histogram: a span of this many.
const NATIVE_BUCKETS: usize = 12;

/// Observations up to this size are counted as zero: 2^-128, what instrumentation libraries use.
const ZERO_THRESHOLD: f64 = 1.0 / (1u128 << 127) as f64 / 2.0;

impl Signal {
    /// The values of a series of this shape. `seed` is that of the series, for the parts of a histogram that of the
    /// histogram; `process` that of the process that reports it, whose restarts reset all its counters at once.
    /// `birth` is the first step of a series that was not there from the start.
    pub(crate) fn new(shape: Shape, seed: u64, process: u64, birth: Option<i64>) -> Self {
        let scale = match shape {
            Shape::One => 1.0,
            Shape::Flag => f64::from(u8::from(unit(seed, 10) < 0.2)),
            Shape::Since => 1_700_000_000.0 + (unit(seed, 10) * 5e7).floor(),
            Shape::Idle => (unit(seed, 10) * unit(seed, 11) * 40.0).floor(),
            Shape::Slow => 0.02 + 0.4 * unit(seed, 10) * unit(seed, 11),
            Shape::Busy => log_uniform(seed, 0.25, 100_000.0),
            Shape::Seconds | Shape::Nanos => 15.0 * unit(seed, 10) * unit(seed, 11) * unit(seed, 12),
            Shape::Level => log_uniform(seed, 1.0, 200.0),
            Shape::Bytes => log_uniform(seed, 256.0, 1e6),
            Shape::Space => log_uniform(seed, 1e5, 2e8),
            Shape::Ratio => 1.0,
            Shape::Decimal => log_uniform(seed, 0.5, 60.0),
            Shape::Bucket(_) | Shape::Count | Shape::Sum | Shape::Native => log_uniform(seed, 0.05, 200.0),
        };
        let period = 3_000 + (unit(process, 20) * 12_000.0) as i64;
        let age = match birth {
            Some(birth) => -birth,
            None => (unit(process, 21) * period as f64) as i64,
        };
        Self { shape, seed, scale, age, period }
    }

    /// The float at `step`.
    pub(crate) fn at(&self, step: i64) -> f64 {
        let since_start = step + self.age;
        match self.shape {
            Shape::One | Shape::Flag | Shape::Since => self.scale,
            Shape::Idle => self.scale + (since_start / 2_000) as f64,
            Shape::Slow | Shape::Busy | Shape::Count | Shape::Native => self.counted(since_start),
            Shape::Seconds => (self.risen(since_start) * 100.0).floor() / 100.0,
            Shape::Nanos => (self.risen(since_start) * 1e9).floor() / 1e9,
            Shape::Level => (self.scale * (1.0 + walk(self.seed, since_start >> 4))).floor(),
            Shape::Bytes => (self.scale * (1.0 + walk(self.seed, since_start))).floor() * 4096.0,
            Shape::Space => (self.scale * (1.0 + walk(self.seed, since_start >> 3))).floor() * 4096.0,
            Shape::Ratio => 0.5 + 0.49 * walk(self.seed, since_start),
            Shape::Decimal => (self.scale * (1.0 + walk(self.seed, since_start)) * 100.0).floor() / 100.0,
            Shape::Bucket(share) => (self.counted(since_start) * share).floor(),
            Shape::Sum => self.counted(since_start) * (0.01 + 0.2 * unit(self.seed, 30)),
        }
    }

    /// The native histogram at `step`. Each bucket only rises between resets.
    pub(crate) fn histogram_at(&self, step: i64) -> Histogram {
        let total = self.counted(step + self.age);
        let mut histogram = Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: 3,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: (total * 0.01) as u64,
            sum: total * (0.01 + 0.2 * unit(self.seed, 30)),
            ..Histogram::default()
        };
        histogram.count = histogram.zero_count;
        let first = -20 + (unit(self.seed, 31) * 20.0) as i32;
        let half = NATIVE_BUCKETS as u32 / 2;
        histogram.positive_spans =
            vec![BucketSpan { offset: first, length: half }, BucketSpan { offset: 2, length: half }];
        let mut previous = 0;
        for bucket in 0..NATIVE_BUCKETS {
            let share = unit(self.seed, 40 + bucket as u64) / NATIVE_BUCKETS as f64;
            let count = (total * share) as i64;
            histogram.positive_buckets.push(count - previous);
            histogram.count += count as u64;
            previous = count;
        }
        histogram
    }

    /// A whole count that rises by `scale` a step on average and starts again from zero at each reset.
    fn counted(&self, since_start: i64) -> f64 {
        self.risen(since_start).floor()
    }

    fn risen(&self, since_start: i64) -> f64 {
        let restarts = since_start.div_euclid(self.period);
        let up = since_start.rem_euclid(self.period);
        // Up to one step's worth of noise can never make a later value smaller.
        self.scale * (up as f64 + unit(derive(self.seed, restarts as u64), up as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_rise_and_are_reset() {
        for shape in [Shape::Slow, Shape::Busy, Shape::Seconds, Shape::Nanos, Shape::Count, Shape::Sum] {
            let signal = Signal::new(shape, 3, 4, None);
            let mut resets = 0;
            for step in 0..40_000 {
                resets += usize::from(signal.at(step + 1) < signal.at(step));
            }
            assert!((2..=14).contains(&resets), "{shape:?}: {resets} resets");
        }
    }

    #[test]
    fn buckets_of_a_histogram_agree() {
        for step in 0..2_000 {
            let at = |shape| Signal::new(shape, 5, 6, Some(0)).at(step);
            let buckets = [0.1, 0.5, 0.9, 1.0].map(|share| at(Shape::Bucket(share)));
            assert!(buckets.is_sorted(), "{buckets:?}");
            assert_eq!(buckets[3].to_bits(), at(Shape::Count).to_bits());
        }
    }

    #[test]
    fn native_histograms_add_up_and_rise() {
        let signal = Signal::new(Shape::Native, 5, 6, Some(0));
        let mut before = signal.histogram_at(0).to_float();
        for step in 1..500 {
            let now = signal.histogram_at(step).to_float();
            let sum: f64 = now.positive_buckets.iter().sum::<f64>() + now.zero_count;
            assert_eq!(sum.to_bits(), now.count.to_bits());
            assert!(now.positive_buckets.iter().zip(&before.positive_buckets).all(|(a, b)| a >= b));
            before = now;
        }
        assert!(before.count > 0.0);
    }

    #[test]
    fn a_born_series_starts_low() {
        let signal = Signal::new(Shape::Busy, 5, 6, Some(1_000));
        assert!(signal.at(1_000) <= signal.scale);
    }
}
