//! The distributor behind its real router and through its `Write` trait, with ingesters that keep what they get.

mod allocations;
mod conformance;
mod harness;
mod labels;
mod limits;
mod quorum;
mod random;
mod rules;
mod zones;
