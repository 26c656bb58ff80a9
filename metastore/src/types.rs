//! The types that openraft is used with.

use bytes::Bytes;
use proto::metastore::{Command, Node, Outcome};

use crate::runtime::ScopedRuntime;

openraft::declare_raft_types!(
    /// Commands in, outcomes out; nodes are numbers drawn with their data directory.
    pub TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = u64,
        Node = Node,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Bytes,
        AsyncRuntime = ScopedRuntime,
);

/// A running Raft node.
pub type Raft = openraft::Raft<TypeConfig>;
/// A place in the log.
pub type LogId = openraft::LogId<u64>;
/// Who was voted for.
pub type Vote = openraft::Vote<u64>;
/// An entry of the log.
pub type Entry = openraft::Entry<TypeConfig>;
/// Voters and learners.
pub type Membership = openraft::Membership<u64, Node>;
/// Voters and learners, and which entry made them so.
pub type StoredMembership = openraft::StoredMembership<u64, Node>;
/// What a snapshot is of.
pub type SnapshotMeta = openraft::SnapshotMeta<u64, Node>;
/// A snapshot: what it is of, and an image of the state.
pub type Snapshot = openraft::Snapshot<TypeConfig>;
/// A failure of log or state.
pub type StorageError = openraft::StorageError<u64>;
