//! What a node says of itself and of the cluster.

use proto::metastore::{NodeStatus, StatusResponse};

use crate::node::Inner;
use crate::service::header;

/// The state of the cluster as this node sees it.
pub(crate) fn of(node: &Inner) -> StatusResponse {
    let (records, leases, revision) =
        node.view.read(|state| (state.len(), state.leases().count(), state.revision()));
    let metrics = node.raft.metrics();
    let metrics = metrics.borrow().clone();
    let members = metrics.membership_config.membership();
    let voters: Vec<u64> = members.voter_ids().collect();
    let nodes = members.nodes().map(|(id, known)| NodeStatus {
        id: *id,
        node: Some(known.clone()),
        voter: voters.contains(id),
        leader: metrics.current_leader == Some(*id),
        matched_index: metrics
            .replication
            .as_ref()
            .and_then(|matched| matched.get(id).copied().flatten())
            .map(|id| id.index),
    });
    StatusResponse {
        header: header(node, revision),
        term: metrics.current_term,
        leader: metrics.current_leader.unwrap_or_default(),
        last_log_index: metrics.last_log_index.unwrap_or_default(),
        applied_index: metrics.last_applied.map_or(0, |id| id.index),
        snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
        purged_index: metrics.purged.map_or(0, |id| id.index),
        records: records as u64,
        leases: leases as u64,
        nodes: nodes.collect(),
    }
}
