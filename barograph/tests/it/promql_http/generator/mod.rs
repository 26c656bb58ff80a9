//! Random queries over the data of the test: made by a grammar that knows metrics and their labels, so that most have a
//! result and match something.

mod metrics;

use metrics::{COUNTERS, GAUGES, HISTOGRAMS, Metric};

use crate::promql_http::data::{INTERVAL_MS, SAMPLES, START_MS};
use crate::promql_http::pair::{Features, Query};
use crate::promql_http::random::Random;

/// How deep expressions are nested at most.
const DEPTH: usize = 3;

/// A vector and the labels that tell its series apart.
struct Vector {
    text: String,
    labels: Vec<&'static str>,
}

/// The queries of a seed.
pub(super) fn queries(seed: u64, count: usize, features: Features) -> Vec<Query> {
    let mut random = Random::new(seed);
    (0..count).map(|_| Generator { random: &mut random, features }.query()).collect()
}

struct Generator<'r> {
    random: &'r mut Random,
    features: Features,
}

impl Generator<'_> {
    fn query(&mut self) -> Query {
        let depth = 1 + self.below(DEPTH);
        let expression = match self.below(20) {
            0 => self.scalar(depth),
            1 => self.histogram(depth).text,
            2 => self.wrong(),
            _ => self.vector(depth).text,
        };
        let ms = if self.random.chance(20) { self.below(15_000) as i64 } else { 0 };
        let end = (SAMPLES - 1) * INTERVAL_MS;
        let at = START_MS + ms + 5 * 60_000 + (self.below(114) * 60_000) as i64;
        let mut query = if self.random.chance(45) {
            let top = match self.below(12) {
                0 => format!("sort({expression})"),
                1 => format!("sort_desc({expression})"),
                2 if self.features == Features::Experimental => format!(
                    "sort_by_label({expression}, \"job\", \"instance\", \"code\", \"method\", \"sensor\", \"kind\")"
                ),
                _ => expression,
            };
            Query::instant(&top, at.min(START_MS + end))
        } else {
            let step = self.number(&[15_000, 30_000, 60_000, 77_000, 150_000, 300_000]);
            let steps = 1 + self.below(40) as i64;
            let start = at - self.below(10) as i64 * step;
            Query::range(&expression, start, start + steps * step, step)
        };
        if self.random.chance(8) {
            query.parameters +=
                self.random.pick(&["&lookback_delta=1m", "&lookback_delta=20", "&lookback_delta=15m"]);
        }
        query
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.below(end as u64) as usize
    }

    fn number(&mut self, numbers: &[i64]) -> i64 {
        let i = self.below(numbers.len());
        numbers[i]
    }

    fn metric(&mut self, metrics: &'static [Metric]) -> &'static Metric {
        let i = self.below(metrics.len());
        &metrics[i]
    }

    fn selector(&mut self, metric: &'static Metric) -> String {
        // Not all of the odd values at once: logarithms of some are wrong in Go.
        if metric.name != "odd_value" && self.random.chance(55) {
            return metric.name.to_owned();
        }
        format!("{}{{{}}}", metric.name, self.random.pick(metric.matchers))
    }

    fn modifiers(&mut self) -> &'static str {
        if self.random.chance(85) {
            return "";
        }
        self.random.pick(&[
            " offset 3m",
            " offset -1m30s",
            " offset 47s",
            " @ start()",
            " @ end()",
            " @ 1767225617.5",
            " @ end() offset 5m",
            " offset (1m + 15)",
        ])
    }

    fn window(&mut self) -> &'static str {
        self.random.pick(&["[1m]", "[2m]", "[5m]", "[5m]", "[10m]", "[95s]", "[31s]", "[2m * 1.5]"])
    }

    fn scalar(&mut self, depth: usize) -> String {
        let below = depth.saturating_sub(1);
        match self.below(if depth == 0 { 3 } else { 7 }) {
            0 => self.random.pick(&["0", "1", "2.5", "-3", "100", "NaN", "Inf", "1e3", "0.125"]).to_owned(),
            1 => "time()".to_owned(),
            2 => "pi()".to_owned(),
            3 => format!("scalar({})", self.vector(below).text),
            4 => {
                let op = self.random.pick(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", ">= bool"]);
                format!("({} {op} {})", self.scalar(below), self.scalar(below))
            }
            5 => format!("-({})", self.scalar(below)),
            _ => format!("scalar(sum({}))", self.vector(below).text),
        }
    }

    fn vector(&mut self, depth: usize) -> Vector {
        if depth == 0 {
            let metric = if self.random.chance(30) { self.metric(COUNTERS) } else { self.metric(GAUGES) };
            let text = format!("{}{}", self.selector(metric), self.modifiers());
            return Vector { text, labels: metric.labels.to_vec() };
        }
        let below = depth - 1;
        match self.below(24) {
            0..6 => self.over_time(),
            6..11 => self.aggregation(below),
            11..13 => self.function(below),
            13..15 => self.with_scalar(below),
            15..18 => self.between_vectors(below),
            18 => self.comparison(below),
            19 => self.subquery(below),
            20 => self.relabelled(below),
            21 => self.of_classic(),
            _ => self.of_histogram(below),
        }
    }

    /// A function of a range.
    fn over_time(&mut self) -> Vector {
        let metric = if self.random.chance(45) { self.metric(COUNTERS) } else { self.metric(GAUGES) };
        let counter = COUNTERS.iter().any(|counter| counter.name == metric.name);
        let range = format!("{}{}{}", self.selector(metric), self.window(), self.modifiers());
        let text = if counter && self.random.chance(70) {
            let function = self.random.pick(&["rate", "rate", "increase", "irate", "resets", "changes"]);
            format!("{function}({range})")
        } else {
            self.of_gauge(&range)
        };
        Vector { text, labels: metric.labels.to_vec() }
    }

    fn of_gauge(&mut self, range: &str) -> String {
        match self.below(8) {
            0 => {
                format!(
                    "quantile_over_time({}, {range})",
                    self.random.pick(&["0.5", "0.99", "0", "1", "0.05"])
                )
            }
            1 => format!("predict_linear({range}, {})", self.number(&[60, -60, 3_600])),
            2 if self.features == Features::Experimental => match self.below(3) {
                0 => format!("double_exponential_smoothing({range}, 0.5, 0.25)"),
                1 => format!("ts_of_max_over_time({range})"),
                _ => format!("ts_of_last_over_time({range})"),
            },
            _ => {
                let function = self.random.pick(&[
                    "avg_over_time",
                    "min_over_time",
                    "max_over_time",
                    "sum_over_time",
                    "count_over_time",
                    "last_over_time",
                    "present_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "delta",
                    "idelta",
                    "deriv",
                    "changes",
                ]);
                format!("{function}({range})")
            }
        }
    }

    /// Labels of a vector that are kept, at random.
    fn some_labels(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        of.iter().copied().filter(|_| self.random.chance(45)).collect()
    }

    fn aggregation(&mut self, below: usize) -> Vector {
        let inner = self.vector(below);
        let kept = self.some_labels(&inner.labels);
        let modifier = if self.random.chance(60) {
            format!(" by ({})", kept.join(", "))
        } else {
            let dropped: Vec<_> = inner.labels.iter().copied().filter(|l| !kept.contains(l)).collect();
            format!(" without ({})", dropped.join(", "))
        };
        let inner_text = inner.text;
        match self.below(12) {
            0 => self.picked(),
            1 => {
                let q = self.random.pick(&["0.5", "0.9", "0", "1", "0.01"]);
                Vector { text: format!("quantile{modifier} ({q}, {inner_text})"), labels: kept }
            }
            2 => {
                // Of whole numbers: a label shows the last digit.
                let text = format!("count_values{modifier} (\"value\", round({inner_text}))");
                Vector { text, labels: [kept, vec!["value"]].concat() }
            }
            _ => {
                let op = self.random.pick(&[
                    "sum", "sum", "sum", "avg", "avg", "min", "max", "count", "group", "stddev", "stdvar",
                ]);
                Vector { text: format!("{op}{modifier} ({inner_text})"), labels: kept }
            }
        }
    }

    /// Some of the series of something whose values are all different: which of equals are picked is the order of
    /// upstream's storage.
    fn picked(&mut self) -> Vector {
        const DIFFERENT: &[(&str, &[&str])] = &[
            ("memory_bytes", &["instance", "job"]),
            ("memory_bytes offset 7m", &["instance", "job"]),
            ("avg_over_time(temperature_celsius[5m])", &["instance", "job", "sensor"]),
            ("stddev_over_time(memory_bytes[3m])", &["instance", "job"]),
            ("sum_over_time(http_requests_total[10m])", &["code", "instance", "job", "method"]),
        ];
        let (inner, labels) = DIFFERENT[self.below(DIFFERENT.len())];
        let ops: &[&str] = match self.features {
            Features::Stable => &["topk", "bottomk"],
            Features::Experimental => &["topk", "bottomk", "limitk"],
        };
        let op = self.random.pick(ops);
        let by = self.some_labels(labels).join(", ");
        let text = format!("{op} by ({by}) ({}, {inner})", 1 + self.below(3));
        Vector { text, labels: labels.to_vec() }
    }

    fn function(&mut self, below: usize) -> Vector {
        let Vector { text, labels } = self.vector(below);
        let text = match self.below(8) {
            0 => format!("clamp({text}, {}, {})", self.number(&[-10, 0, 1]), self.number(&[2, 50, 1_001])),
            1 => format!("clamp_min({text}, {})", self.number(&[-1, 0, 7])),
            2 => format!("round({text}, {})", self.random.pick(&["1", "0.5", "10"])),
            3 => format!("timestamp({text})"),
            _ => {
                let function = self.random.pick(&[
                    "abs",
                    "ceil",
                    "floor",
                    "sgn",
                    "sqrt",
                    "exp",
                    "ln",
                    "log2",
                    "log10",
                    "sin",
                    "cos",
                    "tanh",
                    "deg",
                    "rad",
                    "hour",
                    "minute",
                    "day_of_week",
                    "month",
                    "-",
                    "+",
                ]);
                format!("{function}({text})")
            }
        };
        Vector { text, labels }
    }

    fn with_scalar(&mut self, below: usize) -> Vector {
        let Vector { text, labels } = self.vector(below);
        let scalar = self.scalar(below.min(1));
        let op = self.random.pick(&["+", "-", "*", "/", "%", "^", "atan2", "> bool", "<= bool", "!= bool"]);
        let text = if self.random.chance(70) {
            format!("({text}) {op} {scalar}")
        } else {
            format!("{scalar} {op} ({text})")
        };
        Vector { text, labels }
    }

    /// A filter that leaves something, mostly.
    fn comparison(&mut self, below: usize) -> Vector {
        let Vector { text, labels } = self.vector(below);
        let filter =
            self.random.pick(&["> 0", ">= 0", "!= 7", "< 100000", "== 1", "> -5", "<= 1e9", "!= NaN"]);
        Vector { text: format!("({text}) {filter}"), labels }
    }

    fn subquery(&mut self, below: usize) -> Vector {
        let Vector { text, labels } = self.vector(below);
        let window = self.random.pick(&["[5m:1m]", "[3m:]", "[10m:90s]", "[2m:15s]", "[4m:1m] offset 1m"]);
        // In 3.5, last_over_time of a subquery forgets that names are to be dropped (fixed in 3.12, #18409).
        let outer = self.of_gauge(&format!("\0({text}){window}"));
        Vector { text: outer.replace("last_over_time(\0", "max_over_time(").replace('\0', ""), labels }
    }

    fn relabelled(&mut self, below: usize) -> Vector {
        let Vector { text, labels } = self.vector(below);
        match self.below(3) {
            0 => Vector {
                text: format!("label_replace({text}, \"new\", \"x-$1\", \"job\", \"(.).*\")"),
                labels,
            },
            1 => {
                Vector { text: format!("label_join({text}, \"new\", \"/\", \"job\", \"instance\")"), labels }
            }
            _ => {
                let text = format!("label_replace({text}, \"instance\", \"$1\", \"instance\", \"(.*)\")");
                Vector { text, labels }
            }
        }
    }

    /// Two vectors that match, or could.
    fn between_vectors(&mut self, below: usize) -> Vector {
        let (a, b) = (self.vector(below), self.vector(below));
        let common: Vec<_> = a.labels.iter().copied().filter(|l| b.labels.contains(l)).collect();
        let on = format!("on ({})", common.join(", "));
        let is_common = |labels: &[&str]| labels.len() == common.len();
        if self.random.chance(25) {
            // In 3.5, `or` knows nothing of names that are yet to be dropped (fixed in 3.9, #17161 and #17678).
            let ops: &[&str] = match self.features {
                Features::Stable => &["and", "or", "unless"],
                Features::Experimental => &["and", "unless"],
            };
            let op = self.random.pick(ops);
            return Vector { text: format!("({}) {op} {on} ({})", a.text, b.text), labels: a.labels };
        }
        let op = self.random.pick(&["+", "-", "*", "/", "%", ">", "<=", "!=", "> bool", "== bool", "atan2"]);
        match (is_common(&a.labels), is_common(&b.labels)) {
            (true, true) if self.random.chance(40) => {
                Vector { text: format!("({}) {op} ({})", a.text, b.text), labels: common }
            }
            (true, true) => Vector { text: format!("({}) {op} {on} ({})", a.text, b.text), labels: common },
            (false, true) => Vector {
                text: format!("({}) {op} {on} group_left () ({})", a.text, b.text),
                labels: a.labels,
            },
            (true, false) => Vector {
                text: format!("({}) {op} {on} group_right () ({})", a.text, b.text),
                labels: b.labels,
            },
            (false, false) => {
                let one = format!("max by ({}) ({})", common.join(", "), b.text);
                Vector { text: format!("({}) {op} {on} group_left () {one}", a.text), labels: a.labels }
            }
        }
    }

    /// Quantiles of classic histograms.
    fn of_classic(&mut self) -> Vector {
        let q = self.random.pick(&["0.5", "0.9", "0.99", "0", "1"]);
        let function = self.random.pick(&["rate", "increase", "irate", "delta"]);
        let range = format!("latency_seconds_bucket{}{}", self.window(), self.modifiers());
        let kept = self.some_labels(&["instance", "job"]);
        let by = [&kept[..], &["le"]].concat().join(", ");
        Vector { text: format!("histogram_quantile({q}, sum by ({by}) ({function}({range})))"), labels: kept }
    }

    /// Floats from native histograms.
    fn of_histogram(&mut self, below: usize) -> Vector {
        let Vector { text, labels } = self.histogram(below);
        let text = match self.below(9) {
            0..3 => {
                format!("histogram_quantile({}, {text})", self.random.pick(&["0.5", "0.9", "0.01", "1", "0"]))
            }
            3 => {
                let bounds = self.random.pick(&["0, 1", "-1, 2", "0.5, Inf", "-Inf, 3", "0.7, 0.9"]);
                format!("histogram_fraction({bounds}, {text})")
            }
            _ => {
                let function = self.random.pick(&[
                    "histogram_count",
                    "histogram_sum",
                    "histogram_avg",
                    "histogram_stddev",
                    "histogram_stdvar",
                ]);
                format!("{function}({text})")
            }
        };
        Vector { text, labels }
    }

    /// A vector of native histograms.
    fn histogram(&mut self, depth: usize) -> Vector {
        let metric = self.metric(HISTOGRAMS);
        let gauge = metric.name == "batch_sizes";
        let labels = metric.labels.to_vec();
        if depth == 0 {
            return Vector { text: format!("{}{}", self.selector(metric), self.modifiers()), labels };
        }
        match self.below(7) {
            0..3 => {
                let functions: &[&str] =
                    if gauge { &["delta", "idelta"] } else { &["rate", "increase", "irate"] };
                let function = self.random.pick(functions);
                let range = format!("{}{}{}", self.selector(metric), self.window(), self.modifiers());
                Vector { text: format!("{function}({range})"), labels }
            }
            3 => {
                let function = self.random.pick(&["last_over_time", "sum_over_time", "avg_over_time"]);
                let range = format!("{}{}", self.selector(metric), self.window());
                Vector { text: format!("{function}({range})"), labels }
            }
            4 => {
                let inner = self.histogram(depth - 1);
                let op = self.random.pick(&["* 2", "/ 4", "* 0.5"]);
                Vector { text: format!("({}) {op}", inner.text), labels: inner.labels }
            }
            _ => {
                let inner = self.histogram(depth - 1);
                let kept = self.some_labels(&inner.labels);
                let op = self.random.pick(&["sum", "avg"]);
                Vector { text: format!("{op} by ({}) ({})", kept.join(", "), inner.text), labels: kept }
            }
        }
    }

    /// What has an error, or is odd.
    fn wrong(&mut self) -> String {
        let Vector { text, labels } = self.vector(1);
        match self.below(8) {
            0 => format!("{text} + on (job) ({text})"),
            1 => format!("rate({text})"),
            2 => format!("abs({text}, 1)"),
            3 => format!("({text}"),
            4 => format!("sum by ({}) {text}", labels.join(",")),
            5 => format!("label_replace({text}, \"instance\", \"\", \"\", \"\")"),
            6 => format!("absent({text})"),
            _ => format!("{text} * on (job, instance) group_left (version) target_info"),
        }
    }
}
