//! When an instance that is new in its ring may take writes.

use std::collections::BTreeSet;

use crate::{Instance, InstanceId, Ring, State};

impl Ring {
    /// Whether series that were written elsewhere go to the instance once it is active. Whoever reads by a ring without
    /// it would ask others for them, find a quorum, and miss what it has: so it stays joining, and takes no writes, until
    /// every reader has had the time to hear of it.
    ///
    /// It is not so for the first of a zone, as long as there are no more zones than replicas: a quorum counts a zone
    /// without instances as failed.
    pub fn displaces(&self, newcomer: &InstanceId) -> bool {
        let Some(own) = self.instances().iter().find(|instance| instance.id == *newcomer) else {
            return false;
        };
        let zones: BTreeSet<&str> = self
            .instances()
            .iter()
            .filter(|other| other.id != *newcomer && may_have_series(other, own))
            .map(Instance::zone_name)
            .collect();
        zones.contains(own.zone_name()) || zones.len() >= self.quorum().replication_factor()
    }
}

/// Whether `other` may own series already. Of two that are joining, the one that came first does not wait for the other,
/// so that those who found a cluster together do not wait for each other.
fn may_have_series(other: &Instance, own: &Instance) -> bool {
    let came_later = (other.member_since_ms, &other.id) > (own.member_since_ms, &own.id);
    other.state.has_tokens() && !(other.state == State::Joining && came_later)
}
