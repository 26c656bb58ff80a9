//! Prometheus' JSON answers, as far as the oracle reads them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The envelope of every answer.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) status: String,
    pub(super) data: Option<T>,
    pub(super) error: Option<String>,
}

/// The data of a query that has a range selector: raw samples.
#[derive(Debug, Deserialize)]
pub(super) struct Matrix<'a> {
    #[serde(borrow)]
    pub(super) result: Vec<MatrixSeries<'a>>,
}

/// One series of it.
#[derive(Debug, Deserialize)]
pub(super) struct MatrixSeries<'a> {
    pub(super) metric: BTreeMap<String, String>,
    #[serde(borrow, default)]
    pub(super) values: Vec<(f64, &'a str)>,
    #[serde(borrow, default)]
    pub(super) histograms: Vec<(f64, HistogramAnswer<'a>)>,
}

/// A native histogram.
#[derive(Debug, Deserialize)]
pub(super) struct HistogramAnswer<'a> {
    pub(super) count: &'a str,
    pub(super) sum: &'a str,
    /// Which bounds belong to the bucket, lower bound, upper bound, count; empty buckets are left out.
    #[serde(borrow, default)]
    pub(super) buckets: Vec<(u8, &'a str, &'a str, &'a str)>,
}

/// Milliseconds of a timestamp in seconds.
pub(super) fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

/// A series as text: what tells it from all others.
pub(super) fn key(labels: &BTreeMap<String, String>) -> String {
    let mut key = String::with_capacity(300);
    for (name, value) in labels {
        push_label(&mut key, name, value);
    }
    key
}

/// Adds one label to a key; labels come sorted by name.
pub(super) fn push_label(key: &mut String, name: &str, value: &str) {
    key.push_str(name);
    key.push('=');
    key.push_str(value);
    // A byte that no label of the population holds.
    key.push('\u{1f}');
}
