//! Random native histograms in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BucketSpan, CounterResetHint, FloatHistogram, stale_nan};

use super::data::{Random, Stored, StoredSample, start, times};

/// What the histograms of a series are like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Counters with exponential buckets, now and then with custom ones.
    Counters,
    /// Gauges with exponential buckets.
    Gauges,
    /// Custom buckets: counters, now and then gauges.
    Custom,
}

/// A histogram that observes.
struct Growing {
    schema: i32,
    zero_threshold: f64,
    bounds: Vec<f64>,
    first_bucket: i32,
    has_negative: bool,
    has_nan: bool,
    zero: f64,
    lost: f64,
    sum: f64,
    positive: BTreeMap<i32, f64>,
    negative: BTreeMap<i32, f64>,
}

impl Growing {
    fn new(random: &mut Random, custom: bool) -> Self {
        let schema = if custom { -53 } else { [0, 0, 0, 1, 2, 3, -1, -4][random.below(8)] };
        // The first bucket is the one that the threshold lies in, or further up.
        let thresholds = [0.0, 2f64.powi(-128), 2f64.powi(-128), 2f64.powi(-16), 0.001, 1.0];
        let bounds =
            [vec![0.5, 1.0, 2.0, 5.0], vec![0.5, 1.0, 2.0, 5.0], vec![1.0, 2.0, 8.0], vec![-1.0, 0.0, 1.0]];
        let zero_threshold = if custom { 0.0 } else { thresholds[random.below(thresholds.len())] };
        let lowest = match zero_threshold {
            0.0 => i32::MIN,
            threshold => (threshold.log2() * 2f64.powi(schema)).floor() as i32 + 1,
        };
        Self {
            schema,
            zero_threshold,
            bounds: if custom { bounds[random.below(bounds.len())].clone() } else { Vec::new() },
            first_bucket: if custom { 0 } else { (random.below(6) as i32 - 4).max(lowest) },
            has_negative: !custom && random.chance(30),
            has_nan: random.chance(5),
            zero: 0.0,
            lost: 0.0,
            sum: 0.0,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
        }
    }

    fn reset(&mut self) {
        (self.zero, self.lost, self.sum) = (0.0, 0.0, 0.0);
        self.positive.clear();
        self.negative.clear();
    }

    fn observe(&mut self, random: &mut Random) {
        for _ in 0..random.below(6) {
            let count = random.below(9) as f64;
            self.sum += count * (random.below(40) as f64 - if self.has_negative { 20.0 } else { 0.0 }) / 4.0;
            let custom = self.schema == -53;
            let width = if custom { self.bounds.len() + 1 } else { 8 };
            let bucket = self.first_bucket + random.below(width) as i32;
            match random.below(10) {
                0 if !custom => self.zero += count,
                1..4 if self.has_negative => *self.negative.entry(bucket).or_insert(0.0) += count,
                4 if self.has_nan => self.lost += 1.0,
                _ => *self.positive.entry(bucket).or_insert(0.0) += count,
            }
        }
    }

    /// Merges buckets by two, as clients do when they have too many.
    fn reduce(&mut self) {
        if !(-3..=8).contains(&self.schema) {
            return;
        }
        self.schema -= 1;
        for side in [&mut self.positive, &mut self.negative] {
            let before = std::mem::take(side);
            for (i, count) in before {
                *side.entry(((i - 1) >> 1) + 1).or_insert(0.0) += count;
            }
        }
        self.first_bucket = ((self.first_bucket - 1) >> 1) + 1;
    }

    /// Another zero threshold, and nothing else: below all buckets.
    fn change_threshold(&mut self) {
        let small = 2f64.powi(-128);
        match self.zero_threshold {
            0.0 if self.schema != -53 => self.zero_threshold = small,
            threshold if threshold == small => self.zero_threshold = 0.0,
            _ => {}
        }
    }

    fn snapshot(&self, hint: CounterResetHint, random: &mut Random) -> FloatHistogram {
        let observations = |side: &BTreeMap<i32, f64>| side.values().sum::<f64>();
        let (positive_spans, positive_buckets) = spans(&self.positive, random);
        let (negative_spans, negative_buckets) = spans(&self.negative, random);
        FloatHistogram {
            counter_reset_hint: hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero,
            count: self.zero + self.lost + observations(&self.positive) + observations(&self.negative),
            sum: if self.lost > 0.0 { f64::NAN } else { self.sum },
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_values: self.bounds.clone(),
        }
    }
}

/// The same histogram with empty buckets here and there, as a chunk gives it back that has been written again for the
/// buckets of later samples.
pub(crate) fn padded(h: &FloatHistogram, random: &mut Random) -> FloatHistogram {
    let custom = (h.schema == -53).then_some(h.custom_values.len() as i32);
    let mut out = h.clone();
    for (spans, counts, allowed) in [
        (&mut out.positive_spans, &mut out.positive_buckets, true),
        (&mut out.negative_spans, &mut out.negative_buckets, custom.is_none()),
    ] {
        let mut next = 0;
        let mut indexes = Vec::new();
        for span in &*spans {
            let first = next + span.offset;
            next = first + span.length as i32;
            indexes.extend(first..next);
        }
        let mut buckets: BTreeMap<i32, f64> = indexes.into_iter().zip(counts.iter().copied()).collect();
        let (from, to) = match custom {
            Some(last) => (0, last),
            None => (
                buckets.first_key_value().map_or(-2, |(i, _)| i - 3),
                buckets.last_key_value().map_or(3, |(i, _)| i + 3),
            ),
        };
        for _ in 0..if allowed { random.below(4) } else { 0 } {
            let index = from + random.below((to - from + 1) as usize) as i32;
            buckets.entry(index).or_insert(0.0);
        }
        (*spans, *counts) = plain_spans(&buckets);
    }
    out
}

fn plain_spans(buckets: &BTreeMap<i32, f64>) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut out: Vec<BucketSpan> = Vec::new();
    let mut next = 0;
    for index in buckets.keys() {
        match out.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => out.push(BucketSpan { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    (out, buckets.values().copied().collect())
}

/// Spans of counts; short gaps are sometimes filled with empty buckets, as clients do.
fn spans(counts: &BTreeMap<i32, f64>, random: &mut Random) -> (Vec<BucketSpan>, Vec<f64>) {
    let (mut out, mut values): (Vec<BucketSpan>, Vec<f64>) = (Vec::new(), Vec::new());
    let bridges = random.chance(30);
    let mut end = None;
    for (index, count) in counts.iter().filter(|(_, count)| **count != 0.0 || bridges) {
        let gap = index - end.unwrap_or(0);
        match out.last_mut() {
            Some(span) if gap <= if bridges { 2 } else { 0 } => {
                values.extend((0..gap).map(|_| 0.0));
                span.length += gap.unsigned_abs() + 1;
            }
            _ => out.push(BucketSpan { offset: gap, length: 1 }),
        }
        values.push(*count);
        end = Some(index + 1);
    }
    (out, values)
}

/// The samples of a series.
pub(crate) fn samples(random: &mut Random, family: Family) -> Vec<StoredSample> {
    let custom = match family {
        Family::Counters => random.chance(10),
        Family::Gauges => false,
        Family::Custom => true,
    };
    let gauge = match family {
        Family::Counters => random.chance(5),
        Family::Gauges => true,
        Family::Custom => random.chance(20),
    };
    let mut growing = Growing::new(random, custom);
    let has_starts = !gauge && random.chance(40);
    let tells_resets = random.chance(50);
    let (mut began, mut last) = (0, -1);
    let mut out = Vec::new();
    for t in times(random) {
        let mut reset = gauge;
        match random.below(150) {
            0..4 => reset = true,
            4 => growing.reduce(),
            7..9 => growing.change_threshold(),
            5 => {
                let changes = random.chance(50);
                growing = Growing::new(random, custom ^ changes);
                reset = true;
            }
            6 => {
                let stale = FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() };
                out.push(StoredSample { t, start: 0, value: Stored::Histogram(Arc::new(stale)) });
                continue;
            }
            _ => {}
        }
        if reset {
            growing.reset();
        }
        growing.observe(random);
        let hint = match (gauge, tells_resets, reset) {
            (true, ..) => CounterResetHint::Gauge,
            (_, true, true) => CounterResetHint::Reset,
            (_, true, false) if last >= 0 => CounterResetHint::NotReset,
            _ => CounterResetHint::Unknown,
        };
        let start = if has_starts { start(random, t, last, reset, &mut began) } else { 0 };
        let histogram = Arc::new(growing.snapshot(hint, random));
        out.push(StoredSample { t, start, value: Stored::Histogram(histogram) });
        last = t;
    }
    out
}
