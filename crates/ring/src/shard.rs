//! Shuffle sharding: which instances a tenant uses, so that small tenants do not touch every ingester.
//!
//! In each zone a tenant ranks the instances by a hash of both (rendezvous hashing) and uses the first few. Whoever
//! comes or goes changes the choice by one; a larger shard holds the smaller one.

use std::collections::BTreeMap;

use model::{SeriesHash, TenantSeed};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::lookup::{NOBODY, Table};
use crate::{Instance, Replicas, Ring};

/// How many instances per zone a tenant has used, and since when. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSize {
    /// Ascending times in milliseconds since the Unix epoch, with what held from then on.
    changes: Vec<(i64, u32)>,
}

/// About how many active series of a tenant one ingester takes before the tenant gets another.
pub const SERIES_PER_INSTANCE: u64 = 100_000;

impl ShardSize {
    /// A size that always held; 0 counts as 1.
    pub fn new(per_zone: u32) -> Self {
        Self { changes: vec![(i64::MIN, per_zone.max(1))] }
    }

    /// How many instances per zone a tenant with this many active series needs.
    pub fn needed(series: u64) -> u32 {
        u32::try_from(series.div_ceil(SERIES_PER_INSTANCE)).unwrap_or(u32::MAX).max(1)
    }

    /// Notes that from `at_ms` on it is `per_zone`. Times before the last change count as that one's. What nobody
    /// needs any more, because it ended before `forget_before_ms`, is forgotten.
    pub fn change(&mut self, at_ms: i64, per_zone: u32, forget_before_ms: i64) {
        let last = self.changes.last().map_or(i64::MIN, |(at, _)| *at);
        if self.current() != per_zone.max(1) {
            self.changes.push((at_ms.max(last), per_zone.max(1)));
        }
        let kept = self.changes.partition_point(|(at, _)| *at <= forget_before_ms);
        self.changes.drain(..kept.saturating_sub(1));
    }

    /// What holds now.
    pub fn current(&self) -> u32 {
        self.changes.last().map_or(1, |(_, size)| *size)
    }

    /// The largest that held at `since_ms` or later.
    pub fn largest_since(&self, since_ms: i64) -> u32 {
        let first = self.changes.partition_point(|(at, _)| *at <= since_ms).saturating_sub(1);
        self.changes[first.min(self.changes.len())..].iter().map(|(_, size)| *size).max().unwrap_or(1)
    }
}

/// Who takes a tenant's series, in little room: tenants are many, and most have one instance per zone.
#[derive(Debug, Clone)]
pub struct WriteShard {
    owners: Owners,
    members: usize,
}

#[derive(Debug, Clone)]
enum Owners {
    /// As in the ring itself.
    Everybody,
    /// All series have the same replicas.
    Same(Box<[u16]>),
    Table(Box<Table>),
}

impl WriteShard {
    /// The instances that are to store a series of the tenant with this hash: one in each of its zones. `ring` is the
    /// one that the shard is of.
    #[inline]
    pub fn lookup<'a>(&'a self, ring: &'a Ring, hash: SeriesHash) -> Replicas<'a> {
        match &self.owners {
            Owners::Everybody => ring.lookup(hash),
            Owners::Same(row) => Replicas(row),
            Owners::Table(table) => table.lookup(hash),
        }
    }

    /// How many instances it has, those included that others stand in for.
    pub fn members(&self) -> usize {
        self.members
    }

    /// What it takes beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        match &self.owners {
            Owners::Everybody => 0,
            Owners::Same(row) => size_of_val(&**row),
            Owners::Table(table) => size_of::<Table>() + table.heap_bytes(),
        }
    }
}

/// What an instance means for the shard that is being chosen.
struct Choice {
    /// It is in the shard.
    chosen: bool,
    /// It is one of as many as the shard is to have.
    counts: bool,
    /// It is sure to take, or to have taken, what the others cannot.
    reliable: bool,
}

impl Ring {
    /// Who takes the tenant's series: a ring of those that [`Ring::write_members`] names.
    pub fn write_shard(&self, tenant: TenantSeed, size: &ShardSize) -> WriteShard {
        let members = self.write_members(tenant, size);
        let with_tokens = self.instances().iter().filter(|instance| instance.state.has_tokens()).count();
        let owners = if members.len() == with_tokens {
            Owners::Everybody
        } else if let Some(row) = self.only_row(&members) {
            Owners::Same(row)
        } else {
            Owners::Table(Box::new(Table::of_some(self, &members)))
        };
        WriteShard { owners, members: members.len() }
    }

    /// Positions in [`Ring::instances`], ascending, of the instances that take the tenant's series. Instances that fail
    /// stay among them, so that the others stand in for them and nothing else moves; where all of a zone fail, the next
    /// in the tenant's order stands in.
    pub fn write_members(&self, tenant: TenantSeed, size: &ShardSize) -> Vec<usize> {
        let mut chosen = self.ranked(tenant, size.current(), |instance| {
            let counts = instance.state.has_tokens() && !instance.read_only;
            Choice { chosen: counts, counts, reliable: instance.takes_writes() }
        });
        chosen.sort_unstable();
        chosen
    }

    /// The replicas of every series, where there are no more zones than replicas and at most one instance in each that
    /// takes writes.
    fn only_row(&self, members: &[usize]) -> Option<Box<[u16]>> {
        let width = self.quorum().replication_factor();
        let mut zones: BTreeMap<&str, Option<usize>> = BTreeMap::new();
        for &i in members {
            let instance = &self.instances()[i];
            let taker = zones.entry(instance.zone_name()).or_default();
            if instance.takes_writes() && taker.replace(i).is_some() {
                return None;
            }
        }
        let takers = zones.values().flatten().map(|i| *i as u16);
        let row: Vec<u16> = takers.chain(std::iter::repeat(NOBODY)).take(width).collect();
        (zones.len() <= width).then(|| row.into())
    }

    /// Positions in [`Ring::instances`], ascending, of those that may hold what was written for the tenant at
    /// `since_ms` or later, after whatever came and went since then. Views of the ring reach writers late: `since_ms`
    /// has to be earlier by as much.
    ///
    /// Who came or changed since then does not count, so that who was asked to write in its place is asked too.
    pub fn read_shard(&self, tenant: TenantSeed, size: &ShardSize, since_ms: i64) -> Vec<usize> {
        let mut chosen = self.ranked(tenant, size.largest_since(since_ms), |instance| {
            let counts =
                instance.state.has_tokens() && !instance.read_only && instance.member_since_ms <= since_ms;
            let reliable = counts && instance.takes_writes() && instance.state_since_ms <= since_ms;
            Choice { chosen: instance.state.has_tokens(), counts, reliable }
        });
        chosen.sort_unstable();
        chosen
    }

    /// By zone, in the tenant's order, the chosen instances, until enough of them have counted and one is reliable.
    fn ranked(&self, tenant: TenantSeed, per_zone: u32, choice: impl Fn(&Instance) -> Choice) -> Vec<usize> {
        let mut zones: BTreeMap<_, Vec<(u64, usize)>> = BTreeMap::new();
        for (i, instance) in self.instances().iter().enumerate() {
            let rank = xxh3_64_with_seed(instance.id.as_str().as_bytes(), tenant.as_u64());
            zones.entry(instance.zone.as_deref()).or_default().push((rank, i));
        }
        let mut all = Vec::new();
        for (zone, mut ranked) in zones {
            ranked.sort_unstable();
            // Without zones the instances are ranked together: as many of them as there would be in all zones.
            let zones = if zone.is_some() { 1 } else { self.quorum().replication_factor() };
            let wanted = (per_zone as usize).saturating_mul(zones);
            let (mut counted, mut reliable) = (0, false);
            for (_, i) in ranked {
                if counted >= wanted && reliable {
                    break;
                }
                let choice = choice(&self.instances()[i]);
                if choice.chosen {
                    all.push(i);
                }
                counted += usize::from(choice.counts);
                reliable |= choice.reliable;
            }
        }
        all
    }
}
