//! The members of a ring.

use std::fmt;
use std::sync::Arc;

/// The name of an instance, unique in its ring and the same after a restart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The instance with this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({})", self.0)
    }
}

/// What an instance may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is known and has no tokens yet: it owns nothing and holds nothing.
    Pending,
    /// It has tokens, and is not ready: it replays its log. Others of its zone take the writes for it.
    Joining,
    /// It takes writes.
    Active,
    /// It hands over what it has: others of its zone take the writes for it.
    Leaving,
    /// It is not heard of: others of its zone take the writes for it.
    Unhealthy,
    /// It has handed over all that it had.
    Left,
}

impl State {
    /// Whether writes may be sent to it.
    pub fn accepts_writes(self) -> bool {
        self == Self::Active
    }

    /// Whether its tokens are on the ring. They are also while others stand in for it, so that nothing else moves.
    pub fn has_tokens(self) -> bool {
        match self {
            Self::Joining | Self::Active | Self::Leaving | Self::Unhealthy => true,
            Self::Pending | Self::Left => false,
        }
    }
}

/// A member of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// Where it stands; `None`: it is a zone of its own.
    pub zone: Option<Arc<str>>,
    /// What it may be used for.
    pub state: State,
    /// Its tokens: see [`crate::place`]. Rings that have the instance share them.
    pub tokens: Arc<[u64]>,
    /// Whether it takes no new series, because somebody wants it to become empty.
    pub read_only: bool,
    /// Since when it has been in the ring, and `read_only` as it is, in milliseconds since the Unix epoch.
    pub member_since_ms: i64,
    /// Since when its state has been what it is, likewise.
    pub state_since_ms: i64,
}

impl Instance {
    /// An instance that has been active for ever, with these tokens.
    pub fn active(id: InstanceId, zone: Option<Arc<str>>, tokens: impl Into<Arc<[u64]>>) -> Self {
        Self {
            id,
            zone,
            state: State::Active,
            tokens: tokens.into(),
            read_only: false,
            member_since_ms: i64::MIN,
            state_since_ms: i64::MIN,
        }
    }

    /// Active instances that joined one after the other.
    pub fn all_active(members: impl IntoIterator<Item = (InstanceId, Option<Arc<str>>)>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for (id, zone) in members {
            let others = joined.iter().filter(|other| other.zone == zone);
            let others: Vec<&[u64]> = others.map(|other| &*other.tokens).collect();
            let tokens = crate::place(zone.as_deref(), &others);
            joined.push(Self::active(id, zone, tokens));
        }
        joined
    }

    /// The name of its zone, which is its own where it stands in none. (An instance without a zone that is called like
    /// a zone is a mistake of whoever named it; the two then count as one.)
    pub fn zone_name(&self) -> &str {
        self.zone.as_deref().unwrap_or(self.id.as_str())
    }

    /// Whether new series may be given to it.
    pub fn takes_writes(&self) -> bool {
        self.state.accepts_writes() && !self.read_only
    }
}
