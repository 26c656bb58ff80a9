//! Log and vote. Both are acknowledged once they are on the disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use env::Scope;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, OptionalSend, RaftLogReader, StorageIOError};
use prost::Message;
use proto::metastore as wire;

use super::engine::{Batch, Durability, Engine, EngineError, Family};
use super::keys;
use crate::convert;
use crate::types::{Entry, LogId, StorageError, TypeConfig, Vote};

/// At most so many bytes of entries are sent in one message, unless the first has more by itself.
const MAX_READ_BYTES: usize = 4 << 20;

/// The log of a node. Clones are the same log.
#[derive(Clone)]
pub struct LogStore {
    engine: Arc<dyn Engine>,
    scope: Scope,
}

impl LogStore {
    /// The log in `engine`, whose work that blocks runs in `scope`.
    pub fn new(engine: Arc<dyn Engine>, scope: Scope) -> Self {
        Self { engine, scope }
    }

    /// Runs what blocks away from the threads that serve I/O.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Engine) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, io::Error> {
        let engine = Arc::clone(&self.engine);
        let done = self.scope.run_blocking(move || work(&*engine)).await;
        done.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    async fn write(&self, batch: Batch) -> Result<(), io::Error> {
        self.blocking(move |engine| engine.write(batch, Durability::Synced)).await
    }

    async fn log_id(&self, key: &'static [u8]) -> Result<Option<LogId>, StorageError> {
        let stored = self
            .blocking(move |engine| engine.get(Family::Meta, key))
            .await
            .map_err(|error| read_failed(&error))?;
        let id = stored.map(|bytes| decode::<wire::LogId>(&bytes)).transpose()?;
        Ok(id.map(|id| convert::log_id(&id)))
    }

    async fn last_log_id(&self) -> Result<Option<LogId>, StorageError> {
        let last =
            self.blocking(|engine| engine.last(Family::Log)).await.map_err(|error| read_failed(&error))?;
        last.map(|(_, bytes)| Ok(entry(&bytes)?.log_id)).transpose()
    }

    /// Entries from `first` to before `end`, until they have so many bytes.
    async fn entries(&self, first: u64, end: u64, max_bytes: usize) -> Result<Vec<Entry>, StorageError> {
        let stored = self.blocking(move |engine| {
            let mut stored = Vec::new();
            let mut bytes = 0;
            engine.scan(Family::Log, &keys::entry(first), &mut |key, value| {
                if keys::index(key).is_none_or(|index| index >= end) || bytes >= max_bytes {
                    return false;
                }
                bytes += value.len();
                stored.push(value.to_vec());
                true
            })?;
            Ok(stored)
        });
        let stored = stored.await.map_err(|error| read_failed(&error))?;
        stored.iter().map(|bytes| entry(bytes)).collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(first, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.entries(start, end, MAX_READ_BYTES).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let last_purged_log_id = self.log_id(keys::PURGED).await?;
        let last_log_id = self.last_log_id().await?.or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        batch.put(Family::Meta, keys::VOTE, convert::vote_to_wire(vote).encode_to_vec());
        self.write(batch).await.map_err(|error| StorageIOError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let stored = self.blocking(|engine| engine.get(Family::Meta, keys::VOTE)).await;
        let stored = stored.map_err(|error| StorageIOError::read_vote(AnyError::new(&error)))?;
        let vote = stored.map(|bytes| decode::<wire::Vote>(&bytes)).transpose()?;
        Ok(vote.map(|vote| convert::vote(&vote)))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        match committed {
            Some(id) => {
                batch.put(Family::Meta, keys::COMMITTED, convert::log_id_to_wire(&id).encode_to_vec());
            }
            None => batch.delete(Family::Meta, keys::COMMITTED),
        }
        // It only saves asking again after a restart.
        let done = self.blocking(move |engine| engine.write(batch, Durability::Buffered)).await;
        done.map_err(|error| write_failed(&error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        self.log_id(keys::COMMITTED).await
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = Batch::default();
        for entry in entries {
            let key = keys::entry(entry.log_id.index);
            batch.put(Family::Log, key, convert::entry_to_wire(&entry).encode_to_vec());
        }
        let written = self.write(batch).await;
        let failed = written.as_ref().err().map(write_failed);
        callback.log_io_completed(written);
        failed.map_or(Ok(()), Err)
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        batch.delete_range(Family::Log, keys::entry(log_id.index), keys::entry(u64::MAX));
        self.write(batch).await.map_err(|error| write_failed(&error))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        batch.delete_range(Family::Log, keys::entry(0), keys::entry(log_id.index.saturating_add(1)));
        batch.put(Family::Meta, keys::PURGED, convert::log_id_to_wire(&log_id).encode_to_vec());
        // Synced, and with it the state that has what the entries said: it was written before.
        self.write(batch).await.map_err(|error| write_failed(&error))
    }
}

fn entry(bytes: &[u8]) -> Result<Entry, StorageError> {
    convert::entry(decode::<wire::Entry>(bytes)?)
        .map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, StorageError> {
    M::decode(bytes).map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
}

fn read_failed(error: &io::Error) -> StorageError {
    StorageIOError::read_logs(AnyError::new(error)).into()
}

fn write_failed(error: &io::Error) -> StorageError {
    StorageIOError::write_logs(AnyError::new(error)).into()
}
