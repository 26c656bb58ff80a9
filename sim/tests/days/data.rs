//! What is written: floats, gaps, stale markers, resets, late samples, series that come and go, histograms of both kinds, and what
//! becomes of it in a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{BucketSpan, FloatHistogram, Histogram, Labels, Value, stale_nan};
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;

/// The distance of samples.
pub(crate) const STEP_MS: i64 = 5 * 60_000;
/// Steps of an hour, and of a day.
pub(crate) const STEPS_PER_HOUR: i64 = 12;
const STEPS_PER_DAY: i64 = 24 * STEPS_PER_HOUR;

/// The tenants: one with everything, one with little, and one that has something on the first day alone.
pub(crate) const TENANTS: [&str; 3] = ["everything", "little", "gone"];

/// Samples by series and time.
pub(crate) type Samples = BTreeMap<Labels, BTreeMap<i64, Value>>;

/// A sample of a series.
pub(crate) struct Row {
    pub(crate) labels: Labels,
    pub(crate) at_ms: i64,
    pub(crate) value: Value,
}

/// What a tenant sends in a step, at this time.
pub(crate) fn rows(tenant: &str, step: i64, at_ms: i64) -> Vec<Row> {
    match tenant {
        "everything" => everything(step, at_ms),
        "little" => {
            vec![float("up", 0, at_ms, 1.0), float("load", 0, at_ms, ((step * 37) % 101) as f64 / 8.0)]
        }
        _ if step < STEPS_PER_DAY => vec![float("up", 7, at_ms, (step % 3) as f64)],
        _ => Vec::new(),
    }
}

fn everything(step: i64, at_ms: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for instance in 0..4 {
        // A counter that begins anew, at other times in each instance.
        let value = (step + instance * 17) % (40 + instance) * (7 + instance);
        rows.push(float("requests_total", instance, at_ms, value as f64));
    }
    for instance in 0..2 {
        // Gaps of some hours; a stale marker at the beginning of each.
        let at = (step + instance * 31) % 90;
        let value = 20.0 + ((step * 13 + instance) % 37) as f64 / 3.0;
        match at {
            60 => rows.push(float("temperature", instance, at_ms, stale_nan())),
            61..=89 => {}
            _ => rows.push(float("temperature", instance, at_ms, value)),
        }
    }
    // Every day another version.
    rows.push(float("build_info", step / STEPS_PER_DAY, at_ms, 1.0));
    // Every hour three samples come half an hour late.
    let in_hour = step % STEPS_PER_HOUR;
    let late_by = if in_hour == 11 { 6..=8 } else { 0..=0 };
    for back in late_by.filter(|_| !(3..=5).contains(&in_hour)) {
        rows.push(float("late_total", 0, at_ms - back * STEP_MS, ((step - back) * 3) as f64));
    }
    rows.sort_by_key(|row| row.at_ms);
    rows.push(row("rpc_seconds", 0, at_ms, Value::Histogram(Arc::new(integers(step)))));
    rows.push(row("rpc_seconds", 1, at_ms, Value::FloatHistogram(Arc::new(floats(step)))));
    // One that was a float on the first day.
    let mixed = match step < STEPS_PER_DAY {
        true => Value::Float(step as f64),
        false => Value::Histogram(Arc::new(integers(step))),
    };
    rows.push(row("mixed", 0, at_ms, mixed));
    rows
}

/// Counts that grow, and begin anew every fourteen hours.
fn integers(step: i64) -> Histogram {
    let age = step % 170 + 1;
    let buckets = [age, age * 2 + 1, age / 2];
    let count = buckets.iter().sum::<i64>() + age;
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: age.unsigned_abs(),
        count: count.unsigned_abs(),
        sum: age as f64 * 2.75,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 3, length: 1 }],
        positive_buckets: vec![buckets[0], buckets[1] - buckets[0], buckets[2] - buckets[1]],
        ..Histogram::default()
    }
}

fn floats(step: i64) -> FloatHistogram {
    let age = (step % 130 + 1) as f64;
    FloatHistogram {
        schema: 0,
        zero_threshold: 0.5,
        zero_count: age / 4.0,
        count: age / 4.0 + age * 3.5,
        sum: age * 11.125,
        positive_spans: vec![BucketSpan { offset: -1, length: 2 }],
        positive_buckets: vec![age, age * 1.5],
        negative_spans: vec![BucketSpan { offset: 2, length: 1 }],
        negative_buckets: vec![age],
        ..FloatHistogram::default()
    }
}

fn float(name: &str, instance: i64, at_ms: i64, value: f64) -> Row {
    row(name, instance, at_ms, Value::Float(value))
}

fn row(name: &str, instance: i64, at_ms: i64, value: Value) -> Row {
    let instance = format!("host-{instance}");
    let labels = Labels::from_pairs([("__name__", name), ("instance", instance.as_str()), ("job", "test")]);
    Row { labels, at_ms, value }
}

/// The message of remote write for rows.
pub(crate) fn body(rows: &[Row]) -> Bytes {
    let mut writer = Rw1Writer::default();
    for row in rows {
        for (name, value) in row.labels.iter() {
            writer.label(name, value);
        }
        match &row.value {
            Value::Float(value) => drop(writer.sample(row.at_ms, *value)),
            value => {
                let value = value.clone();
                writer.histogram(&HistogramSample { timestamp_ms: row.at_ms, start_timestamp_ms: 0, value });
            }
        }
        writer.end_series();
    }
    Bytes::copy_from_slice(writer.message())
}
