//! Random series, and where they come from.

use std::cell::RefCell;

use model::{Labels, is_stale_nan, stale_nan};
use promql::{SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet, SeriesSource, SourceError};

/// A small generator of pseudo-random numbers (splitmix64): a seed repeats everything.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

pub(crate) type Series = (Labels, Vec<(i64, f64)>);

#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) series: Vec<Series>,
    sorted: bool,
}

impl Data {
    /// Series of counters, gauges and classic buckets over 40 minutes, with gaps, stale markers, resets and NaN.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut series = Vec::new();
        for name in ["requests_total", "memory", "latency_bucket", "limit"] {
            for job in ["a", "b"] {
                for instance in ["1", "2", "3"] {
                    if random.chance(15) {
                        continue;
                    }
                    let bounds: &[&str] =
                        if name == "latency_bucket" { &["0.1", "1", "+Inf"] } else { &[""] };
                    let mut before: Option<Vec<(i64, f64)>> = None;
                    for bound in bounds {
                        let labels = Labels::from_pairs([
                            ("__name__", name),
                            ("job", job),
                            ("instance", instance),
                            ("le", bound),
                        ]);
                        let mut samples = samples(random, name);
                        if let Some(before) = &before {
                            // Cumulative: at least as much as the bucket before.
                            samples = before.iter().map(|(t, v)| (*t, v + random.below(20) as f64)).collect();
                        }
                        before = Some(samples.clone());
                        series.push((labels, samples));
                    }
                }
            }
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self { series, sorted: true }
    }

    pub(crate) fn shuffled(&self, random: &mut Random) -> Self {
        let mut out = self.clone();
        out.sorted = false;
        for i in (1..out.series.len()).rev() {
            out.series.swap(i, random.below(i + 1));
        }
        out
    }

    pub(crate) fn recording(&self) -> Recording<'_> {
        Recording { data: self, asked: RefCell::new(Vec::new()) }
    }
}

fn samples(random: &mut Random, name: &str) -> Vec<(i64, f64)> {
    let mut out = Vec::new();
    let (mut t, mut value) = (random.below(30_000) as i64, random.below(50) as f64);
    while t < 2_400_000 {
        let counter = name == "requests_total";
        value = match random.below(100) {
            0..2 if counter => 0.0,
            _ if counter || name == "latency_bucket" => value + random.below(30) as f64,
            0..2 if name == "memory" => f64::NAN,
            2..4 if name == "memory" => stale_nan(),
            _ => (random.below(2_000) as f64 - 500.0) / 8.0,
        };
        out.push((t, value));
        if value.is_nan() {
            value = 1.0;
        }
        // Mostly every 30 s, not quite regular; sometimes nothing for longer than the lookback.
        t += 29_000 + random.below(2_000) as i64;
        if random.chance(2) {
            t += 400_000;
        }
    }
    out
}

impl SeriesSource for Data {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let matching = self
            .series
            .iter()
            .filter(|(labels, _)| hints.matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name()))));
        Ok(Box::new(Set {
            series: matching.collect(),
            next: 0,
            sorted: self.sorted,
            range: (hints.start_ms, hints.end_ms),
        }))
    }
}

struct Set<'d> {
    series: Vec<&'d Series>,
    next: usize,
    sorted: bool,
    range: (i64, i64),
}

impl SeriesSet for Set<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let Some((labels, samples)) = self.series.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let inside = samples.iter().filter(|(t, _)| (self.range.0..=self.range.1).contains(t));
        Ok(Some(SelectedSeries {
            labels: labels.clone(),
            samples: Box::new(Cursor(inside.copied().collect())),
        }))
    }

    fn is_sorted(&self) -> bool {
        self.sorted
    }
}

struct Cursor(Vec<(i64, f64)>);

impl SampleCursor for Cursor {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let run: Vec<(i64, f64)> = self.0.drain(..self.0.len().min(10)).collect();
        let (times, values): (Vec<i64>, Vec<f64>) = run.into_iter().unzip();
        into.extend_floats(&times, &values);
        Ok(!times.is_empty())
    }
}

/// Notes what is asked for.
pub(crate) struct Recording<'d> {
    data: &'d Data,
    asked: RefCell<Vec<SelectHints>>,
}

impl Recording<'_> {
    pub(crate) fn asked(&self) -> Vec<SelectHints> {
        self.asked.borrow().clone()
    }
}

impl SeriesSource for Recording<'_> {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        self.asked.borrow_mut().push(hints.clone());
        self.data.select(hints)
    }
}

/// The samples that a selector can see.
pub(crate) fn not_stale(samples: &[(i64, f64)]) -> impl Iterator<Item = (i64, f64)> {
    samples.iter().copied().filter(|(_, v)| !is_stale_nan(*v))
}
