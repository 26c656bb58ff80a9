//! Load generator and correctness oracle for remote write receivers. It speaks public HTTP APIs only and knows
//! nothing of any server's inside, so that it measures and checks every one alike. Blocks of Prometheus are as public: it can
//! write them.

pub mod blocks;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod crash;
pub mod encode;
pub mod group;
pub mod latency;
pub mod ledger;
pub mod measure;
pub mod population;
pub mod process;
pub mod query;
pub mod report;
pub mod scenario;
pub mod verify;
pub mod write;
