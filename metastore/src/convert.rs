//! Between openraft's types and those of the `.proto` files, which are what is stored and sent.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{CommittedLeaderId, EntryPayload};
use proto::metastore as wire;

use crate::types::{Entry, LogId, Membership, SnapshotMeta, StoredMembership, Vote};

/// A message that lacks what it cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message without its {field}")]
pub(crate) struct Incomplete {
    pub(crate) field: &'static str,
}

/// The field's value, where it is there.
pub(crate) fn need<T>(value: Option<T>, field: &'static str) -> Result<T, Incomplete> {
    value.ok_or(Incomplete { field })
}

pub(crate) fn log_id_to_wire(id: &LogId) -> wire::LogId {
    wire::LogId { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub(crate) fn log_id(id: &wire::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term, id.leader), id.index)
}

pub(crate) fn vote_to_wire(vote: &Vote) -> wire::Vote {
    wire::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn vote(vote: &wire::Vote) -> Vote {
    if vote.committed { Vote::new_committed(vote.term, vote.node) } else { Vote::new(vote.term, vote.node) }
}

pub(crate) fn membership_to_wire(membership: &Membership) -> wire::Membership {
    let configs = membership.get_joint_config().iter();
    let members = membership.nodes().map(|(id, node)| wire::Member { id: *id, node: Some(node.clone()) });
    wire::Membership {
        configs: configs.map(|ids| wire::VoterSet { ids: ids.iter().copied().collect() }).collect(),
        members: members.collect(),
    }
}

pub(crate) fn membership(membership: &wire::Membership) -> Membership {
    let configs = membership.configs.iter().map(|set| set.ids.iter().copied().collect::<BTreeSet<u64>>());
    let nodes = membership.members.iter().map(|m| (m.id, m.node.clone().unwrap_or_default()));
    Membership::new(configs.collect(), nodes.collect::<BTreeMap<_, _>>())
}

pub(crate) fn stored_membership_to_wire(stored: &StoredMembership) -> wire::StoredMembership {
    wire::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_wire),
        membership: Some(membership_to_wire(stored.membership())),
    }
}

pub(crate) fn stored_membership(stored: &wire::StoredMembership) -> StoredMembership {
    let members = stored.membership.as_ref().map(membership).unwrap_or_default();
    StoredMembership::new(stored.log_id.as_ref().map(log_id), members)
}

pub(crate) fn entry_to_wire(entry: &Entry) -> wire::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(command) => Some(wire::entry::Payload::Command(command.clone())),
        EntryPayload::Membership(members) => {
            Some(wire::entry::Payload::Membership(membership_to_wire(members)))
        }
    };
    wire::Entry { log_id: Some(log_id_to_wire(&entry.log_id)), payload }
}

pub(crate) fn entry(entry: wire::Entry) -> Result<Entry, Incomplete> {
    let payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(wire::entry::Payload::Command(command)) => EntryPayload::Normal(command),
        Some(wire::entry::Payload::Membership(members)) => EntryPayload::Membership(membership(&members)),
    };
    Ok(Entry { log_id: log_id(&need(entry.log_id, "log id")?), payload })
}

pub(crate) fn snapshot_meta_to_wire(meta: &SnapshotMeta) -> wire::SnapshotMeta {
    wire::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_wire),
        last_membership: Some(stored_membership_to_wire(&meta.last_membership)),
        id: meta.snapshot_id.clone(),
    }
}

pub(crate) fn snapshot_meta(meta: &wire::SnapshotMeta) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id),
        last_membership: meta.last_membership.as_ref().map(stored_membership).unwrap_or_default(),
        snapshot_id: meta.id.clone(),
    }
}
