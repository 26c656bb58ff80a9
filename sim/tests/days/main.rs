//! Three days of a cluster: three ingesters in three zones, a distributor, queriers and two compactors as they are, on a clock that
//! is moved on, with a bucket. What is asked is answered with the same bits as by an ingester that has everything in memory,
//! before, while and after blocks are merged, whatever dies in between; in the end the bucket has one copy of each sample.
//!
//! Blocks have two hours here, and ingesters and compactors the delays that they have elsewhere; the other simulation of this crate
//! has seconds, and faults of everything.

mod alone;
mod answers;
mod blocks;
mod cluster;
mod data;
mod kills;
mod leases;
mod promtool;
mod three_days;
mod world;
