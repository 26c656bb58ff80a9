//! An ordered key-value store, as little of it as log and state need.

use std::fmt;

/// A key space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Single values: identity, vote, what was applied.
    Meta,
    /// Entries of the log, by index.
    Log,
    /// Records of the state, by key.
    Records,
    /// Events that are remembered, by revision.
    Events,
    /// Transactions that are remembered, by revision.
    Done,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Meta, Self::Log, Self::Records, Self::Events, Self::Done];

    /// The name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Log => "log",
            Self::Records => "records",
            Self::Events => "events",
            Self::Done => "done",
        }
    }
}

/// When a write is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once it survives a power failure, and with it every write before.
    Synced,
    /// Once it can be read. After a power failure it may be missing, and then so are all later writes that were not
    /// synced.
    Buffered,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(Family, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Family, Vec<u8>),
    /// Removes the keys from the first, which is in it, to the second, which is not.
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

/// Changes that are made together or not at all, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes.
    pub writes: Vec<Write>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write::Put(family, key.into(), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Delete(family, key.into()));
    }

    /// Removes the keys from `from` to before `to`.
    pub fn delete_range(&mut self, family: Family, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.writes.push(Write::DeleteRange(family, from.into(), to.into()));
    }
}

/// A failure of the store. It is final: nothing can be relied on afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineError {
    /// What the store said.
    pub message: String,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An ordered key-value store. Calls block.
pub trait Engine: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Calls `visit` with every pair from `from` on, in order, until it says to stop.
    ///
    /// # Errors
    /// Where the store fails.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError>;

    /// The greatest key with its value.
    ///
    /// # Errors
    /// Where the store fails.
    fn last(&self, family: Family) -> Result<Option<Pair>, EngineError>;

    /// Makes a batch of changes.
    ///
    /// # Errors
    /// Where the store fails. Whether the changes were made is not known then.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;
}
