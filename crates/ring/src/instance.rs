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
    /// It is not ready: it owns nothing yet.
    Joining,
    /// It takes writes.
    Active,
    /// It hands over what it has: others of its zone take the writes for it.
    Leaving,
    /// It is not heard of: others of its zone take the writes for it.
    Unhealthy,
}

impl State {
    /// Whether writes may be sent to it.
    pub fn accepts_writes(self) -> bool {
        self == Self::Active
    }

    /// Whether its tokens are on the ring. They are also while others stand in for it, so that nothing else moves.
    pub fn has_tokens(self) -> bool {
        self != Self::Joining
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
    /// Its tokens: see [`crate::tokens`].
    pub tokens: Vec<u64>,
}

impl Instance {
    /// An active instance with the tokens of its name.
    pub fn active(id: InstanceId, zone: Option<Arc<str>>) -> Self {
        let tokens = crate::tokens(&id);
        Self { id, zone, state: State::Active, tokens }
    }
}
