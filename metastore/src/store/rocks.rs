//! The engine of production: RocksDB.

use std::path::Path;

use rocksdb::{
    ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIteratorWithThreadMode, Options, WriteBatch,
    WriteOptions,
};

use tokio::sync::watch;

use super::engine::{Batch, Durability, Engine, EngineError, Family, Pair, Write};

/// Memory for writes that are not in files yet, by family.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// The log of RocksDB itself is written to files when it has grown to this.
const MAX_WAL_BYTES: u64 = 64 << 20;
/// Background work: flushes and compactions.
const BACKGROUND_JOBS: i32 = 2;
/// Its own log files that RocksDB keeps.
const INFO_LOGS: usize = 2;

/// A RocksDB directory. One process uses it at a time.
pub struct RocksEngine {
    db: DB,
    /// Dropped after it.
    open: watch::Sender<()>,
}

impl RocksEngine {
    /// Opens a directory, which is made where it is missing.
    ///
    /// # Errors
    /// Where it is in use, damaged, or cannot be written.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        let mut options = family_options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_total_wal_size(MAX_WAL_BYTES);
        options.set_max_background_jobs(BACKGROUND_JOBS);
        options.set_keep_log_file_num(INFO_LOGS);
        // After a damaged record nothing is replayed: what follows could depend on it. A torn tail is what a crash
        // leaves, and was never acknowledged.
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
        // All families advance together, or a batch could survive in part.
        options.set_atomic_flush(true);
        let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family_options()));
        let db = DB::open_cf_descriptors(&options, dir, families).map_err(error)?;
        Ok(Self { db, open: watch::Sender::new(()) })
    }

    /// Waits until it has been dropped by all who use it, and closed. A process must not end before: threads of RocksDB
    /// would find what they use gone, and abort it.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut open = self.open.subscribe();
        async move { while open.changed().await.is_ok() {} }
    }

    fn family(&self, family: Family) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family was opened")
    }
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

impl Engine for RocksEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.db.get_cf(self.family(family), key).map_err(error)
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        let mut pairs = self.db.raw_iterator_cf(self.family(family));
        pairs.seek(from);
        while let Some((key, value)) = pairs.item() {
            if !visit(key, value) {
                break;
            }
            pairs.next();
        }
        pairs.status().map_err(error)
    }

    fn last(&self, family: Family) -> Result<Option<Pair>, EngineError> {
        let mut pairs: DBRawIteratorWithThreadMode<'_, DB> = self.db.raw_iterator_cf(self.family(family));
        pairs.seek_to_last();
        pairs.status().map_err(error)?;
        Ok(pairs.item().map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut writes = WriteBatch::default();
        for write in batch.writes {
            match write {
                Write::Put(family, key, value) => writes.put_cf(self.family(family), key, value),
                Write::Delete(family, key) => writes.delete_cf(self.family(family), key),
                Write::DeleteRange(family, from, to) => {
                    writes.delete_range_cf(self.family(family), from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db.write_opt(writes, &options).map_err(error)
    }
}

fn error(error: rocksdb::Error) -> EngineError {
    EngineError { message: error.into_string() }
}
