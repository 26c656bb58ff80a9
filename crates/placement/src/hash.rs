//! Placement on a ring of virtual nodes, with a hash that is the same on every machine and in every version.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use consistent_hash::{Node, RingHash, StaticHashRing};
use xxhash_rust::xxh3::Xxh3Default;

use crate::{Placement, Unit};

/// Points of a member on the ring. The share of a member then differs from the mean by about 6 % (one deviation).
pub const VIRTUAL_NODES: usize = 256;

/// Placement by consistent hashing. Never changes.
pub struct HashPlacement {
    number: u64,
    members: Vec<Arc<str>>,
    ring: StaticHashRing<'static, Name, (), StableHash>,
}

impl HashPlacement {
    /// The placement among these members, whose order and repetitions do not matter, in view `number`.
    pub fn new(number: u64, members: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut members: Vec<Arc<str>> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        let nodes = members.iter().map(|member| Node::new(Name(Arc::clone(member))).quantity(VIRTUAL_NODES));
        let ring = StaticHashRing::new(StableHash, nodes);
        Self { number, members, ring }
    }
}

impl fmt::Debug for HashPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, members, ring: _ } = self;
        f.debug_struct("HashPlacement")
            .field("number", number)
            .field("members", members)
            .finish_non_exhaustive()
    }
}

impl Placement for HashPlacement {
    fn number(&self) -> u64 {
        self.number
    }

    fn members(&self) -> &[Arc<str>] {
        &self.members
    }

    fn candidates(&self, unit: Unit<'_>, most: usize, wanted: &dyn Fn(&str) -> bool) -> Vec<Arc<str>> {
        let names = self.ring.calc_candidates(&unit).map(|node| &node.key.0);
        names.filter(|name| wanted(name)).take(most).map(Arc::clone).collect()
    }
}

/// Makes a placement only when the members are others than before.
#[derive(Debug)]
pub struct Tracker {
    current: Arc<HashPlacement>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self { current: Arc::new(HashPlacement::new(0, [])) }
    }
}

impl Tracker {
    /// The placement of the members seen last; at first, of nobody, in view 0.
    pub fn current(&self) -> &Arc<HashPlacement> {
        &self.current
    }

    /// The members as of view `number`. Gives the placement where it is another one. (A member that came and went
    /// between two views leaves no trace, so equal members may carry different numbers in different processes.)
    pub fn see(
        &mut self,
        number: u64,
        members: impl IntoIterator<Item = Arc<str>>,
    ) -> Option<&Arc<HashPlacement>> {
        let mut members: Vec<Arc<str>> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        if members == self.current.members {
            return None;
        }
        self.current = Arc::new(HashPlacement::new(number, members));
        Some(&self.current)
    }
}

/// A member's name, hashed as its bytes and nothing else.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name(Arc<str>);

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
    }
}

/// A unit's hash: its kind, a byte that no text has, its name. Spelled out, since the standard library may change how
/// it hashes strings and tuples.
impl Hash for Unit<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.kind.as_bytes());
        state.write(&[0xff]);
        state.write(self.name.as_bytes());
    }
}

/// xxh3, of units as they are and of virtual nodes with their numbers.
#[derive(Debug)]
struct StableHash;

impl RingHash for StableHash {
    fn hash_item<T: Hash>(&self, item: &T) -> u64 {
        let mut hasher = Xxh3Default::new();
        item.hash(&mut hasher);
        hasher.digest()
    }

    fn hash_vnode<K: Hash>(&self, node_key: &K, vnode_seq: usize) -> u64 {
        let mut hasher = Xxh3Default::new();
        node_key.hash(&mut hasher);
        hasher.update(&[0xff]);
        hasher.update(&(vnode_seq as u64).to_le_bytes());
        hasher.digest()
    }
}
