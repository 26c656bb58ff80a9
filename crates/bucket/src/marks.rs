//! Marks beside blocks: files that say what is to become of them. Mimir, Cortex and Thanos write the same.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The version of the file.
const VERSION: u32 = 1;

/// Says that a block is to be deleted once everybody has stopped to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    /// The block.
    #[serde(with = "crate::index::ulid_text")]
    pub id: Ulid,
    /// The version of the file: 1.
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub deletion_time: i64,
}

impl DeletionMark {
    /// The name of its file in the block's own folder.
    pub const FILE: &'static str = "deletion-mark.json";

    /// The mark of a block.
    pub fn new(id: Ulid, deletion_time: i64, details: impl Into<String>) -> Self {
        Self { id, version: VERSION, details: details.into(), deletion_time }
    }
}
