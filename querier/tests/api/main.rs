//! The query API against ingesters in memory that hold real chunks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cardinality;
mod errors;
mod fake;
mod federate;
mod grafana;
mod labels;
mod limits;
mod opt_in;
mod query;
mod remote_read;
mod replicas;
mod scheduling;
mod search;
mod stats;
mod streaming;
mod syntax;
