//! What the querier can be told, and the limits of its tenants.

use std::time::Duration;

use settings::ByteSize;

settings::section! {
    /// The querier: evaluates queries.
    pub struct QuerierConfig ("querier") {
        /// How long a query may take, waiting included. A request may ask for less.
        timeout: Duration = "2m", range "1s"..="1h";
        /// How many queries are evaluated at the same time.
        max_concurrent: usize = "20", range "1"..="10000";
        /// How many queries of all tenants may wait for their turn. Further ones are refused with 503. See also
        /// limits.max_queued_queries.
        max_queued: usize = "1000", range "0"..="100000";
        /// How far back an instant selector looks for a sample, unless a request says otherwise.
        lookback_delta: Duration = "5m", range "1s"..="1d";
        /// The step of subqueries that name none.
        default_evaluation_interval: Duration = "1m", range "1s"..="1d";
        /// How many samples a query may hold in memory at a time.
        max_samples: u64 = "50000000", min "1000";
        /// How many bytes of samples and series a query may hold in memory at a time, besides the chunks it selects.
        max_memory_bytes: ByteSize = "2GiB", min "1MiB";
        /// How many bytes of chunks, samples and series all running queries may hold together. A query that needs more
        /// fails with 503. The first 8 MiB of a query are granted and not counted, so that small ones run whatever
        /// others hold.
        max_total_memory_bytes: ByteSize = "4GiB", min "1MiB";
        /// Whether running queries are written down in the data directory, so that those that ran when the process
        /// ended are logged at the next start.
        active_query_log: bool = "true";
    }
}

settings::limits! {
    /// Limits of a tenant's queries.
    pub struct QuerierLimits {
        /// Whether queries may use what Prometheus keeps behind feature flags: experimental functions and aggregations,
        /// the modifiers anchored, smoothed and fill, and rates that use start timestamps. Metric names are dropped at
        /// the end of a query then rather than by each function.
        experimental_promql: bool = "false";
        /// How many queries of the tenant are evaluated at the same time; further ones wait. 0 for no limit but that of
        /// the process.
        max_concurrent_queries: usize = "10";
        /// How many queries of the tenant may wait. Further ones are refused with 429. 0 for no limit but that of the
        /// process.
        max_queued_queries: usize = "100";
        /// Whether each query of the tenant is logged, with what it cost.
        query_log: bool = "false";
        /// Queries of the tenant that take longer are logged and counted as slow; 0 for none.
        slow_query_threshold: Duration = "10s";
        /// Data older than this is not queried; 0 for no limit.
        max_query_lookback: Duration = "0";
        /// The longest time range of a query, from its start to its end; 0 for no limit.
        max_total_query_length: Duration = "0";
        /// How many series a query may select; 0 for no limit.
        max_fetched_series_per_query: usize = "500000";
        /// How many bytes of chunks a query may select; 0 for no limit.
        max_fetched_chunk_bytes_per_query: ByteSize = "1GiB";
        /// The longest time range of requests for series, label names and label values; longer ones are answered from
        /// their newest part. 0 for no limit.
        max_labels_query_length: Duration = "0";
        /// How many series one request for series returns; 0 for no limit.
        max_series_query_limit: usize = "100000";
        /// How many names one request for label names returns; 0 for no limit.
        max_label_names_limit: usize = "0";
        /// How many values one request for label values returns; 0 for no limit.
        max_label_values_limit: usize = "0";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_prometheus() {
        let config = QuerierConfig::default();
        assert_eq!(config.timeout, Duration::from_secs(120));
        assert_eq!(config.max_concurrent, 20);
        assert_eq!(config.lookback_delta, Duration::from_secs(300));
        assert_eq!(config.max_samples, 50_000_000);
        assert_eq!(QuerierLimits::default().max_query_lookback, Duration::ZERO);
    }
}
