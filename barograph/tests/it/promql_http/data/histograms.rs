//! Native histograms: exponential of several schemas, with integer and with float counts, custom buckets, gauges, resets,
//! series that change their kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{BucketSpan, CounterResetHint, FloatHistogram, Histogram, Value, stale_nan};

use super::Series;
use super::floats::TARGETS;
use crate::promql_http::random::Random;

pub(super) fn all() -> Vec<Series> {
    let mut out = Vec::new();
    exponential(&mut out);
    gauges(&mut out);
    custom(&mut out);
    mixed(&mut out);
    out
}

/// Observations, counted by bucket.
#[derive(Debug, Clone)]
struct Counts {
    random: Random,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
    zero: u64,
    /// In eighths, so that it is exact.
    sum: i64,
}

impl Counts {
    fn new(seed: u64) -> Self {
        let (positive, negative) = Default::default();
        let mut new = Self { random: Random::new(seed), positive, negative, zero: 0, sum: 0 };
        // Enough that nothing is extrapolated to zero.
        (0..200).for_each(|_| new.observe(8));
        new
    }

    fn observe(&mut self, width: u64) {
        for _ in 0..self.random.below(6) {
            let bucket = (self.random.below(width) + self.random.below(width)) as i32 - 4;
            *self.positive.entry(bucket).or_default() += 1;
            self.sum += i64::from(bucket) + 5;
        }
        self.zero += u64::from(self.random.chance(30));
    }

    fn observe_negative(&mut self) {
        *self.negative.entry(self.random.below(5) as i32).or_default() += 1;
        self.sum -= 9;
    }

    /// With observations on both sides of zero from the beginning.
    fn on_both_sides(seed: u64) -> Self {
        let mut new = Self::new(seed);
        (0..3).for_each(|_| new.observe_negative());
        new
    }

    /// Counts from the beginning. A side that had observations has some again: upstream's answers depend on where it cuts
    /// chunks where one has none any more.
    fn reset(&mut self) {
        let seed = self.random.next();
        let negative = std::mem::take(&mut self.negative);
        *self = Self::new(seed);
        self.positive.values_mut().for_each(|count| *count = 1 + *count / 4);
        self.sum -= 9 * negative.len() as i64;
        self.negative = negative.into_keys().map(|bucket| (bucket, 1)).collect();
    }

    fn integers(&self, schema: i32, zero_threshold: f64) -> Histogram {
        let [(positive_spans, positive), (negative_spans, negative)] =
            [&self.positive, &self.negative].map(spans);
        let count = self.zero + positive.iter().chain(&negative).sum::<u64>();
        Histogram {
            schema,
            zero_threshold,
            zero_count: self.zero,
            count,
            sum: self.sum as f64 / 8.0,
            positive_spans,
            positive_buckets: deltas(&positive),
            negative_spans,
            negative_buckets: deltas(&negative),
            ..Histogram::default()
        }
    }

    /// With custom bounds: all observations in as many buckets as there are.
    fn custom(&self, bounds: &[f64]) -> Histogram {
        let mut buckets = BTreeMap::new();
        for (bucket, count) in &self.positive {
            *buckets.entry((bucket + 4).min(bounds.len() as i32)).or_default() += count;
        }
        let (positive_spans, positive) = spans(&buckets);
        Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: positive.iter().sum(),
            sum: self.sum as f64 / 8.0,
            positive_spans,
            positive_buckets: deltas(&positive),
            custom_values: bounds.to_vec(),
            ..Histogram::default()
        }
    }
}

fn spans(buckets: &BTreeMap<i32, u64>) -> (Vec<BucketSpan>, Vec<u64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = 0;
    for &index in buckets.keys() {
        match spans.last_mut().filter(|_| index == next) {
            Some(span) => span.length += 1,
            None => spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    (spans, buckets.values().copied().collect())
}

fn deltas(counts: &[u64]) -> Vec<i64> {
    let mut before = 0;
    let delta = |count: &u64| {
        let count = i64::try_from(*count).expect("few observations");
        count - std::mem::replace(&mut before, count)
    };
    counts.iter().map(delta).collect()
}

fn integer(histogram: Histogram) -> Option<Value> {
    Some(Value::Histogram(Arc::new(histogram)))
}

fn float(histogram: FloatHistogram) -> Option<Value> {
    Some(Value::FloatHistogram(Arc::new(histogram)))
}

/// `rpc_seconds`: counters of the four targets.
fn exponential(out: &mut Vec<Series>) {
    for (n, (job, instance)) in TARGETS.into_iter().enumerate() {
        let mut counts = Counts::on_both_sides(100 + n as u64);
        let labels = [("instance", instance), ("job", job)];
        out.push(Series::new("rpc_seconds", &labels, 0, |i| {
            counts.observe(6 + n as u64);
            if i % 9 == n as i64 {
                counts.observe_negative();
            }
            match n {
                0 => {
                    if i == 200 {
                        counts.reset();
                    }
                    integer(counts.integers(3, 0.001))
                }
                // Gone for a while, with a marker.
                1 if i == 300 => Some(Value::Float(stale_nan())),
                1 if (301..320).contains(&i) => None,
                1 => integer(counts.integers(1, 0.001)),
                // The resolution is reduced, and the zero bucket widened, in the middle.
                2 if i < 240 => integer(counts.integers(2, 0.001)),
                2 => {
                    if i == 240 {
                        counts.positive =
                            counts.positive.iter().fold(BTreeMap::new(), |mut halved, (b, c)| {
                                *halved.entry((b + 1).div_euclid(2)).or_default() += c;
                                halved
                            });
                    }
                    integer(counts.integers(1, 0.001))
                }
                _ => {
                    let mut fractions = counts.integers(2, 0.125).to_float();
                    fractions.scale(0.25);
                    float(fractions)
                }
            }
        }));
    }
}

/// `batch_sizes`: gauges, which fall and rise.
fn gauges(out: &mut Vec<Series>) {
    for (n, (job, instance)) in TARGETS.into_iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        let mut counts = Counts::on_both_sides(200 + n as u64);
        out.push(Series::new("batch_sizes", &[("instance", instance), ("job", job)], 500, |i| {
            if i % 7 == 3 {
                counts.reset();
            }
            counts.observe(5);
            if i % 3 == 0 {
                counts.observe_negative();
            }
            let histogram = counts.integers(1, 0.125);
            let hint = CounterResetHint::Gauge;
            if n == 0 {
                integer(Histogram { counter_reset_hint: hint, ..histogram })
            } else {
                let mut fractions = histogram.to_float();
                fractions.scale(0.5);
                float(FloatHistogram { counter_reset_hint: hint, ..fractions })
            }
        }));
    }
}

/// `payload_bytes`, whose bounds are the same everywhere, and `payload_other_bytes`, where they are not.
fn custom(out: &mut Vec<Series>) {
    const BOUNDS: [f64; 5] = [0.5, 1.0, 2.5, 5.0, 10.0];
    for (n, (job, instance)) in TARGETS.into_iter().enumerate() {
        let mut counts = Counts::new(300 + n as u64);
        let labels = [("instance", instance), ("job", job)];
        out.push(Series::new("payload_bytes", &labels, 0, |i| {
            counts.observe(4);
            if i == 260 && n == 1 {
                counts.reset();
            }
            integer(counts.custom(&BOUNDS))
        }));
        let other = [-1.0, 0.5, 1.0, 4.0, 20.0 + n as f64];
        let mut counts = Counts::new(350 + n as u64);
        out.push(Series::new("payload_other_bytes", &labels, 0, |_| {
            counts.observe(4);
            integer(counts.custom(&other))
        }));
    }
}

/// `mixed_kinds`: floats and histograms in one metric, and in one series.
fn mixed(out: &mut Vec<Series>) {
    for (n, kind) in ["alternating", "custom", "exponential", "float", "float_first"].into_iter().enumerate()
    {
        let mut counts = Counts::new(400 + n as u64);
        out.push(Series::new("mixed_kinds", &[("kind", kind)], 0, |i| {
            counts.observe(5);
            let number = Some(Value::Float(i as f64 * 0.5));
            match kind {
                "alternating" if i % 2 == 0 => number,
                "float_first" if i < 240 => number,
                "float" => number,
                "custom" => integer(counts.custom(&[1.0, 2.0, 4.0])),
                _ => integer(counts.integers(2, 0.001)),
            }
        }));
    }
    let empty = Histogram { schema: 3, zero_threshold: 0.001, ..Histogram::default() };
    out.push(Series::new("odd_histogram", &[("kind", "empty")], 0, |_| integer(empty.clone())));
    let mut counts = Counts::new(500);
    out.push(Series::new("odd_histogram", &[("kind", "nan_sum")], 0, |_| {
        counts.observe(5);
        let sum = if counts.random.chance(50) { f64::NAN } else { f64::INFINITY };
        integer(Histogram { sum, ..counts.integers(0, 0.001) })
    }));
}
