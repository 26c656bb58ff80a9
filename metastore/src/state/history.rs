//! Changes that are remembered, so that a watch can go on where it was interrupted.

use std::collections::VecDeque;
use std::sync::Arc;

use proto::metastore::Event;

use super::bounds::{HISTORY_BYTES, HISTORY_EVENTS};

/// Events by revision, bounded in number and bytes. The bounds depend on nothing but the events, so that every node
/// remembers the same.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Events up to this revision are forgotten.
    compacted: u64,
}

/// A revision that history no longer reaches back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes up to revision {revision} are forgotten; begin with a snapshot")]
pub struct Compacted {
    /// Events up to this revision are forgotten.
    pub revision: u64,
}

impl History {
    /// History as a snapshot has it.
    pub(super) fn restore(events: Vec<Arc<Event>>, compacted: u64) -> Self {
        let bytes = events.iter().map(|event| size(event)).sum();
        Self { events: events.into(), bytes, compacted }
    }

    /// Adds the events of one revision, and forgets whole revisions where there are too many.
    pub(super) fn append(&mut self, events: &[Arc<Event>]) {
        self.bytes += events.iter().map(|event| size(event)).sum::<usize>();
        self.events.extend(events.iter().cloned());
        while self.events.len() > HISTORY_EVENTS || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.events.front().map(|event| revision(event)) else { break };
            while self.events.front().is_some_and(|event| revision(event) == oldest) {
                self.bytes -= self.events.pop_front().map_or(0, |event| size(&event));
            }
            self.compacted = oldest;
        }
    }

    /// Events up to this revision are forgotten.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// All events, oldest first.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Arc<Event>> {
        self.events.iter()
    }

    /// The events after a revision, oldest first.
    ///
    /// # Errors
    /// Where some of them are forgotten.
    pub fn after(&self, after: u64) -> Result<impl Iterator<Item = &Arc<Event>>, Compacted> {
        if after < self.compacted {
            return Err(Compacted { revision: self.compacted });
        }
        let first = self.events.partition_point(|event| revision(event) <= after);
        Ok(self.events.range(first..))
    }
}

pub(super) fn revision(event: &Event) -> u64 {
    event.record.as_ref().map_or(0, |record| record.mod_revision)
}

fn size(event: &Event) -> usize {
    event.record.as_ref().map_or(0, |record| record.key.len() + record.value.len())
}
