//! Several Alertmanagers with one metastore: what they have in common, and who tells, whoever dies.

mod cuts;
mod harness;
mod kills;
mod log;
mod state;
mod watched;
