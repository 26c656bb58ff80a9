//! What a client of the metastore can be told.

use std::time::Duration;

settings::section! {
    /// The connection to the metastore.
    pub struct MembershipConfig ("metastore") {
        /// Where the metastore's nodes are, for the other processes of a cluster: host:port of each. Which of them leads
        /// is found out.
        addresses: Vec<String> = "";
        /// How long a call may take, repetitions included.
        call_timeout: Duration = "10s", range "100ms"..="5m";
        /// How long one attempt of a call may take.
        attempt_timeout: Duration = "3s", range "50ms"..="1m";
        /// How long this process counts as alive without renewing its lease.
        lease_ttl: Duration = "15s", range "500ms"..="1h";
        /// How often the last view is written to the disk, if it has changed.
        save_interval: Duration = "1s", range "10ms"..="10m";
        /// A watch that hears nothing for this long goes to another node. Longer than the metastore's
        /// watch_progress_interval.
        silence_timeout: Duration = "15s", range "100ms"..="10m";
        /// A node whose state is older than this, or that cannot tell, is left for another one.
        max_staleness: Duration = "10s", range "100ms"..="10m";
    }
}
