//! Which member does what: rule groups, tenants' alerts, compaction jobs and the like, spread over the live processes of
//! a role. Pure data and pure functions: nothing here knows who lives, or what a lease is; whoever watches the members
//! makes a new placement when they change. (Series have replicas, zones and states; they are placed by `ring`.)
//!
//! Every process that sees the same members comes to the same answer. A member that comes takes about its share from
//! all others, one that goes leaves its share to all others, and nothing else moves.

mod hash;

pub use hash::{HashPlacement, Tracker, VIRTUAL_NODES};

use std::fmt;
use std::sync::Arc;

/// Something that is done by one member: a kind of work, and its name among those of its kind. Kinds are spread
/// independently of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The kind of work, such as `rules`.
    pub kind: &'a str,
    /// Its name, such as a tenant and a rule group.
    pub name: &'a str,
}

impl<'a> Unit<'a> {
    /// The unit `name` of a kind.
    pub fn new(kind: &'a str, name: &'a str) -> Self {
        Self { kind, name }
    }
}

impl fmt::Display for Unit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Where units of work belong, among members that do not change.
pub trait Placement: Send + Sync + fmt::Debug {
    /// The number of the view that it was made from. A later view has a greater one.
    fn number(&self) -> u64;

    /// The members, by name.
    fn members(&self) -> &[Arc<str>];

    /// The members that `wanted` says yes to, in the unit's order: first the owner, then who takes over from it. At
    /// most `most` of them.
    fn candidates(&self, unit: Unit<'_>, most: usize, wanted: &dyn Fn(&str) -> bool) -> Vec<Arc<str>>;

    /// Whose it is; `None` where there are no members.
    fn owner(&self, unit: Unit<'_>) -> Option<Arc<str>> {
        self.owner_among(unit, &|_| true)
    }

    /// Whose it is while only those live that `lives` says yes to: what a dead member had is the next one's.
    fn owner_among(&self, unit: Unit<'_>, lives: &dyn Fn(&str) -> bool) -> Option<Arc<str>> {
        self.candidates(unit, 1, lives).pop()
    }
}
