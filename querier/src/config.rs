//! What the querier can be told, and the limits of its tenants.

use std::time::Duration;

use rpc::api::CorsOrigins;
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
        /// How many queries of rules are evaluated at the same time, beside those of people; further ones wait.
        rules_max_concurrent: usize = "20", range "1"..="10000";
        /// On how many threads parts of one query may run at the same time, and of all queries together about as many; 0 for
        /// one per processor.
        compute_threads: usize = "0", range "0"..="1024";
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
        /// A selection of more bytes of series and chunks than this is read while its query runs, a part at a time, rather than
        /// held until its end, unless the query needs it more than once.
        stream_selections_from: ByteSize = "16MiB", min "1KiB";
        /// Whether running queries are written down in the data directory, so that those that ran when the process
        /// ended are logged at the next start.
        active_query_log: bool = "true";
        /// The origins whose scripts may use the API, as a regular expression that the whole origin has to match.
        cors_origin: String = ".*";
        /// How many samples one query of a remote read returns at most, where they are returned as samples; 0 for no
        /// limit. Streamed chunks are limited by max_fetched_chunk_bytes_per_query alone.
        remote_read_sample_limit: u64 = "50000000";
        /// How many remote reads and federations run at the same time; further ones wait.
        remote_read_max_concurrent: usize = "10", range "1"..="10000";
        /// How large a frame of a streamed remote read may become before it is sent, about.
        remote_read_max_frame_bytes: ByteSize = "1MiB", range "1KiB"..="64MiB";
        /// How long ingesters hold samples that are nowhere else: whoever may have been written to within this time is asked.
        /// 0 for as long as samples are kept at all.
        ingesters_hold: Duration = "0";
        /// Ingesters are asked only by queries that reach back less than this far; 0: by all. Whatever ingesters keep to
        /// themselves for longer would be missing.
        query_ingesters_within: Duration = "0";
        /// Blocks are asked only by queries that reach back further than this; 0: by all. Not more than ingesters keep, and
        /// not more than querier.query_ingesters_within.
        query_store_after: Duration = "0";
        /// When zones have not answered after this time, another one is asked besides.
        zone_hedge_after: Duration = "500ms", range "1ms"..="1h";
        /// The largest limit that a search may ask for; 0 for no bound.
        search_max_limit: usize = "10000";
    }
    check querier_is_consistent;
}

fn querier_is_consistent(config: &QuerierConfig) -> Result<(), String> {
    let (within, after) = (config.query_ingesters_within, config.query_store_after);
    if !within.is_zero() && after > within {
        return Err(format!(
            "querier.query_store_after is {after:?}, more than querier.query_ingesters_within, {within:?}: nobody would be \
             asked about the time between them"
        ));
    }
    CorsOrigins::matching(&config.cors_origin).map(drop).map_err(|e| format!("querier.cors_origin: {e}"))
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
        /// How many chunks a query may select; 0 for no limit.
        max_fetched_chunks_per_query: usize = "0";
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
        /// Whether the tenant may use the cardinality API.
        cardinality_analysis_enabled: bool = "true";
        /// The largest limit that a cardinality request may ask for.
        cardinality_analysis_max_results: usize = "500";
        /// How many labels one request for the cardinality of label values may name.
        label_values_max_cardinality_label_names_per_request: usize = "100";
        /// How many distinct label values one cardinality request counts; more are an error.
        cardinality_max_label_values: usize = "20000000", range "1"..="1000000000";
        /// How many active series one request lists; more are an error.
        cardinality_max_active_series: usize = "2000000", range "1"..="1000000000";
        /// A series is active for so long after its newest sample.
        active_series_idle_timeout: Duration = "20m", range "1m"..="1d";
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
