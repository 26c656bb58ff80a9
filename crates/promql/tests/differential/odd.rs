//! Data as it should not be: histograms that contradict themselves, infinities, changes of type in mid-series.

use std::sync::Arc;

use model::{BucketSpan, CounterResetHint, FloatHistogram, Labels, stale_nan};
use promql::{SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet, SeriesSource, SourceError};

use super::data::Random;

const METRICS: [&str; 4] = ["requests_total", "memory", "limit", "latency_bucket"];

enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// A time, when the counter started, a value.
type Sample = (i64, i64, Value);
type Series = (Labels, Vec<Sample>);

pub(crate) struct Odd {
    series: Vec<Series>,
}

impl Odd {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut series = Vec::new();
        for name in METRICS {
            for job in ["a", "b"] {
                let labels = Labels::from_pairs([
                    ("__name__", name),
                    ("job", job),
                    ("instance", random.pick(&["1", "2"])),
                    ("le", random.pick(&["", "1", "+Inf", "x"])),
                    ("__type__", random.pick(&["", "counter"])),
                ]);
                let histograms = random.below(4) * 33;
                let samples = (0..25).map(|i| {
                    let t = i * 30_000 - 60_000 + random.below(20_000) as i64;
                    let start = [0, t - 10, t - 40_000, t + 5][random.below(4)];
                    let value = if random.chance(histograms) {
                        Value::Histogram(Arc::new(histogram(random)))
                    } else {
                        Value::Float(float(random))
                    };
                    (t, start, value)
                });
                series.push((labels, samples.collect()));
            }
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self { series }
    }
}

fn float(random: &mut Random) -> f64 {
    match random.below(12) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => f64::NAN,
        3 => -0.0,
        4 => f64::MAX,
        5 => stale_nan(),
        6 => f64::MIN_POSITIVE / 8.0,
        _ => random.below(100) as f64 - 20.0,
    }
}

fn histogram(random: &mut Random) -> FloatHistogram {
    let custom = random.chance(40);
    let side = |random: &mut Random| {
        let spans: Vec<BucketSpan> = (0..random.below(4))
            .map(|_| BucketSpan {
                offset: [0, 1, 3, -2, i32::MAX, i32::MIN, 1100][random.below(7)],
                length: [0, 1, 2, 5, u32::MAX][random.below(5)],
            })
            .collect();
        let counts: Vec<f64> = (0..random.below(9)).map(|_| float(random)).collect();
        (spans, counts)
    };
    let (positive_spans, positive_buckets) = side(random);
    let (negative_spans, negative_buckets) = side(random);
    FloatHistogram {
        counter_reset_hint: [
            CounterResetHint::Unknown,
            CounterResetHint::Reset,
            CounterResetHint::NotReset,
            CounterResetHint::Gauge,
        ][random.below(4)],
        schema: if custom { -53 } else { random.below(13) as i32 - 4 },
        zero_threshold: [0.0, 0.001, 2.0, 1e300, f64::NAN][random.below(5)],
        zero_count: float(random),
        count: float(random),
        sum: float(random),
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_values: if custom {
            (0..random.below(5)).map(|_| float(random)).collect()
        } else {
            Vec::new()
        },
    }
}

impl SeriesSource for Odd {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let matching = self
            .series
            .iter()
            .filter(|(labels, _)| hints.matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name()))));
        Ok(Box::new(Set { series: matching.collect() }))
    }
}

struct Set<'d> {
    series: Vec<&'d Series>,
}

impl SeriesSet for Set<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let series = self.series.pop();
        Ok(series.map(|(labels, samples)| SelectedSeries {
            labels: labels.clone(),
            samples: Box::new(Cursor(Some(samples))),
        }))
    }

    fn is_sorted(&self) -> bool {
        false
    }
}

struct Cursor<'d>(Option<&'d [Sample]>);

impl SampleCursor for Cursor<'_> {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let Some(samples) = self.0.take() else { return Ok(false) };
        for (t, start, value) in samples {
            match value {
                Value::Float(v) => into.push_float_with_start(*t, *start, *v),
                Value::Histogram(h) => into.push_histogram_with_start(*t, *start, Arc::clone(h)),
            }
        }
        Ok(true)
    }
}

/// Queries around what histograms and modifiers bring in.
pub(crate) fn random_query(random: &mut Random) -> String {
    let metric = random.pick(&METRICS).to_owned();
    let range = random.pick(&["[2m]", "[5m]", "[1m]"]);
    let mode = random.pick(&["", "", " anchored", " smoothed"]);
    let inner = match random.below(6) {
        0 => {
            let f = random.pick(&["rate", "increase", "delta"]);
            format!("{f}({metric}{range}{mode})")
        }
        1 => {
            let f = random.pick(&["irate", "idelta", "resets", "changes", "sum_over_time", "avg_over_time"]);
            format!("{f}({metric}{range})")
        }
        2 => {
            let f = random.pick(&[
                "ts_of_max",
                "ts_of_min",
                "ts_of_first",
                "ts_of_last",
                "mad",
                "last",
                "stddev",
            ]);
            format!("{f}_over_time({metric}{range})")
        }
        3 => format!("double_exponential_smoothing({metric}{range}, 0.3, 0.6)"),
        4 => format!("{metric}{}", random.pick(&["", " smoothed", " offset 1m", " @ end()"])),
        _ => super::queries::random_query(random),
    };
    match random.below(12) {
        0 => format!("sum by (job) ({inner})"),
        1 => format!("avg({inner})"),
        2 => format!("histogram_quantile(0.{}, {inner})", random.below(10)),
        3 => format!("histogram_fraction(-1, {}, {inner})", random.below(10)),
        4 => format!("histogram_stddev({inner})"),
        5 => format!("({inner}) {} 1.5", random.pick(&["</", ">/", "*", "/", "=="])),
        6 => format!(
            "({inner}) {} on (job) group_left {metric}{{instance=\"1\"}}",
            random.pick(&["+", "-", "==", "*"])
        ),
        7 => format!("count_values(\"v\", {inner})"),
        8 => format!("limitk(2, {inner}) or limit_ratio(0.4, {metric})"),
        9 => format!("histogram_count(sum_over_time(({inner})[3m:20s]))"),
        10 => format!("histogram_quantiles({inner}, \"q\", 0.1, 0.9)"),
        _ => inner,
    }
}
