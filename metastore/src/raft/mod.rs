//! Raft between nodes: openraft's network over gRPC, and the service that answers it.

mod network;
mod service;

pub(crate) use network::Network;
pub(crate) use service::{Freshness, RaftService};
