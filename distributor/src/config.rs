//! What the distributor can be told: its own configuration and the limits of tenants.

use std::time::Duration;

use relabel::Rule;
use settings::{ByteSize, Nested};

settings::section! {
    /// The front door for writes.
    pub struct DistributorConfig ("distributor") {
        /// The largest write request, as it is sent and decompressed. Larger ones are refused with 413.
        max_recv_msg_size: ByteSize = "100MiB", range "1KiB"..="1GiB";
        /// How long the body of a write request may take to arrive.
        body_read_timeout: Duration = "30s", range "1s"..="10m";
        /// How long an ingester may take to store its part of a write before it counts as failed.
        remote_timeout: Duration = "10s", range "100ms"..="5m";
        /// How many write requests may be under way; beyond it they are refused with 503.
        max_inflight_push_requests: usize = "2000", min "1";
        /// How many bytes write requests under way may occupy together, as sent and decompressed; beyond it they are
        /// refused with 503.
        max_inflight_push_requests_bytes: ByteSize = "1GiB", min "1MiB";
        /// What clients are told to wait after a 503.
        retry_after: Duration = "2s", range "1s"..="10m";
        /// How long the elected replica of an HA pair may be silent before another is elected.
        ha_tracker_failover_timeout: Duration = "30s", range "1s"..="1h";
        /// How often distributors tell each other, through the metastore, that they hear of an elected replica; at least
        /// twice per failover timeout.
        ha_tracker_update_timeout: Duration = "15s", range "1s"..="1h";
        /// How long a write waits for an election. Where none can be held, all replicas of the pair are taken for a
        /// while.
        ha_tracker_election_timeout: Duration = "1s", range "10ms"..="1m";
    }
}

settings::limits! {
    /// Limits of writes, by tenant. The names are those of Mimir and Cortex where they have the limit.
    pub struct WriteLimits {
        /// Samples and histograms per second that a distributor takes from the tenant; 0 means no limit. A request over it
        /// is refused as a whole with 429.
        ingestion_rate: f64 = "0", min "0";
        /// How many samples and histograms may come at once on top of the rate. No request can be larger.
        ingestion_burst_size: u64 = "200000", min "1";
        /// The largest decompressed write request of the tenant.
        max_write_request_size: ByteSize = "100MiB", range "1KiB"..="1GiB";
        /// The longest label name in bytes.
        max_label_name_length: usize = "1024", min "1";
        /// The longest label value in bytes.
        max_label_value_length: usize = "2048", min "1";
        /// The most labels of one series, its name included.
        max_label_names_per_series: usize = "30", min "1";
        /// The longest help text, unit or name in metadata; longer help texts are cut, other entries refused.
        max_metadata_length: usize = "1024", min "1";
        /// How far in the future a sample may be.
        creation_grace_period: Duration = "10m";
        /// Whether to take samples from only one replica of each HA pair of Prometheus servers.
        accept_ha_samples: bool = "false";
        /// The label that names the HA pair.
        ha_cluster_label: String = "cluster";
        /// The label that names the replica within an HA pair; it is removed.
        ha_replica_label: String = "__replica__";
        /// The most HA pairs of the tenant.
        ha_max_clusters: usize = "100", range "1"..="100000";
        /// Labels that are removed from every series.
        drop_labels: Vec<String> = "";
        /// Relabelling rules that are applied to every series, as in Prometheus.
        metric_relabel_configs: Nested<Vec<Rule>> = "[]";
    }
}

impl WriteLimits {
    /// Whether series can be stored with other labels than they were sent with.
    pub(crate) fn changes_labels(&self) -> bool {
        self.accept_ha_samples || !self.drop_labels.is_empty() || !self.metric_relabel_configs.is_empty()
    }
}
