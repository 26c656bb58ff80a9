//! What an ingester can be told.

use std::time::Duration;

use settings::ByteSize;

settings::choices! {
    /// When a write is safe enough to be acknowledged.
    pub enum WalSync {
        /// Once it is on the disk: nothing acknowledged is lost, whatever crashes.
        Always = "always",
        /// Once the operating system has it: a power failure loses what came since the last sync.
        Interval = "interval",
    }
}

settings::section! {
    /// The ingester: write-ahead log, snapshots, head.
    pub struct IngesterConfig ("ingester") {
        /// When a write is acknowledged: once it is on the disk, or, with `interval`, before that; then a power
        /// failure (not a crash of the process) loses up to `wal_sync_interval` of acknowledged samples.
        wal_sync: WalSync = "always";
        /// How often the log is synced with `wal_sync: interval`.
        wal_sync_interval: Duration = "100ms", range "1ms"..="1m";
        /// A file of the write-ahead log is not continued beyond this.
        wal_segment_size: ByteSize = "128MiB", range "1MiB"..="1GiB";
        /// Writes that wait for the disk may take up this much memory; beyond it they are refused with 503.
        wal_max_pending: ByteSize = "64MiB", range "1MiB"..="4GiB";
        /// How often a snapshot of the head is taken. A restart replays what the log has since the last one.
        snapshot_interval: Duration = "15m", range "1s"..="6h";
        /// A snapshot is taken earlier when the log has grown by this much since the last one.
        snapshot_wal_size: ByteSize = "512MiB", range "1MiB"..="1TiB";
        /// A series without a sample for this long gives up the buffer of its unfinished chunk.
        idle_timeout: Duration = "1h", range "1s"..="1d";
        /// Stored chunks that queries read lately are kept in so much memory, those of them that lie far apart in the files:
        /// a few of many series, asked for again and again, are not read again then. With 0 none are kept.
        chunk_cache_size: ByteSize = "8MiB", range "0B"..="16GiB";
        /// How long an ingester that leaves its ring may take to hand over what it has. Then it stops, and stays in the
        /// ring with all that it has.
        hand_over_timeout: Duration = "30m", range "1s"..="1d";
        /// How much time a block has, where there is a bucket. A day is a multiple of it, so that all ingesters cut at the
        /// same times.
        block_range: Duration = "2h", range "1m"..="1d";
        /// How long after its end a block is cut. Without it that is half of block_range.
        block_delay: Option<Duration> = "";
        /// How long after late samples came their time is cut once more.
        block_late_delay: Duration = "1h", range "1s"..="1d";
        /// Within which time after they were cut blocks are uploaded, at a random moment, so that not all ingesters do so at
        /// the same time.
        block_upload_jitter: Duration = "2m", max "1h";
        /// How long samples stay here at least, also when they are in the bucket.
        block_keep: Duration = "4h", range "0"..="30d";
    }
    check blocks_are_aligned;
}

settings::limits! {
    /// What a tenant may have in one ingester.
    pub struct Limits {
        /// Series in memory; 0 means any number.
        max_global_series_per_user: usize = "0";
        /// Series in memory with one metric name; 0 means any number.
        max_global_series_per_metric: usize = "0";
        /// How much older than the newest sample of its series a sample may be; 0 means not at all.
        out_of_order_time_window: Duration = "0s", max "30d";
        /// Whether the start timestamps of remote write 2.0 are stored, for queries that use them. Chunks are then written in
        /// encodings that Prometheus reads from version 3.11 on (floats) and 3.14 on (histograms).
        start_timestamps: bool = "false";
        /// Exemplars kept; the oldest make room for new ones.
        max_global_exemplars_per_user: usize = "100000", max "10000000";
        /// Metric families whose metadata is kept; 0 means any number.
        max_global_metadata_per_user: usize = "0";
    }
}

/// Blocks of all ingesters, and those that are merged from them, begin and end at the same times.
fn blocks_are_aligned(config: &IngesterConfig) -> Result<(), String> {
    const DAY: Duration = Duration::from_secs(86_400);
    if DAY.as_millis().is_multiple_of(config.block_range.as_millis().max(1)) {
        return Ok(());
    }
    let range = settings::duration::print(config.block_range);
    Err(format!("ingester.block_range: a day is no multiple of {range}; expected 1h, 2h, 4h or the like"))
}
