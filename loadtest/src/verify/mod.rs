//! The oracle: asks for every sample of the population by queries and compares with what the ledger says was written.
//! Acknowledged samples have to be there exactly once with their exact value; those of unknown fate may be there;
//! nothing else may.

mod answer;
mod difference;
mod oracle;
mod window;

use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::client::ClientError;
use crate::ledger::LedgerError;
use crate::population::PopulationError;
pub use difference::{Difference, DifferenceKind, Differences};
pub use oracle::Oracle;
use window::Compared;

/// How to verify.
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    /// The Prometheus API: `/api/v1/query` and so on follow.
    pub url: String,
    /// The most queries in flight.
    pub concurrency: usize,
    /// The most samples that one query asks for.
    pub samples_per_query: u32,
    /// How long one query may take.
    pub timeout: Duration,
}

impl VerifyConfig {
    /// Two queries at a time, of half a million samples and two minutes each.
    pub fn new(url: String) -> Self {
        Self { url, concurrency: 2, samples_per_query: 500_000, timeout: Duration::from_secs(120) }
    }
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

/// What the oracle found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Samples found as they should be.
    pub samples: u64,
    /// Of them samples whose request was never acknowledged.
    pub unacknowledged_samples: u64,
    /// Samples that had to be there.
    pub acknowledged_samples: u64,
    /// Queries made.
    pub queries: u64,
    /// What is wrong.
    pub differences: Differences,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.unacknowledged_samples += other.unacknowledged_samples;
        self.acknowledged_samples += other.acknowledged_samples;
        self.queries += other.queries;
        self.differences.merge(other.differences);
    }

    fn compared(&mut self, compared: Compared) {
        self.queries += 1;
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
