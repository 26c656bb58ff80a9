//! Metastore clusters over loopback gRPC and RocksDB: leaders killed, disks replaced, members changed, leases, watches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failover;
mod leases;
mod linearizable;
mod members;
mod places;
mod requests;
mod support;
mod watches;
