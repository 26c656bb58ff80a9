//! What a process knows of the cluster that its data plane works in, all from one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TenantId;

use crate::{InstanceId, LostRange, Ring, ShardSize};

/// The ring, and what belongs to it: where its instances are, what zones have lost, how many ingesters tenants use. It
/// never changes; whoever watches the members makes a new one, and holders compare `Arc`s to see whether it is another.
#[derive(Debug, Clone)]
pub struct RingView {
    ring: Arc<Ring>,
    addresses: BTreeMap<InstanceId, Arc<str>>,
    lost: Vec<LostRange>,
    shards: BTreeMap<TenantId, ShardSize>,
    /// Of a tenant of which nothing is recorded: one ingester per zone, always.
    smallest: ShardSize,
}

impl RingView {
    /// A ring that never changes, of instances in this process: without addresses, losses, or tenants larger than an
    /// ingester.
    pub fn fixed(ring: Ring) -> Self {
        Self::new(ring, BTreeMap::new(), Vec::new(), [])
    }

    /// A view of a cluster: `addresses` (host:port) of the instances that have one, what zones have `lost`, and the
    /// shards of those tenants that have had more than one ingester per zone.
    pub fn new(
        ring: impl Into<Arc<Ring>>,
        addresses: BTreeMap<InstanceId, Arc<str>>,
        lost: Vec<LostRange>,
        shards: impl IntoIterator<Item = (TenantId, ShardSize)>,
    ) -> Self {
        Self {
            ring: ring.into(),
            addresses,
            lost,
            shards: shards.into_iter().collect(),
            smallest: ShardSize::new(1),
        }
    }

    /// The ring of all instances.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The same, to be shared with a view that differs in the rest.
    pub fn shared_ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring)
    }

    /// Where an instance serves gRPC (host:port); `None` where nobody has said so.
    pub fn address(&self, id: &InstanceId) -> Option<&Arc<str>> {
        self.addresses.get(id)
    }

    /// What zones cannot vouch for.
    pub fn lost(&self) -> &[LostRange] {
        &self.lost
    }

    /// How many ingesters per zone a tenant uses, and has used.
    pub fn shard_size(&self, tenant: &TenantId) -> &ShardSize {
        self.shards.get(tenant).unwrap_or(&self.smallest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Instance, Quorum};

    #[test]
    fn a_tenant_of_which_nothing_is_recorded_has_the_smallest_shard() {
        let id = InstanceId::new("a");
        let ring = Ring::new(Instance::all_active([(id.clone(), None)]), Quorum::at_bootstrap(3, 1));
        let tenant = |name: &str| TenantId::new(name).expect("a name");
        let large = (tenant("large"), ShardSize::new(7));
        let addresses = BTreeMap::from([(id.clone(), Arc::from("127.0.0.1:1"))]);
        let view = RingView::new(ring.expect("a ring"), addresses, Vec::new(), [large]);
        assert_eq!(view.shard_size(&tenant("large")).current(), 7);
        assert_eq!(*view.shard_size(&tenant("small")), ShardSize::new(1));
        assert_eq!(view.address(&id).map(|at| &**at), Some("127.0.0.1:1"));
        assert_eq!(view.address(&InstanceId::new("b")), None);
    }
}
