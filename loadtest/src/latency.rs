//! Latencies in buckets of constant relative width, so that a run of any length takes little memory.

use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Sub-buckets per power of two: 1.6 % wide.
const SUB_BUCKETS: u64 = 64;

/// Counts of durations by size.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Latencies {
    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let bucket = bucket_of(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency that a share `q` (0 to 1) of all do not exceed, in milliseconds; 0 when there are none.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = (q * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return upper_micros(bucket) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

impl Serialize for Latencies {
    /// How many there are, and the quantiles that people ask for.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Latencies", 4)?;
        fields.serialize_field("count", &self.total)?;
        fields.serialize_field("p50_ms", &self.quantile_ms(0.5))?;
        fields.serialize_field("p99_ms", &self.quantile_ms(0.99))?;
        fields.serialize_field("max_ms", &self.quantile_ms(1.0))?;
        fields.end()
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < SUB_BUCKETS {
        return micros as usize;
    }
    let shift = micros.ilog2() - SUB_BUCKETS.ilog2();
    ((u64::from(shift) + 1) * SUB_BUCKETS + ((micros >> shift) - SUB_BUCKETS)) as usize
}

fn upper_micros(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    ((SUB_BUCKETS + bucket % SUB_BUCKETS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), 0.0);
        for micros in 1..=100_000u64 {
            latencies.record(Duration::from_micros(micros));
        }
        for (q, expected) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = latencies.quantile_ms(q);
            assert!((found / expected - 1.0).abs() < 0.02, "{q}: {found} instead of {expected}");
        }
    }

    #[test]
    fn merged_they_are_as_recorded_in_one() {
        let (mut low, mut high, mut all) = (Latencies::default(), Latencies::default(), Latencies::default());
        for micros in 1..=1_000u64 {
            let latency = Duration::from_micros(micros * micros);
            let part = if micros < 300 { &mut low } else { &mut high };
            part.record(latency);
            all.record(latency);
        }
        low.merge(&high);
        assert_eq!((low.total(), &low.counts), (all.total(), &all.counts));
    }
}
