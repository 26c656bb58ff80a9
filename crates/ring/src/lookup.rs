//! The ring itself: from a hash to the instances that store it.
//!
//! All answers are computed when a ring is made, one row per stretch between two tokens, because members change once
//! in a while and lookups happen once per series and request.

use std::collections::BTreeMap;

use model::SeriesHash;
use thiserror::Error;

use crate::{Instance, InstanceId, Quorum};

/// The most instances a ring can have.
pub const MAX_INSTANCES: usize = u16::MAX as usize;

/// Stands for the replica of a zone in which nobody can take writes.
pub(crate) const NOBODY: u16 = u16::MAX;

/// Why a ring cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RingError {
    /// Two instances with one name.
    #[error("instance {id} is in the ring twice; names are unique")]
    Duplicate {
        /// The name.
        id: InstanceId,
    },
    /// More instances than can be told apart.
    #[error("the ring has {instances} instances; at most {MAX_INSTANCES} are possible")]
    TooManyInstances {
        /// How many.
        instances: usize,
    },
}

/// Who owns which series. Never changes.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Sorted by name.
    instances: Vec<Instance>,
    zones: usize,
    quorum: Quorum,
    table: Table,
}

/// From a hash to a row of instances.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Ascending.
    tokens: Vec<u64>,
    /// For every token, the replicas of the hashes that end there: as many instances as the replication factor, some
    /// of them [`NOBODY`].
    rows: Vec<u16>,
    width: usize,
    /// By the leading bits of a hash, the first token that can be the answer.
    index: Vec<u32>,
    index_shift: u32,
}

impl Ring {
    /// The ring of these instances.
    pub fn new(mut instances: Vec<Instance>, quorum: Quorum) -> Result<Self, RingError> {
        if instances.len() > MAX_INSTANCES {
            return Err(RingError::TooManyInstances { instances: instances.len() });
        }
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some([twice, _]) = instances.array_windows().find(|[a, b]| a.id == b.id) {
            return Err(RingError::Duplicate { id: twice.id.clone() });
        }
        let layout = Layout::new(&instances, 0..instances.len());
        let table = layout.table(&instances, quorum.replication_factor());
        Ok(Self { zones: layout.zones, instances, quorum, table })
    }

    /// The instances, sorted by name. [`Replicas`] gives their positions here.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// How many zones have instances with tokens.
    pub fn zones(&self) -> usize {
        self.zones
    }

    /// How many replicas a series has, and how many of them count.
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// The instances that are to store a series with this hash: one in each of its zones.
    #[inline]
    pub fn lookup(&self, hash: SeriesHash) -> Replicas<'_> {
        self.table.lookup(hash)
    }
}

impl Table {
    /// The rows of the ring that these of the instances (positions, each once) make by themselves.
    pub(crate) fn of_some(ring: &Ring, members: &[usize]) -> Self {
        let layout = Layout::new(&ring.instances, members.iter().copied());
        layout.table(&ring.instances, ring.quorum.replication_factor())
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: SeriesHash) -> Replicas<'_> {
        let lead = (hash.0 >> self.index_shift) as usize;
        let mut token = self.index.get(lead).map_or(0, |first| *first as usize);
        while self.tokens.get(token).is_some_and(|at| *at < hash.0) {
            token += 1;
        }
        if token == self.tokens.len() {
            token = 0;
        }
        let row = self.rows.get(token * self.width..(token + 1) * self.width);
        Replicas(row.unwrap_or_default())
    }

    /// What it takes beside itself, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.tokens) + size_of_val(&*self.rows) + size_of_val(&*self.index)
    }
}

/// The replica set of a series.
#[derive(Debug, Clone, Copy)]
pub struct Replicas<'a>(pub(crate) &'a [u16]);

impl<'a> Replicas<'a> {
    /// Positions in [`Ring::instances`] of those that can take the write; none twice. Where there are fewer than
    /// replicas, the missing ones count as failed.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = usize> + use<'a> {
        self.0.iter().filter(|i| **i != NOBODY).map(|i| usize::from(*i))
    }
}

/// What the rows are made from.
struct Layout {
    /// All tokens with the positions of their instances, ascending.
    circle: Vec<(u64, u16)>,
    /// By instance, its zone's number.
    zone_of: Vec<u16>,
    /// By zone, its tokens as in `circle`.
    circles: Vec<Vec<(u64, u16)>>,
    zones: usize,
}

impl Layout {
    /// Of those of the instances that are members, by position.
    fn new(instances: &[Instance], members: impl Iterator<Item = usize>) -> Self {
        let mut numbers = BTreeMap::new();
        let mut zone_of = vec![0; instances.len()];
        let mut circle = Vec::new();
        for i in members {
            let instance = &instances[i];
            let next = numbers.len() as u16;
            zone_of[i] = *numbers.entry(instance.zone_name()).or_insert(next);
            if instance.state.has_tokens() {
                circle.extend(instance.tokens.iter().map(|token| (*token, i as u16)));
            }
        }
        circle.sort_unstable();
        let mut circles = vec![Vec::new(); numbers.len()];
        for &(token, instance) in &circle {
            circles[usize::from(zone_of[usize::from(instance)])].push((token, instance));
        }
        let zones = circles.iter().filter(|circle| !circle.is_empty()).count();
        Self { circle, zone_of, circles, zones }
    }

    fn table(&self, instances: &[Instance], replication_factor: usize) -> Table {
        let tokens: Vec<u64> = self.circle.iter().map(|(token, _)| *token).collect();
        let index_bits = (tokens.len().max(2) - 1).ilog2() + 1;
        let index_shift = 64 - index_bits;
        let index = (0..1u64 << index_bits)
            .map(|lead| tokens.partition_point(|token| *token < lead << index_shift) as u32)
            .collect();
        let rows = self.rows(instances, replication_factor);
        Table { tokens, rows, width: replication_factor, index, index_shift }
    }

    fn rows(&self, instances: &[Instance], replication_factor: usize) -> Vec<u16> {
        let mut rows = Vec::with_capacity(self.circle.len() * replication_factor);
        let wanted = replication_factor.min(self.zones);
        // Where a whole zone is away, looking around the circle for each of its tokens would take long, and find nobody.
        let takes_writes = |owner: u16| instances[usize::from(owner)].takes_writes();
        let can_stand_in: Vec<bool> =
            self.circles.iter().map(|circle| circle.iter().any(|(_, owner)| takes_writes(*owner))).collect();
        for start in 0..self.circle.len() {
            let mut zones = Vec::with_capacity(wanted);
            let clockwise = self.circle[start..].iter().chain(&self.circle[..start]);
            for &(token, owner) in clockwise {
                if zones.len() == wanted {
                    break;
                }
                let zone = self.zone_of[usize::from(owner)];
                if zones.contains(&zone) {
                    continue;
                }
                zones.push(zone);
                let found = can_stand_in[usize::from(zone)];
                rows.push(if found { self.stand_in(instances, zone, token, owner) } else { NOBODY });
            }
            rows.extend(std::iter::repeat_n(NOBODY, replication_factor - zones.len()));
        }
        rows
    }

    /// The first instance clockwise in the zone, from its token `token` on, that takes writes.
    fn stand_in(&self, instances: &[Instance], zone: u16, token: u64, owner: u16) -> u16 {
        if instances[usize::from(owner)].takes_writes() {
            return owner;
        }
        let circle = &self.circles[usize::from(zone)];
        let start = circle.partition_point(|at| *at < (token, owner));
        circle[start..]
            .iter()
            .chain(&circle[..start])
            .map(|(_, instance)| *instance)
            .find(|instance| instances[usize::from(*instance)].takes_writes())
            .unwrap_or(NOBODY)
    }
}
