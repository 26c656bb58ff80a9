//! What is said in the log about the cluster: one line for every change of it.

use std::collections::BTreeSet;

use openraft::RaftMetrics;
use parking_lot::Mutex;
use proto::metastore::Node;

use crate::types::Raft;

/// Says who leads, whenever it is another one, until the node stops.
pub(crate) async fn observe(raft: Raft) {
    let mut metrics = raft.metrics();
    let mut seen = Seen::default();
    loop {
        seen.look(&metrics.borrow_and_update());
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// What was said last.
#[derive(Default)]
struct Seen {
    leader: Option<(u64, u64)>,
    failed: bool,
}

impl Seen {
    fn look(&mut self, now: &RaftMetrics<u64, Node>) {
        if let Err(error) = &now.running_state
            && !std::mem::replace(&mut self.failed, true)
        {
            // A clean stop is one of these.
            tracing::info!(%error, "the metastore's node no longer takes part");
        }
        let term = now.current_term;
        let Some(changed) = self.changed(now.current_leader, term) else { return };
        match changed {
            Some(id) => {
                let node = now.membership_config.membership().get_node(&id);
                let name = node.map_or("unknown", |node| node.name.as_str());
                tracing::info!(leader = name, term, own = id == now.id, "the metastore has a leader");
            }
            None => tracing::warn!(term, "the metastore has no leader; an election is under way"),
        }
    }

    /// The leader now, where that is news.
    fn changed(&mut self, leader: Option<u64>, term: u64) -> Option<Option<u64>> {
        let now = leader.map(|leader| (leader, term));
        (std::mem::replace(&mut self.leader, now) != now).then_some(leader)
    }
}

/// Which nodes did not answer last.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    nodes: Mutex<BTreeSet<u64>>,
}

impl Unanswered {
    /// A node has answered.
    pub(crate) fn answered(&self, id: u64, name: &str) {
        if self.nodes.lock().remove(&id) {
            tracing::info!(node = name, "a node of the metastore answers again");
        }
    }

    /// A node has not answered, for a reason.
    pub(crate) fn silent(&self, id: u64, name: &str, reason: &str) {
        if self.nodes.lock().insert(id) {
            tracing::warn!(node = name, reason, "a node of the metastore does not answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_leader_or_term_is_news() {
        let mut seen = Seen::default();
        assert_eq!(seen.changed(None, 1), None);
        assert_eq!(seen.changed(Some(7), 1), Some(Some(7)));
        assert_eq!(seen.changed(Some(7), 1), None);
        assert_eq!(seen.changed(None, 2), Some(None));
        assert_eq!(seen.changed(None, 3), None);
        assert_eq!(seen.changed(Some(7), 4), Some(Some(7)));
        assert_eq!(seen.changed(Some(7), 5), Some(Some(7)));
    }

    #[test]
    fn a_node_is_silent_once() {
        let nodes = Unanswered::default();
        nodes.silent(1, "a", "refused");
        nodes.silent(1, "a", "refused");
        assert_eq!(nodes.nodes.lock().len(), 1);
        nodes.answered(1, "a");
        assert!(nodes.nodes.lock().is_empty());
    }
}
