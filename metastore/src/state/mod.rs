//! The state machine: commands in log order to records, revisions and answers. Pure: the same commands make the same
//! state, byte for byte, on every node. Nothing here knows about logs, disks, clocks or networks.

mod bounds;
mod done;
mod history;
mod image;
mod lease;
mod txn;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proto::metastore::command;
use proto::metastore::outcome::Outcome as Came;
use proto::metastore::{
    Command, DoneTxn, Event, Found, Lease, Outcome, Record, Refusal, RefusalReason, RequestId,
};

pub use bounds::{
    DONE_BYTES, DONE_TXNS, HISTORY_BYTES, HISTORY_EVENTS, LEASES, MAX_KEY_BYTES, MAX_LEASE_MS, MAX_OPS,
    MAX_STATE_BYTES, MAX_VALUE_BYTES, MIN_LEASE_MS, REQUEST_ID_BYTES,
};
use done::Done;
pub use history::History;
pub use image::{ImageError, MAX_IMAGE_BYTES};
pub use lease::lease_key;

/// Everything that the cluster agreed on. Cloning shares records and events.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Random; 0 until the cluster was founded.
    cluster_id: u64,
    /// The last change's number.
    revision: u64,
    /// The greatest time of a command, in milliseconds since the epoch.
    time_ms: i64,
    records: BTreeMap<Bytes, Arc<Record>>,
    history: History,
    done: Done,
    /// Keys bound to a lease, by its instance. What it says can be found in the records too.
    bound: BTreeMap<String, BTreeSet<Bytes>>,
    /// Bytes of all keys and values.
    bytes: usize,
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The answer.
    pub outcome: Outcome,
    /// What changed, in order, all of one revision; to be stored.
    pub events: Vec<Arc<Event>>,
    /// Up to which revision history was forgotten; to be removed.
    pub compacted: u64,
    /// The transaction that is now remembered; to be stored.
    pub done: Option<Arc<DoneTxn>>,
    /// Up to which revision transactions were forgotten; to be removed.
    pub forgotten: u64,
}

impl State {
    /// Applies the next command of the log.
    pub fn apply(&mut self, command: &Command) -> Applied {
        self.time_ms = self.time_ms.max(command.time_ms);
        let mut change = Change { revision: self.revision + 1, events: Vec::new() };
        let came = match &command.command {
            Some(command::Command::Found(found)) => Ok(self.found(found)),
            Some(command::Command::Txn(txn)) => match self.done_before(command.request.as_ref()) {
                // The revision is that of then: what came since has nothing to do with it.
                Ok(Some(outcome)) => return self.unchanged(outcome),
                Ok(None) => self.txn(txn, &mut change).map(Came::Txn),
                Err(refusal) => Err(refusal),
            },
            Some(command::Command::RegisterLease(register)) => {
                self.register(register, &mut change).map(Came::Lease)
            }
            Some(command::Command::EndLease(end)) => Ok(Came::Ended(self.end_lease(end, &mut change))),
            // Written by a newer version: every node of this version refuses it alike.
            None => Err(refusal(RefusalReason::Invalid, "a command that this version does not know".into())),
        };
        let came = came.unwrap_or_else(Came::Refused);
        if change.events.is_empty() {
            return self.unchanged(Outcome { revision: self.revision, outcome: Some(came) });
        }
        self.revision = change.revision;
        self.history.append(&change.events);
        let done = self.remember_done(command.request.as_ref(), &came);
        let outcome = Outcome { revision: self.revision, outcome: Some(came) };
        Applied { events: change.events, done, ..self.unchanged(outcome) }
    }

    /// What a command that changed nothing came to.
    fn unchanged(&self, outcome: Outcome) -> Applied {
        let (compacted, forgotten) = (self.history.compacted(), self.done.forgotten());
        Applied { outcome, events: Vec::new(), compacted, done: None, forgotten }
    }

    /// What a transaction came to that was done before.
    fn done_before(&self, request: Option<&RequestId>) -> Result<Option<Outcome>, Refusal> {
        let Some(request) = request else { return Ok(None) };
        let done = self.done.find(request)?;
        Ok(done.map(|done| Outcome {
            revision: done.revision,
            outcome: Some(Came::Txn(done.result.clone().unwrap_or_default())),
        }))
    }

    /// Remembers what made the revision, where it may be sent again.
    fn remember_done(&mut self, request: Option<&RequestId>, came: &Came) -> Option<Arc<DoneTxn>> {
        let (Some(request), Came::Txn(result)) = (request, came) else { return None };
        // Detached from the message that it came in.
        let id = Bytes::copy_from_slice(&request.id);
        let done = Arc::new(DoneTxn { revision: self.revision, id, result: Some(result.clone()) });
        self.done.remember(Arc::clone(&done));
        Some(done)
    }

    fn found(&mut self, found: &Found) -> Came {
        let first = self.cluster_id == 0;
        if first {
            self.cluster_id = found.cluster_id;
        }
        Came::Ended(first)
    }

    /// Which cluster's state it is; 0 before the cluster was founded.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The number of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The greatest time of a command, in milliseconds since the epoch.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// The changes that are remembered.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The transactions that are remembered.
    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.records.get(key)
    }

    /// Records whose keys begin with `prefix` and come behind `after`, by key.
    pub fn range<'a>(&'a self, prefix: &'a [u8], after: &[u8]) -> impl Iterator<Item = &'a Arc<Record>> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.records
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, record)| record)
    }

    /// The leases that live, by instance.
    pub fn leases(&self) -> impl Iterator<Item = Lease> + '_ {
        self.range(LEASES, &[]).filter_map(|record| lease::decode(record))
    }

    /// How many leases live.
    pub fn lease_count(&self) -> usize {
        self.range(LEASES, &[]).count()
    }

    /// Puts a record; where there was one, what it was bound to no longer ends it.
    fn put(&mut self, key: &Bytes, value: Bytes, lease: &str, change: &mut Change) -> Arc<Record> {
        let old = self.records.get(key).cloned();
        let record = Arc::new(Record {
            key: key.clone(),
            value,
            create_revision: old.as_ref().map_or(change.revision, |old| old.create_revision),
            mod_revision: change.revision,
            version: old.as_ref().map_or(0, |old| old.version) + 1,
            lease: lease.to_owned(),
        });
        if let Some(old) = old {
            self.forget(&old);
        }
        self.remember(Arc::clone(&record));
        change.events.push(Arc::new(Event { record: Some((*record).clone()), deleted: false }));
        record
    }

    /// Removes a record; whether there was one.
    fn delete(&mut self, key: &[u8], change: &mut Change) -> bool {
        let Some(old) = self.records.get(key).cloned() else { return false };
        self.forget(&old);
        let gone = Record { key: old.key.clone(), mod_revision: change.revision, ..Record::default() };
        change.events.push(Arc::new(Event { record: Some(gone), deleted: true }));
        true
    }

    fn remember(&mut self, record: Arc<Record>) {
        self.bytes += record.key.len() + record.value.len();
        if !record.lease.is_empty() {
            self.bound.entry(record.lease.clone()).or_default().insert(record.key.clone());
        }
        self.records.insert(record.key.clone(), record);
    }

    fn forget(&mut self, record: &Record) {
        self.bytes -= record.key.len() + record.value.len();
        if let Some(keys) = self.bound.get_mut(&record.lease) {
            keys.remove(&record.key);
            if keys.is_empty() {
                self.bound.remove(&record.lease);
            }
        }
        self.records.remove(&record.key);
    }
}

/// The revision that a command is making.
struct Change {
    revision: u64,
    events: Vec<Arc<Event>>,
}

fn refusal(reason: RefusalReason, message: String) -> Refusal {
    Refusal { reason: reason.into(), message }
}

#[cfg(test)]
mod tests;
