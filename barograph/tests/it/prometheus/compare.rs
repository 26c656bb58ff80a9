//! The same questions to Prometheus and Barograph, and whether the answers are equal.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::setup::{JOBS, Version};
use crate::http::{query_value, request};
use crate::support::wait_until;

/// Every series.
const ALL: &str = "{__name__!=\"\"}";

/// Expressions over what was written. Their results may differ by rounding.
const EXPRESSIONS: [&str; 14] = [
    "sum by (mode) (rate(node_cpu_seconds_total[10s]))",
    "increase(odd_requests_total[15s])",
    "resets(odd_requests_total[1m])",
    "avg by (job) (up)",
    "topk(3, node_filesystem_size_bytes)",
    "histogram_quantile(0.9, sum by (le, job) (rate(prometheus_http_request_duration_seconds_bucket[10s])))",
    "histogram_quantile(0.9, rate(prometheus_http_request_duration_seconds[10s]))",
    "histogram_count(sum(prometheus_http_request_duration_seconds))",
    "max_over_time(odd_value[20s])",
    "count by (__name__) ({__name__=~\"go_gc_.+\"})",
    "process_resident_memory_bytes / on (job) group_left go_memstats_sys_bytes",
    "label_replace(node_uname_info, \"short\", \"$1\", \"release\", \"(\\\\d+).*\")",
    "absent(odd_flicker)",
    "quantile(0.5, scrape_duration_seconds) or vector(1)",
];

/// How far results of expressions may be apart, relative to the larger one.
const TOLERANCE: f64 = 1e-12;

/// Whom to ask, and about which time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    pub(super) barograph: SocketAddr,
    pub(super) prometheus: SocketAddr,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Sides {
    /// The data of an API call, from Barograph and from Prometheus.
    fn both(&self, path: &str) -> [Value; 2] {
        [data(self.barograph, "/prometheus", path), data(self.prometheus, "", path)]
    }

    fn range(&self) -> String {
        format!("start={}&end={}", seconds(self.start_ms), seconds(self.end_ms))
    }

    fn range_query(&self, query: &str) -> [Value; 2] {
        self.both(&format!("/api/v1/query_range?query={}&{}&step=1", query_value(query), self.range()))
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

fn data(addr: SocketAddr, prefix: &str, path: &str) -> Value {
    let (status, body) = request(addr, &format!("{prefix}{path}"), &[]);
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    answer.get("data").cloned().expect("data")
}

/// The series of a matrix by their labels.
fn by_labels(matrix: &Value, labels: &str) -> BTreeMap<String, Value> {
    let series = matrix.as_array().expect("series");
    let found: BTreeMap<_, _> = series
        .iter()
        .map(|series| (series.get(labels).expect("labels").to_string(), series.clone()))
        .collect();
    assert_eq!(found.len(), series.len(), "a series occurs twice");
    found
}

/// Both have the same series, and `same` holds for each.
fn equal_series(
    what: &str,
    [here, there]: [&BTreeMap<String, Value>; 2],
    same: impl Fn(&Value, &Value) -> bool,
) {
    let missing: Vec<_> = there.keys().filter(|labels| !here.contains_key(*labels)).collect();
    let surplus: Vec<_> = here.keys().filter(|labels| !there.contains_key(*labels)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}: {} series missing, as {:?}; {} too many, as {:?}",
        missing.len(),
        missing.first(),
        surplus.len(),
        surplus.first()
    );
    let different: Vec<_> = here.iter().filter(|(labels, series)| !same(series, &there[*labels])).collect();
    if let Some((labels, series)) = different.first() {
        panic!(
            "{what}: {} of {} series differ; the first in Barograph: {series}; in Prometheus: {}",
            different.len(),
            here.len(),
            there[*labels]
        );
    }
}

/// Every sample, with its bits: values are compared as they are printed.
pub(super) fn samples(sides: &Sides) {
    let query = query_value(&format!("{ALL}[1h]"));
    let answers = sides.both(&format!("/api/v1/query?query={query}&time={}", seconds(sides.end_ms)));
    let [here, there] = answers.map(|answer| by_labels(&answer["result"], "metric"));
    assert!(there.len() > 1_000, "only {} series in Prometheus", there.len());
    for what in
        ["\"histograms\"", "\"NaN\"", "\"-Inf\"", "\"5e-324\"", "odd name.with dots", "🚀", "\"odd_once\""]
    {
        assert!(there.values().any(|series| series.to_string().contains(what)), "Prometheus has no {what}");
    }
    for job in JOBS {
        let of_job = there.values().filter(|series| series["metric"]["job"] == job).count();
        assert!(of_job > 15, "only {of_job} series of {job}");
    }
    equal_series("samples", [&here, &there], |here, there| here == there);
}

/// What is there at each second, which stale markers decide.
pub(super) fn instants(sides: &Sides) {
    let [here, there] = sides.range_query(ALL);
    let order = |answer: &Value| -> Vec<String> {
        answer["result"].as_array().expect("series").iter().map(|s| s["metric"].to_string()).collect()
    };
    equal_series(
        "instants",
        [&by_labels(&here["result"], "metric"), &by_labels(&there["result"], "metric")],
        |here, there| here == there,
    );
    assert!(order(&here) == order(&there), "series come in another order than those of Prometheus");
    let flickers = sides.range_query("odd_flicker");
    let points = flickers[1]["result"][0]["values"].as_array().map_or(0, Vec::len);
    assert!(
        (5..25).contains(&points),
        "odd_flicker is there for {points} steps: stale markers are not tested"
    );
}

/// Series, label names and all values of each.
pub(super) fn labels(sides: &Sides) {
    let (range, all) = (sides.range(), query_value(ALL));
    let [mut here, mut there] = sides.both(&format!("/api/v1/series?match[]={all}&{range}"));
    for series in [&mut here, &mut there] {
        series.as_array_mut().expect("series").sort_by_key(Value::to_string);
    }
    assert!(here == there, "the series API gives other series");
    let [here, names] = sides.both(&format!("/api/v1/labels?{range}"));
    assert_eq!(here, names, "label names");
    for name in names.as_array().expect("names").iter().filter_map(Value::as_str) {
        // Names that do not fit into a path are escaped: U__, and code points between underscores.
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let escaped: String = if name.chars().all(legal) {
            name.to_owned()
        } else {
            let one = |c: char| if legal(c) { c.to_string() } else { format!("_{:x}_", u32::from(c)) };
            format!("U__{}", name.replace('_', "__").chars().map(one).collect::<String>())
        };
        let [here, there] = sides.both(&format!("/api/v1/label/{escaped}/values?{range}"));
        assert!(there.as_array().is_some_and(|values| !values.is_empty()), "no values of {name}");
        assert_eq!(here, there, "values of {name}");
    }
    let matcher = query_value("{job=\"odd\"}");
    for path in ["labels", "label/__name__/values"] {
        let [here, there] = sides.both(&format!("/api/v1/{path}?match[]={matcher}&{range}"));
        assert_eq!(here, there, "{path} of one job");
    }
}

/// Every exemplar.
pub(super) fn exemplars(sides: &Sides) {
    let answers =
        sides.both(&format!("/api/v1/query_exemplars?query={}&{}", query_value(ALL), sides.range()));
    let [here, there] = answers.map(|answer| by_labels(&answer, "seriesLabels"));
    assert!(there.len() >= 2, "only {} series with exemplars in Prometheus", there.len());
    equal_series("exemplars", [&here, &there], |here, there| here == there);
}

/// Metadata of every family. Version 2 says it of series, so where names of series have suffixes (in OpenMetrics, those
/// of counters), it is known with them.
pub(super) fn metadata(sides: &Sides, version: Version) {
    let suffixes: &[&str] = if version == Version::V2 { &["", "_total", "_info"] } else { &[""] };
    let sorted = |entries: &Value| {
        let mut entries: Vec<String> =
            entries.as_array().into_iter().flatten().map(Value::to_string).collect();
        entries.sort();
        entries
    };
    wait_until("metadata of every family", || {
        let [here, there] = sides.both("/api/v1/metadata");
        let there = there.as_object().expect("families");
        if there.len() <= 200 {
            return Err(format!("Prometheus has only {} families", there.len()));
        }
        there.iter().try_for_each(|(family, entries)| {
            let ours = suffixes.iter().filter_map(|suffix| here.get(format!("{family}{suffix}"))).map(sorted);
            let (ours, theirs): (Vec<_>, _) = (ours.collect(), sorted(entries));
            let same = |ours: &Vec<String>| match version {
                Version::V1 => *ours == theirs,
                // A series may have the name of another target's family.
                Version::V2 => theirs.iter().all(|entry| ours.contains(entry)),
            };
            if ours.iter().any(same) {
                return Ok(());
            }
            Err(format!("{family} is {ours:?}; in Prometheus it is {theirs:?}"))
        })
    });
}

/// Results of expressions.
pub(super) fn expressions(sides: &Sides) {
    for query in EXPRESSIONS {
        let answers = sides.range_query(query).map(|answer| by_labels(&answer["result"], "metric"));
        assert!(!answers[1].is_empty(), "{query} has no result in Prometheus");
        equal_series(query, [&answers[0], &answers[1]], close);
    }
}

/// Whether two JSON values are equal but for rounding of numbers, in texts too.
fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| close(a, b)))
        }
        (Value::String(a), Value::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
            _ => false,
        },
        (a, b) => a == b,
    }
}
