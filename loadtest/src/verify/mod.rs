//! The oracle: asks for every sample of the population by queries and compares with what the ledger says was written.
//! Acknowledged samples have to be there exactly once with their exact value; those of unknown fate may be there;
//! nothing else may.

mod answer;
mod difference;
mod oracle;
mod watch;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::client::ClientError;
use crate::latency::Latencies;
use crate::ledger::LedgerError;
use crate::population::PopulationError;
pub use difference::{Difference, DifferenceKind, Differences};
pub use oracle::Oracle;
use window::Compared;

/// How to verify.
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    /// The Prometheus API: `/api/v1/query` and so on follow. Each by one of several servers: queries are spread over
    /// them, and one that cannot be reached or is overloaded is passed over, as by a load balancer.
    pub urls: Vec<String>,
    /// The most queries in flight.
    pub concurrency: usize,
    /// The most samples that one query asks for.
    pub samples_per_query: u32,
    /// How long one query may take.
    pub timeout: Duration,
    /// For how long a query that fails is asked again, when everything is verified.
    pub keep_trying: Duration,
    /// What a query means that fails all the same, when everything is verified.
    pub failures: Failures,
    /// Between two queries while writing goes on.
    pub read_every: Duration,
}

impl VerifyConfig {
    /// Two queries at a time, of half a million samples and two minutes each.
    pub fn new(url: String) -> Self {
        Self {
            urls: vec![url],
            concurrency: 2,
            samples_per_query: 500_000,
            timeout: Duration::from_secs(120),
            keep_trying: Duration::from_secs(1),
            failures: Failures::End,
            read_every: Duration::from_millis(200),
        }
    }
}

/// What a query that fails means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// Everything has to be readable: the first failure ends the verification.
    End,
    /// Some of it may be unreadable; an answer that comes has to be whole. Failures are counted.
    Count,
}

/// Why verifying was not possible: not a difference.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger's population is impossible.
    #[error(transparent)]
    Population(#[from] PopulationError),
    /// No answer.
    #[error("{what}")]
    Client {
        /// What was asked.
        what: String,
        /// Why there was none.
        #[source]
        source: ClientError,
    },
    /// An answer that reports an error.
    #[error("{what}: status {status}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// An answer that cannot be read.
    #[error("{what}: the answer is not in Prometheus' format")]
    Parse {
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl VerifyError {
    /// One word for statistics: the status of an answer, or why there was none.
    pub fn kind(&self) -> String {
        match self {
            Self::Ledger(_) | Self::Population(_) => "ledger".to_owned(),
            Self::Client { source, .. } => source.kind().to_owned(),
            Self::Refused { status, .. } => status.to_string(),
            Self::Parse { .. } => "format".to_owned(),
        }
    }
}

/// Messages of failed queries kept for the report.
const MAX_MESSAGES: usize = 5;

/// What the oracle found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Samples found as they should be.
    pub samples: u64,
    /// Of them samples whose request was never acknowledged.
    pub unacknowledged_samples: u64,
    /// Samples that had to be there.
    pub acknowledged_samples: u64,
    /// Queries answered.
    pub queries: u64,
    /// Queries without an answer, by status or kind. That is no difference: better none than a wrong one.
    pub failed: BTreeMap<String, u64>,
    /// The first different messages of failure.
    pub messages: Vec<String>,
    /// How long the queries took that were answered.
    pub latency: Latencies,
    /// What is wrong.
    pub differences: Differences,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    /// Queries that failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Adds what another part of the verification found.
    pub fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.unacknowledged_samples += other.unacknowledged_samples;
        self.acknowledged_samples += other.acknowledged_samples;
        self.queries += other.queries;
        for (kind, count) in other.failed {
            *self.failed.entry(kind).or_default() += count;
        }
        for message in other.messages {
            self.note(message);
        }
        self.latency.merge(&other.latency);
        self.differences.merge(other.differences);
    }

    fn answered(&mut self, took: Duration) {
        self.queries += 1;
        self.latency.record(took);
    }

    fn failed(&mut self, error: &VerifyError) {
        *self.failed.entry(error.kind()).or_default() += 1;
        // Without what was asked: messages that differ in nothing else are one.
        self.note(match error {
            VerifyError::Refused { status, message, .. } => format!("{status}: {message}"),
            error => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
        });
    }

    fn note(&mut self, message: String) {
        if self.messages.len() < MAX_MESSAGES && !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }

    fn compared(&mut self, compared: Compared) {
        self.samples += compared.samples;
        self.unacknowledged_samples += compared.unacknowledged;
    }

    /// For people.
    pub fn readable(&self) -> String {
        let found = self.samples - self.unacknowledged_samples;
        let mut text = format!(
            "{found} acknowledged samples found as written (of {}), and {} unacknowledged ones, by {} queries\n",
            self.acknowledged_samples, self.unacknowledged_samples, self.queries
        );
        if self.latency.total() > 0 {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| self.latency.quantile_ms(q));
            text.push_str(&format!("queries took p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms\n"));
        }
        for (kind, count) in &self.failed {
            text.push_str(&format!("{count} queries failed: {kind}\n"));
        }
        for message in &self.messages {
            text.push_str(&format!("  {message}\n"));
        }
        for (kind, count) in &self.differences.counts {
            text.push_str(&format!("{count} × {kind:?}\n"));
        }
        for Difference { kind, detail } in &self.differences.first {
            text.push_str(&format!("  {kind:?}: {detail}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests;
