//! Where log and state are kept: openraft's storage, written once over an ordered key-value [`Engine`] of which there
//! are two. Keys and values are drawn in `docs/formats/metastore.md`.

mod engine;
pub(crate) mod identity;
mod keys;
#[expect(clippy::result_large_err, reason = "openraft's error, as its traits want it")]
mod log;
mod machine;
mod memory;
mod rocks;

pub use engine::{Batch, Durability, Engine, EngineError, Family, Pair, Write};
pub use identity::{Identity, IdentityError};
pub use log::LogStore;
pub(crate) use machine::restored;
pub use machine::{Builder, Machine, Progress, View};
pub use memory::MemoryEngine;
pub use rocks::RocksEngine;
