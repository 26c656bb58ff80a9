//! What a compactor can be told.

use std::time::Duration;

use compact::Ladder;
use settings::ByteSize;

settings::section! {
    /// The compactor: blocks merged into larger ones, and removed.
    pub struct CompactorConfig ("compactor") {
        /// How often the blocks of tenants are looked at.
        interval: Duration = "5m", range "1s"..="1d";
        /// The times that blocks grow into, each a multiple of the one before; the first is ingester.block_range.
        ranges: Vec<Duration> = "2h,12h,24h,7d";
        /// How long after the end of such a time blocks of it are expected. Longer than ingester.block_delay (half of
        /// ingester.block_range where that is not set) and ingester.block_upload_jitter together.
        wait: Duration = "90m", range "0s"..="30d";
        /// How long a block of an ingester is left alone after its upload, so that those of its replicas can come.
        settle: Duration = "10m", range "0s"..="1d";
        /// How long a block stays in the bucket after it was marked to be deleted. Longer than blocks.read_marked_for and
        /// than the longest query.
        deletion_delay: Duration = "12h", range "0s"..="30d";
        /// How often a tenant's folders are listed, to find blocks that somebody copied there and what uploads left that
        /// never came to their end.
        list_interval: Duration = "1h", range "1s"..="30d";
        /// What an upload left is removed once it is so old.
        partial_after: Duration = "1d", range "1h"..="30d";
        /// How many jobs run at the same time.
        concurrency: usize = "1", range "1"..="64";
        /// How many bytes a block is to have at most; where there are more, series are divided among several.
        max_block_size: ByteSize = "64GiB", min "1MiB";
        /// How long a job that failed is left alone, at first; each time twice as long, up to 6 hours.
        retry_wait: Duration = "1m", range "1s"..="1h";
        /// How long the lease of this process must hold beyond the moment in which a job is finished.
        lease_margin: Duration = "2s", range "0s"..="1m";
    }
    check ranges_make_a_ladder;
}

settings::limits! {
    /// What becomes of a tenant's blocks.
    pub struct CompactorLimits {
        /// Blocks all of whose samples are older are removed; 0: none are.
        compactor_blocks_retention_period: Duration = "0s", max "100y";
        /// How many series a block is to have at most; where there are more, they are divided among several.
        compactor_max_block_series: u64 = "4000000", range "1000"..="1000000000";
    }
}

fn ranges_make_a_ladder(config: &CompactorConfig) -> Result<(), String> {
    config.ladder().map(|_| ())
}

impl CompactorConfig {
    /// The times that blocks grow into.
    ///
    /// # Errors
    /// In words, where they do not fit into each other.
    pub fn ladder(&self) -> Result<Ladder, String> {
        let lengths: Vec<i64> = self.ranges.iter().map(|range| whole_ms(*range)).collect();
        Ladder::new(lengths).map_err(|error| format!("compactor.ranges: {error}"))
    }
}

/// A duration in milliseconds.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
