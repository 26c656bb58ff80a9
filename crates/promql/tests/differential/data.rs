//! Random series, and where they come from.

use std::cell::RefCell;
use std::sync::Arc;

use model::{FloatHistogram, Labels, stale_nan};
use promql::{SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet, SeriesSource, SourceError};

use super::histograms;

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

#[derive(Debug, Clone)]
pub(crate) enum Stored {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

#[derive(Debug, Clone)]
pub(crate) struct StoredSample {
    pub(crate) t: i64,
    /// When its counter started; 0 if that is not known.
    pub(crate) start: i64,
    pub(crate) value: Stored,
}

#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<StoredSample>,
}

#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) series: Vec<Series>,
    sorted: bool,
    /// Whether samples from before the time that is asked for are given, too.
    gives_earlier: bool,
}

/// How long the data is, in milliseconds.
pub(crate) const LENGTH_MS: i64 = 1_800_000;

/// What a metric's series are like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Info,
    /// Native histograms; their family says which.
    Histograms(histograms::Family),
    /// Floats and native histograms in turn.
    Mixed,
}

impl Data {
    /// Counters, gauges, classic and native histograms over half an hour, with all that can happen to them.
    pub(crate) fn random(random: &mut Random) -> Self {
        use histograms::Family::{Counters, Custom, Gauges};
        let mut series = Vec::new();
        let metrics = [
            ("requests_total", Kind::Counter),
            ("memory", Kind::Gauge),
            ("limit", Kind::Gauge),
            ("latency_bucket", Kind::Counter),
            ("latency", Kind::Histograms(Counters)),
            ("queue", Kind::Histograms(Gauges)),
            ("sizes", Kind::Histograms(Custom)),
            ("mixed", Kind::Mixed),
            ("utf8.näme", Kind::Gauge),
            ("target_info", Kind::Info),
            ("build_info", Kind::Info),
        ];
        for (name, kind) in metrics {
            for job in ["a", "b"] {
                for instance in ["1", "2", "10"] {
                    if random.chance(20) {
                        continue;
                    }
                    let labels = [("__name__", name), ("job", job), ("instance", instance)];
                    match name {
                        "latency_bucket" => classic(random, labels, &mut series),
                        _ => one(random, labels, kind, &mut series),
                    }
                }
            }
        }
        if random.chance(20) {
            // A classic histogram of the same name as a native one.
            let labels = [("__name__", "latency"), ("job", "a"), ("instance", "1")];
            classic(random, labels, &mut series);
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self { series, sorted: true, gives_earlier: random.chance(50) }
    }

    pub(crate) fn shuffled(&self, random: &mut Random) -> Self {
        let mut out = self.clone();
        out.sorted = false;
        for i in (1..out.series.len()).rev() {
            out.series.swap(i, random.below(i + 1));
        }
        out
    }

    /// The same with empty buckets in histograms, other ones in each.
    pub(crate) fn padded(&self, random: &mut Random) -> Self {
        let mut out = self.clone();
        for sample in out.series.iter_mut().flat_map(|series| &mut series.samples) {
            if let Stored::Histogram(h) = &mut sample.value {
                *h = Arc::new(histograms::padded(h, random));
            }
        }
        out
    }

    pub(crate) fn recording(&self) -> Recording<'_> {
        Recording { data: self, asked: RefCell::new(Vec::new()) }
    }
}

fn classic(random: &mut Random, labels: [(&str, &str); 3], out: &mut Vec<Series>) {
    let mut below: Option<Vec<StoredSample>> = None;
    for bound in ["0.1", "1", "2.5", "+Inf"] {
        if bound == "+Inf" && random.chance(5) || bound == "1" && random.chance(10) {
            continue;
        }
        let samples = match &below {
            None => floats(random, Kind::Counter),
            Some(below) => {
                // Cumulative: mostly at least as much as the bucket below.
                let more = |s: &StoredSample| {
                    let Stored::Float(v) = s.value else { return s.clone() };
                    let more = random.below(20) as f64 - if random.chance(2) { 30.0 } else { 0.0 };
                    StoredSample { value: Stored::Float(v + more), ..s.clone() }
                };
                below.iter().map(more).collect()
            }
        };
        below = Some(samples.clone());
        let labels: Labels = labels.into_iter().chain([("le", bound)]).collect();
        out.push(Series { labels, samples });
    }
}

fn one(random: &mut Random, labels: [(&str, &str); 3], kind: Kind, out: &mut Vec<Series>) {
    let mut more: Vec<(&str, &str)> = Vec::new();
    if kind == Kind::Info {
        more.push(("version", random.pick(&["1", "2"])));
        more.push(("lábel", random.pick(&["x", "y"])));
    }
    if labels[0].1 == "utf8.näme" {
        more.push(("label.näme", random.pick(&["x", "y", "z w"])));
    }
    if random.chance(10) {
        more.push(("__type__", random.pick(&["counter", "gauge", "histogram"])));
    }
    let mut samples = match kind {
        Kind::Histograms(family) => histograms::samples(random, family),
        Kind::Mixed => mixed(random),
        kind => floats(random, kind),
    };
    if random.chance(15) {
        // It begins late or ends early.
        let at = random.below(LENGTH_MS as usize) as i64;
        let late = random.chance(50);
        samples.retain(|s| (s.t > at) == late);
    }
    if random.chance(15) {
        // It is replaced by another one.
        let at = random.below(LENGTH_MS as usize) as i64;
        for (pod, after) in [("p1", false), ("p2", true)] {
            let all: Labels = labels.into_iter().chain(more.clone()).chain([("pod", pod)]).collect();
            let samples = samples.iter().filter(|s| (s.t > at) == after).cloned().collect();
            out.push(Series { labels: all, samples });
        }
        return;
    }
    out.push(Series { labels: labels.into_iter().chain(more).collect(), samples });
}

fn mixed(random: &mut Random) -> Vec<StoredSample> {
    let histograms = histograms::samples(random, histograms::Family::Counters);
    let mut as_float = random.chance(50);
    let sample = |s: StoredSample| {
        as_float ^= random.chance(15);
        let value = if as_float { Stored::Float(random.below(100) as f64) } else { s.value };
        StoredSample { value, ..s }
    };
    histograms.into_iter().map(sample).collect()
}

/// Times about 30 s apart, with gaps longer than the lookback.
pub(crate) fn times(random: &mut Random) -> Vec<i64> {
    let mut out = Vec::new();
    let mut t = random.below(30_000) as i64;
    let regular = random.chance(30);
    while t < LENGTH_MS {
        out.push(t);
        t += if regular { 30_000 } else { 29_000 + random.below(2_000) as i64 };
        if random.chance(2) {
            t += 400_000;
        }
    }
    out
}

/// When a counter started, as a sample of time `t` says, given when it did so before and when the last one was taken.
pub(crate) fn start(random: &mut Random, t: i64, last: i64, reset: bool, before: &mut i64) -> i64 {
    if reset || random.chance(3) {
        *before = last + 1 + random.below((t - last).max(2) as usize - 1) as i64;
    }
    match random.below(30) {
        0 => last,
        1 => 0,
        2 => t,
        _ => *before,
    }
}

fn floats(random: &mut Random, kind: Kind) -> Vec<StoredSample> {
    let mut out: Vec<StoredSample> = Vec::new();
    let mut value = random.below(50) as f64;
    let has_starts = kind == Kind::Counter && random.chance(40);
    // Some gauges are hard on sums: small changes of large numbers, and fractions that floats cannot say.
    let (base, unit) = [(0.0, 0.125), (0.0, 0.125), (0.0, 0.1), (1e6, 0.1)][random.below(4)];
    let (mut began, mut last) = (0, -1);
    for t in times(random) {
        let mut reset = false;
        let special = random.below(200);
        let stored = match kind {
            Kind::Info => 1.0,
            Kind::Counter => {
                reset = special < 4;
                value = if reset { random.below(5) as f64 } else { value + random.below(30) as f64 };
                if special == 5 { stale_nan() } else { value }
            }
            _ => match special {
                0..3 => f64::NAN,
                3 => f64::INFINITY,
                4 => f64::NEG_INFINITY,
                5..9 => stale_nan(),
                9 => -0.0,
                10..40 => value,
                _ => {
                    value = base + (random.below(2_000) as f64 - 500.0) * unit;
                    value
                }
            },
        };
        let start = if has_starts { start(random, t, last, reset, &mut began) } else { 0 };
        out.push(StoredSample { t, start, value: Stored::Float(stored) });
        last = t;
    }
    out
}

impl SeriesSource for Data {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let matches = |s: &&Series| hints.matchers.iter().all(|m| m.matches(s.labels.get_or_empty(m.name())));
        Ok(Box::new(Set {
            series: self.series.iter().filter(matches).collect(),
            next: 0,
            sorted: self.sorted,
            range: (if self.gives_earlier { i64::MIN } else { hints.start_ms }, hints.end_ms),
            // A source may give more than it has to.
            newest_only: hints.newest_only && !self.gives_earlier,
        }))
    }
}

struct Set<'d> {
    series: Vec<&'d Series>,
    next: usize,
    sorted: bool,
    range: (i64, i64),
    newest_only: bool,
}

impl SeriesSet for Set<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let Some(series) = self.series.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let (start, end) = self.range;
        let first = series.samples.partition_point(|s| s.t < start);
        let behind = series.samples.partition_point(|s| s.t <= end).max(first);
        let first = if self.newest_only { behind.saturating_sub(1).max(first) } else { first };
        Ok(Some(SelectedSeries {
            labels: series.labels.clone(),
            samples: Box::new(Cursor(&series.samples[first..behind])),
        }))
    }

    fn is_sorted(&self) -> bool {
        self.sorted
    }
}

struct Cursor<'d>(&'d [StoredSample]);

impl SampleCursor for Cursor<'_> {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let (run, rest) = self.0.split_at(self.0.len().min(10));
        self.0 = rest;
        for sample in run {
            match &sample.value {
                Stored::Float(v) => into.push_float_with_start(sample.t, sample.start, *v),
                Stored::Histogram(h) => {
                    into.push_histogram_with_start(sample.t, sample.start, Arc::clone(h));
                }
            }
        }
        Ok(!run.is_empty())
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
