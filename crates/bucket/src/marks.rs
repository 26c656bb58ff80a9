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

/// Says that a block must not be merged: somebody wants it as it is, or it is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    /// The block.
    #[serde(with = "crate::index::ulid_text")]
    pub id: Ulid,
    /// The version of the file: 1.
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub no_compact_time: i64,
    /// Why, in a word for programs.
    #[serde(default)]
    pub reason: String,
}

impl NoCompactMark {
    /// The name of its file in the block's own folder.
    pub const FILE: &'static str = "no-compact-mark.json";

    /// The mark of a block.
    pub fn new(
        id: Ulid,
        no_compact_time: i64,
        reason: impl Into<String>,
        details: impl Into<String>,
    ) -> Self {
        Self { id, version: VERSION, details: details.into(), no_compact_time, reason: reason.into() }
    }
}

/// Says that everything of a tenant is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantDeletionMark {
    /// Since when, in seconds since the Unix epoch.
    pub deletion_time: i64,
    /// When nothing else was left, likewise; 0 until then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub finished_time: i64,
}

impl TenantDeletionMark {
    /// The name of its file among the tenant's marks.
    pub const FILE: &'static str = "tenant-deletion-mark.json";
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
