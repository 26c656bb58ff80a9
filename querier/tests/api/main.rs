//! The query API against ingesters in memory that hold real chunks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
mod fake;
mod grafana;
mod labels;
mod limits;
mod opt_in;
mod query;
mod replicas;
mod scheduling;
mod stats;
mod syntax;
