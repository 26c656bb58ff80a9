//! A bucket in memory in which things go wrong when somebody wants them to: operations that do not happen, that happen and
//! are not answered, that write or give half of what they should, and a server that is gone. What goes wrong is decided on
//! the [`Way`] that a process has to its bucket; [`Faults`] is the one that tests plan.

mod memory;
mod store;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

pub use self::memory::Memory;
pub(crate) use self::store::FaultyStore;

/// Which operations are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every one.
    Any,
    /// Those that change something.
    Change,
    /// Those that do not.
    Read,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and a failure is reported that may pass.
    Refused,
    /// It happens, but a failure is reported.
    Unanswered,
    /// Nothing happens: it is not allowed.
    Forbidden,
    /// Half of the bytes are written or given, and success is reported.
    Half,
    /// Nothing happens from here on, and each operation reports a failure that may pass.
    Gone,
}

/// An operation on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand<'a> {
    /// What is done, in a word: `put`, `get`, `list`, `delete`, or a step of an upload in pieces.
    pub what: &'static str,
    /// The object, or the folder that is listed.
    pub object: &'a str,
    /// Whether it changes something.
    pub changes: bool,
}

/// Objects that are given where others were asked for.
#[derive(Debug, Clone)]
pub struct Instead {
    /// Where they are.
    pub memory: Memory,
    /// The object, or the folder.
    pub object: String,
}

/// How one process comes to its bucket: what befalls operations there and back, and, for processes that are built wrong on
/// purpose, what they do instead of what they were told.
#[async_trait]
pub trait Way: fmt::Debug + Send + Sync {
    /// An operation goes to the bucket: returns when it is there, and what goes wrong with it.
    async fn there(&self, errand: Errand<'_>) -> Option<Fault>;

    /// Its answer comes back.
    async fn back(&self, _errand: Errand<'_>) {}

    /// What is read or listed instead, where `object` is asked for.
    fn instead(&self, _object: &str) -> Option<Instead> {
        None
    }

    /// What is written where `bytes` are to be.
    fn write(&self, _object: &str, bytes: Bytes) -> Bytes {
        bytes
    }
}

#[async_trait]
impl Way for Faults {
    async fn there(&self, errand: Errand<'_>) -> Option<Fault> {
        self.next(errand.changes)
    }
}

/// Decides what goes wrong. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    operations: u64,
    changes: u64,
    planned: Vec<(Kind, u64, Fault)>,
    gone: bool,
    /// One in so many operations is refused; 0: none.
    one_in: u64,
    noise: u64,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `nth` operation of this kind from now on (the first is 0) goes wrong.
    pub fn plan(&self, kind: Kind, nth: u64, fault: Fault) {
        let mut plan = self.plan.lock();
        let so_far = match kind {
            Kind::Any => plan.operations,
            Kind::Change => plan.changes,
            Kind::Read => plan.operations - plan.changes,
        };
        plan.planned.push((kind, so_far + nth, fault));
    }

    /// One in `n` operations is refused, which ones `seed` decides.
    pub fn refuse_one_in(&self, n: u64, seed: u64) {
        let mut plan = self.plan.lock();
        (plan.one_in, plan.noise) = (n, seed);
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        let mut plan = self.plan.lock();
        plan.planned.clear();
        (plan.gone, plan.one_in) = (false, 0);
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.plan.lock().operations
    }

    fn next(&self, changes: bool) -> Option<Fault> {
        let mut plan = self.plan.lock();
        let (all, changed) = (plan.operations, plan.changes);
        plan.operations += 1;
        plan.changes += u64::from(changes);
        if plan.gone {
            return Some(Fault::Gone);
        }
        let due = |(kind, nth, _): &(Kind, u64, Fault)| match kind {
            Kind::Any => *nth == all,
            Kind::Change => changes && *nth == changed,
            Kind::Read => !changes && *nth == all - changed,
        };
        let fault = plan.planned.iter().find(|planned| due(planned)).map(|(_, _, fault)| *fault);
        plan.gone = fault == Some(Fault::Gone);
        if fault.is_none() && plan.one_in > 0 {
            // xorshift64: a fixed sequence is all that is needed.
            plan.noise = plan.noise.max(1);
            plan.noise ^= plan.noise << 13;
            plan.noise ^= plan.noise >> 7;
            plan.noise ^= plan.noise << 17;
            return plan.noise.is_multiple_of(plan.one_in).then_some(Fault::Refused);
        }
        fault
    }
}
