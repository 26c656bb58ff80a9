//! What a metastore node can be told.

use std::time::Duration;

use proto::metastore::Node;
use settings::{Expected, Setting};

settings::section! {
    /// A node of the metastore.
    pub struct MetastoreConfig ("metastore") {
        /// The node's name. It stays when the disk is replaced, and says whose place the new one takes.
        name: String = "metastore";
        /// The nodes that found the cluster: name=host:port of each, this one included; 1, 3 or 5. Without any, this
        /// node is a cluster by itself. Once the cluster exists, they are the nodes that may take a place in it
        /// without being asked.
        voters: Vec<Peer> = "";
        /// How often the leader says that it is there. A message that takes longer is given up and sent again.
        heartbeat_interval: Duration = "200ms", range "10ms"..="10s";
        /// A new leader is elected when the former has not been heard of for about two to three times this long.
        election_timeout: Duration = "400ms", range "30ms"..="1m";
        /// A snapshot is taken, and the log shortened, after so many entries.
        snapshot_entries: u64 = "10000", range "10"..="10000000";
        /// Entries that are kept behind a snapshot, for nodes that are a little late.
        kept_entries: u64 = "2000", range "0"..="10000000";
        /// How often leases are looked at for being over.
        lease_check_interval: Duration = "200ms", range "10ms"..="1m";
        /// How long a write may take where its caller sets no deadline.
        write_timeout: Duration = "5s", range "100ms"..="1m";
        /// How often a watch is told that nothing has happened.
        watch_progress_interval: Duration = "5s", range "10ms"..="10m";
        /// A watch is told of changes at most this often: what changes meanwhile is told together.
        watch_gap: Duration = "50ms", range "0s"..="10s";
        /// Renewals of leases that come within this time are confirmed by one question to a quorum.
        renewal_gap: Duration = "50ms", range "0s"..="1s";
    }
    check check;
}

fn check(config: &MetastoreConfig) -> Result<(), String> {
    if config.election_timeout < 2 * config.heartbeat_interval {
        return Err(format!(
            "election_timeout is {:?} and heartbeat_interval {:?}; it must be at least twice as long",
            config.election_timeout, config.heartbeat_interval
        ));
    }
    if config.voters.is_empty() {
        return Ok(());
    }
    if !matches!(config.voters.len(), 1 | 3 | 5) {
        return Err(format!("voters are {}; there must be 1, 3 or 5", config.voters.len()));
    }
    let mut names: Vec<&str> = config.voters.iter().map(|peer| peer.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != config.voters.len() {
        return Err("voters has a name twice".to_owned());
    }
    Ok(())
}

/// A node's name and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name.
    pub name: String,
    /// host:port
    pub address: String,
}

impl Peer {
    /// As messages have it.
    pub fn node(&self) -> Node {
        Node { name: self.name.clone(), address: self.address.clone() }
    }
}

impl Setting for Peer {
    const TYPE: &'static str = "peer";

    fn parse(text: &str) -> Result<Self, Expected> {
        match text.split_once('=') {
            Some((name, address)) if !name.is_empty() && address.contains(':') => {
                Ok(Self { name: name.to_owned(), address: address.to_owned() })
            }
            _ => Err("name=host:port".into()),
        }
    }

    fn print(&self) -> String {
        format!("{}={}", self.name, self.address)
    }
}
