//! What the generator counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::{Answer, ClientError};
use crate::encode::Counts;
use crate::latency::Latencies;

/// Different messages of failure kept for the report.
const MAX_MESSAGES: usize = 5;

/// Running counts of one run.
#[derive(Debug, Default)]
pub struct Statistics {
    began: Duration,
    ended: Option<Duration>,
    summary: Summary,
    latencies: Latencies,
}

/// The counts of a run, at its end or in between.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Samples that were acknowledged, floats and histograms.
    pub samples: u64,
    /// Of them histograms.
    pub histograms: u64,
    /// Exemplars that were acknowledged.
    pub exemplars: u64,
    /// Requests made, not counting repetitions.
    pub requests: u64,
    /// Repetitions after a failure.
    pub retries: u64,
    /// Samples in requests that were not acknowledged in the end.
    pub samples_not_acknowledged: u64,
    /// Requests of remote write 2.0 whose answer did not name the counts that were sent.
    pub miscounted: u64,
    /// Size of the requests before compression.
    pub bytes_uncompressed: u64,
    /// Size of the requests as sent.
    pub bytes_compressed: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Answers other than 2xx by status, and attempts without an answer by kind.
    pub errors: BTreeMap<String, u64>,
    /// The first different messages of failure.
    pub messages: Vec<String>,
    /// Half of all attempts were answered within so many milliseconds.
    pub latency_p50_ms: f64,
    /// 99 % of all attempts were.
    pub latency_p99_ms: f64,
}

impl Statistics {
    pub(super) fn begin(&mut self, now: Duration) {
        self.began = now;
    }

    pub(super) fn began(&self) -> Duration {
        self.began
    }

    pub(super) fn end(&mut self, now: Duration) {
        self.ended = Some(now);
    }

    pub(super) fn encoded(&mut self, counts: Counts, uncompressed: usize, compressed: usize) {
        self.summary.requests += 1;
        self.summary.samples_not_acknowledged += u64::from(counts.samples());
        self.summary.bytes_uncompressed += uncompressed as u64;
        self.summary.bytes_compressed += compressed as u64;
    }

    pub(super) fn acknowledged(&mut self, counts: Counts) {
        self.summary.samples_not_acknowledged -= u64::from(counts.samples());
        self.summary.samples += u64::from(counts.samples());
        self.summary.histograms += u64::from(counts.histograms);
        self.summary.exemplars += u64::from(counts.exemplars);
    }

    pub(super) fn retried(&mut self) {
        self.summary.retries += 1;
    }

    pub(super) fn answered(&mut self, latency: Duration, outcome: &Result<Answer, ClientError>) {
        self.latencies.record(latency);
        match outcome {
            Ok(answer) if answer.status.is_success() => {}
            Ok(answer) => self.failed(answer.status.as_u16().to_string(), || answer.text()),
            Err(error) => self.failed(error.kind().to_owned(), || error.to_string()),
        }
    }

    /// Compares what a receiver of remote write 2.0 says that it wrote with what was sent. One that says nothing does
    /// not know 2.0: to a decoder of 1.0 the request looks empty, and it acknowledges that.
    pub(super) fn check_written(&mut self, counts: Counts, answer: &Answer) {
        let written = |what: &str| answer.number(&format!("x-prometheus-remote-write-{what}-written"));
        let same = |what, sent: u32| written(what).unwrap_or(0) == u64::from(sent);
        let agrees = same("samples", counts.floats)
            && same("histograms", counts.histograms)
            && same("exemplars", counts.exemplars);
        if !agrees {
            self.summary.miscounted += 1;
        }
    }

    pub(super) fn summary(&self, now: Duration) -> Summary {
        let mut summary = self.summary.clone();
        summary.seconds = self.ended.unwrap_or(now).saturating_sub(self.began).as_secs_f64();
        summary.latency_p50_ms = self.latencies.quantile_ms(0.5);
        summary.latency_p99_ms = self.latencies.quantile_ms(0.99);
        summary
    }

    fn failed(&mut self, kind: String, message: impl FnOnce() -> String) {
        let count = self.summary.errors.entry(kind).or_default();
        *count += 1;
        if self.summary.messages.len() < MAX_MESSAGES {
            let message = message();
            if !self.summary.messages.contains(&message) {
                self.summary.messages.push(message);
            }
        }
    }
}
