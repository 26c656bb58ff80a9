//! Who gets what an instance holds when it leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{SeriesHash, TenantSeed};
use thiserror::Error;

use crate::{Instance, InstanceId, Quorum, Ring, RingError, ShardSize, State, WriteShard};

/// Why an instance cannot hand over what it has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoHeir {
    /// It is not in the ring.
    #[error("{id} is not in the ring")]
    Unknown {
        /// The instance.
        id: InstanceId,
    },
    /// Nobody in its zone could take what it has.
    #[error(
        "zone {zone} has no other instance that takes writes, so nobody there can take over what {id} has: start \
         another one in the zone first"
    )]
    LastOfZone {
        /// The instance.
        id: InstanceId,
        /// Its zone.
        zone: String,
    },
    /// Too few instances would be left.
    #[error(
        "without {id} there are {left} instances that take writes, and every series has {replication_factor} replicas: \
         start another one first"
    )]
    TooFewLeft {
        /// The instance.
        id: InstanceId,
        /// How many others take writes.
        left: usize,
        /// How many replicas a series has.
        replication_factor: usize,
    },
    /// A ring that cannot be made.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// Rings from which the heirs of one instance are seen.
#[derive(Debug, Clone)]
pub struct Heirs {
    /// Where it stands in no zone: the ring as if it stayed. Who has a replica already need not get one.
    before: Option<Arc<Ring>>,
    after: Arc<Ring>,
}

/// The same, for one tenant.
#[derive(Debug, Clone)]
pub struct TenantHeirs {
    before: Option<Owners>,
    after: Owners,
}

/// Who takes a tenant's series in a ring.
#[derive(Debug, Clone)]
struct Owners {
    ring: Arc<Ring>,
    shard: WriteShard,
}

impl Owners {
    fn of(&self, hash: SeriesHash) -> impl Iterator<Item = &InstanceId> {
        self.shard.lookup(&self.ring, hash).iter().map(|i| &self.ring.instances()[i].id)
    }
}

impl Ring {
    /// Who is to get what `leaving` holds, once it is gone: in a zone, those of its zone that own it then; without zones,
    /// those that become replicas then. They are asked by every read from then on ([`Ring::read_shard`]), because they take
    /// the tenant's writes.
    ///
    /// # Errors
    /// Where nobody could take it.
    pub fn heirs(&self, leaving: &InstanceId) -> Result<Heirs, NoHeir> {
        let own = self.instances().iter().find(|i| i.id == *leaving);
        let own = own.ok_or_else(|| NoHeir::Unknown { id: leaving.clone() })?;
        let others = || self.instances().iter().filter(|other| other.id != *leaving);
        if own.zone.is_some() {
            let zone: Vec<Instance> = others().filter(|other| other.zone == own.zone).cloned().collect();
            if !zone.iter().any(Instance::takes_writes) {
                return Err(NoHeir::LastOfZone { id: leaving.clone(), zone: own.zone_name().to_owned() });
            }
            return Ok(Heirs { before: None, after: Arc::new(Self::new(zone, Quorum::new(1))?) });
        }
        let replication_factor = self.quorum().replication_factor();
        let writers = others().filter(|other| other.takes_writes());
        let left = writers.map(Instance::zone_name).collect::<BTreeSet<_>>().len();
        if left < replication_factor {
            return Err(NoHeir::TooFewLeft { id: leaving.clone(), left, replication_factor });
        }
        let stayed = Instance { state: State::Active, read_only: false, ..own.clone() };
        let before = others().cloned().chain([stayed]).collect();
        Ok(Heirs {
            before: Some(Arc::new(Self::new(before, self.quorum())?)),
            after: Arc::new(Self::new(others().cloned().collect(), self.quorum())?),
        })
    }
}

impl Heirs {
    /// The heirs of one tenant's series.
    pub fn of_tenant(&self, tenant: TenantSeed, size: &ShardSize) -> TenantHeirs {
        let owners =
            |ring: &Arc<Ring>| Owners { ring: Arc::clone(ring), shard: ring.write_shard(tenant, size) };
        TenantHeirs { before: self.before.as_ref().map(owners), after: owners(&self.after) }
    }
}

impl TenantHeirs {
    /// Those who are to get a series: none where every replica that there will be exists already.
    pub fn of(&self, hash: SeriesHash) -> Vec<&InstanceId> {
        let had: Vec<&InstanceId> = self.before.iter().flat_map(|before| before.of(hash)).collect();
        self.after.of(hash).filter(|heir| !had.contains(heir)).collect()
    }
}
