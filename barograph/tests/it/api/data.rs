//! Series of every kind, written into a process at once.

use std::net::SocketAddr;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{BucketSpan, Exemplar, Histogram, Labels, Metadata, MetricType, Value};
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;

use crate::http::Connection;
use crate::support::now_ms;

/// Samples are so far apart, in milliseconds.
pub(super) const STEP_MS: i64 = 15_000;
/// Each series has so many.
pub(super) const SAMPLES: i64 = 40;

/// Writes the series, the newest samples of which are of now, and says when that is.
pub(crate) fn write(addr: SocketAddr) -> i64 {
    let end_ms = now_ms() / 1_000 * 1_000;
    let mut writer = Rw1Writer::default();
    let times: Vec<i64> = (0..SAMPLES).map(|i| end_ms - (SAMPLES - 1 - i) * STEP_MS).collect();
    for (instance, code) in [("a", "200"), ("a", "500"), ("b", "200")] {
        let labels =
            [("__name__", "api_requests_total"), ("code", code), ("instance", instance), ("job", "api")];
        begin(&mut writer, &labels);
        for (i, at) in times.iter().enumerate() {
            writer.sample(*at, (i * i) as f64 + 0.5);
        }
        writer.exemplar(&Exemplar {
            labels: Labels::from_pairs([("trace_id", format!("{instance}-{code}"))]),
            value: 0.25,
            timestamp_ms: end_ms - STEP_MS,
        });
        writer.end_series();
    }
    for bound in ["0.1", "1", "+Inf"] {
        begin(&mut writer, &[("__name__", "api_seconds_bucket"), ("job", "api"), ("le", bound)]);
        let scale = if bound == "0.1" { 1.0 } else { 2.0 };
        for (i, at) in times.iter().enumerate() {
            writer.sample(*at, i as f64 * scale);
        }
        writer.end_series();
    }
    for (name, schema, custom_values) in
        [("api_native_seconds", 2, vec![]), ("api_custom_seconds", CUSTOM_BUCKETS_SCHEMA, vec![0.5, 1.0])]
    {
        begin(&mut writer, &[("__name__", name), ("job", "api")]);
        for (i, at) in times.iter().enumerate() {
            let count = i as i64 + 1;
            let histogram = Histogram {
                schema,
                count: 2 * count as u64,
                sum: count as f64 * 1.5,
                positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
                positive_buckets: vec![count, 0],
                custom_values: custom_values.clone(),
                ..Histogram::default()
            };
            let value = Value::Histogram(histogram.into());
            writer.histogram(&HistogramSample { timestamp_ms: *at, start_timestamp_ms: 0, value });
        }
        writer.end_series();
    }
    begin(&mut writer, &[("__name__", "api.gauge with spaces"), ("http.status", "<200>"), ("job", "api")]);
    for (i, at) in times.iter().enumerate() {
        writer.sample(*at, -(i as f64) / 3.0);
    }
    writer.end_series();
    let help = "Requests <so far>.".to_owned();
    writer.metadata(
        "api_requests_total",
        &Metadata { metric_type: MetricType::Counter, help, unit: String::new() },
    );
    push(addr, writer.message());
    end_ms
}

fn begin(writer: &mut Rw1Writer, labels: &[(&str, &str)]) {
    for (name, value) in labels {
        writer.label(name, value);
    }
}

fn push(addr: SocketAddr, message: &[u8]) {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let body = wire::snappy::compress(message);
    let mut connection = Connection::open(addr).expect("connected");
    let response = connection.request("POST", "/api/v1/push", &headers, &body).expect("an answer");
    assert!(response.status / 100 == 2, "{response:?}");
}
