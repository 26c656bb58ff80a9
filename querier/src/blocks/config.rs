//! How blocks are read.

use std::time::Duration;

use settings::ByteSize;

settings::section! {
    /// How queriers read blocks from the bucket.
    pub struct BlocksConfig ("blocks") {
        /// A bucket index that nobody has written for longer makes queries fail; 0 for none. Only for buckets whose index
        /// is written at an interval, as the compactors of Mimir and Cortex do.
        max_index_age: Duration = "0";
        /// Blocks that were marked to be deleted are read for so long: queriers that do not know yet by what they were
        /// replaced read them, too.
        read_marked_for: Duration = "1h", range "0s"..="30d";
        /// How many bytes of memory the headers of blocks may take: their symbols, and where their postings are.
        header_memory: ByteSize = "512MiB", min "1MiB";
        /// Headers that have not been used for so long leave the memory.
        header_idle: Duration = "1h", range "1s"..="30d";
        /// How many bytes of disk headers may take, so that they are not fetched again after a restart. Beyond it they are
        /// kept in memory alone.
        header_disk: ByteSize = "10GiB";
        /// How many bytes of memory pieces of indexes and chunks may take that have been fetched.
        cache_memory: ByteSize = "512MiB";
        /// How many bytes of disk they may take, for what memory has no room for and for the time after a restart; 0 for
        /// none. A bucket of files has none in any case.
        cache_disk: ByteSize = "2GiB";
        /// How many blocks of a query are opened at the same time.
        max_parallel_opens: usize = "16", range "1"..="1024";
        /// With bucket.layout: thanos, labels that tell replicas from each other: they are dropped, and what is the same
        /// then is one series.
        replica_labels: Vec<String> = "";
    }
}
