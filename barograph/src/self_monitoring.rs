//! The process' own metrics, written to itself like anybody else's, so that a new user sees data at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Clock, Scope};
use model::{Metadata, MetricType};
use proto::{Version, Write, WriteRequest};
use telemetry::metrics::Counter;
use telemetry::{GatheredSample, Registry};
use wire::encode::Rw1Writer;

use crate::config::SelfMonitoringConfig;

/// The job label of our own series.
const JOB: &str = "barograph";

/// How long one write may take before the next one is due anyway.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the registry's samples at every interval until the scope is cancelled.
pub(crate) struct SelfMonitoring {
    pub(crate) config: SelfMonitoringConfig,
    pub(crate) registry: Registry,
    pub(crate) write: Arc<dyn Write>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The address that HTTP is served on, as the instance label.
    pub(crate) instance: String,
}

impl SelfMonitoring {
    /// Begins, in a task of `scope`.
    pub(crate) fn start(self, scope: &Scope) {
        let failures =
            self.registry.sub("self_monitoring").counter("failures", "Writes of our own metrics that failed");
        let cancelled = scope.cancelled();
        // The scope ends the task; nobody waits for it.
        drop(scope.spawn("self monitoring", async move {
            tokio::select! {
                biased;
                () = cancelled => {}
                () = self.run(failures) => {}
            }
        }));
    }

    async fn run(self, failures: Counter) {
        let mut previous = BTreeSet::new();
        loop {
            let began = self.clock.monotonic();
            let now_ms = self.clock.now_ms();
            let (body, current) = message(&self.registry.gather(), &previous, &self.instance, now_ms);
            let request = WriteRequest { tenant: self.config.tenant.clone(), version: Version::V1, body };
            let outcome = tokio::select! {
                biased;
                outcome = self.write.write(request) => outcome,
                () = self.clock.sleep(TIMEOUT) => Err(proto::Error::new(proto::Code::DeadlineExceeded, "it took too long")),
            };
            match outcome.and_then(|response| response.error.map_or(Ok(()), Err)) {
                Ok(()) => previous = current,
                Err(error) => {
                    failures.inc();
                    tracing::warn!(%error, "the process' own metrics could not be written");
                }
            }
            let taken = self.clock.monotonic().saturating_sub(began);
            self.clock.sleep(self.config.interval.saturating_sub(taken)).await;
        }
    }
}

/// The labels of a series in their canonical order.
type SeriesLabels = Vec<(String, String)>;

/// A remote write 1.0 message of `samples` at `now_ms`, with stale markers for series of `previous` that are gone, and
/// the series that it has.
fn message(
    samples: &[GatheredSample],
    previous: &BTreeSet<SeriesLabels>,
    instance: &str,
    now_ms: i64,
) -> (Bytes, BTreeSet<SeriesLabels>) {
    let mut writer = Rw1Writer::default();
    let mut series: HashMap<SeriesLabels, f64> = HashMap::with_capacity(samples.len() + 1);
    for sample in samples {
        series.insert(labels(&sample.name, &sample.labels, instance), sample.value);
    }
    series.insert(labels("up", &[], instance), 1.0);
    for (labels, value) in &series {
        put(&mut writer, labels, now_ms, *value);
    }
    let current: BTreeSet<SeriesLabels> = series.into_keys().collect();
    for gone in previous.difference(&current) {
        put(&mut writer, gone, now_ms, model::stale_nan());
    }
    let families: BTreeSet<(&str, &str, &str)> =
        samples.iter().map(|s| (s.family.as_str(), s.kind.as_str(), s.help.as_str())).collect();
    for (family, kind, help) in families {
        let metadata = Metadata { metric_type: metric_type(kind), help: help.into(), unit: String::new() };
        writer.metadata(family, &metadata);
    }
    (Bytes::copy_from_slice(writer.message()), current)
}

fn put(writer: &mut Rw1Writer, labels: &SeriesLabels, now_ms: i64, value: f64) {
    for (name, value) in labels {
        writer.label(name, value);
    }
    writer.sample(now_ms, value);
    writer.end_series();
}

fn labels(name: &str, labels: &[(String, String)], instance: &str) -> SeriesLabels {
    let own = [(model::METRIC_NAME, name), ("job", JOB), ("instance", instance)];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut all: SeriesLabels = own.chain(labels.iter().cloned()).collect();
    all.sort();
    all
}

fn metric_type(kind: &str) -> MetricType {
    match kind {
        "counter" => MetricType::Counter,
        "histogram" => MetricType::Histogram,
        "gauge" | "info" => MetricType::Gauge,
        _ => MetricType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use wire::rw1::{RequestField, SeriesField};

    use super::*;

    fn sample(name: &str, label: (&str, &str), value: f64) -> GatheredSample {
        GatheredSample {
            name: name.into(),
            labels: vec![(label.0.into(), label.1.into())],
            value,
            kind: "counter".into(),
            help: "Help".into(),
            family: name.into(),
        }
    }

    /// The series of a message, labels as text in their order; and how much metadata it has.
    fn read(body: &Bytes) -> (Vec<(String, f64)>, usize) {
        let (mut found, mut metadata) = (Vec::new(), 0);
        for field in wire::rw1::request(body) {
            match field.expect("valid") {
                RequestField::TimeSeries { body, .. } => found.push(read_series(body)),
                RequestField::Metadata { .. } => metadata += 1,
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        (found, metadata)
    }

    fn read_series(body: &[u8]) -> (String, f64) {
        let (mut labels, mut value) = (Vec::new(), f64::NAN);
        for field in wire::rw1::series(body) {
            match field.expect("valid") {
                SeriesField::Label(label) => {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    labels.push(format!("{}={}", text(label.name), text(label.value)));
                }
                SeriesField::Sample(sample) => {
                    assert_eq!(sample.timestamp_ms, 7_000);
                    value = sample.value;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        (labels.join(","), value)
    }

    #[test]
    fn samples_become_series_of_a_target_that_is_up() {
        let samples = [sample("b_total", ("zone", "x"), 2.0), sample("a_total", ("code", "200"), 1.0)];
        let (body, current) = message(&samples, &BTreeSet::new(), "h:1", 7_000);
        let (series, metadata) = read(&body);
        let expected = [
            ("__name__=a_total,code=200,instance=h:1,job=barograph", 1.0),
            ("__name__=b_total,instance=h:1,job=barograph,zone=x", 2.0),
            ("__name__=up,instance=h:1,job=barograph", 1.0),
        ];
        assert_eq!(series, expected.map(|(labels, value)| (labels.to_owned(), value)));
        assert_eq!((metadata, current.len()), (2, 3));
    }

    #[test]
    fn a_series_that_is_gone_gets_one_stale_marker() {
        let gone = sample("a_total", ("tenant", "t"), 1.0);
        let (_, first) = message(std::slice::from_ref(&gone), &BTreeSet::new(), "h:1", 7_000);
        let (body, second) = message(&[], &first, "h:1", 7_000);
        let (series, _) = read(&body);
        assert_eq!(series.len(), 2);
        assert!(series[0].0.contains("tenant=t") && model::is_stale_nan(series[0].1), "{series:?}");
        let (body, _) = message(&[], &second, "h:1", 7_000);
        assert_eq!(read(&body).0.len(), 1, "only up is left");
    }
}
