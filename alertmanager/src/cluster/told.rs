//! The notification log in the metastore: what a receiver was told is written down under the lease of this process, many at a
//! time, and again until the metastore has it, or something that was told later: what it had before is compared, since another
//! process may have told of the same group meanwhile, and the view may not say so yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use membership::records::{self, Kind as _};
use membership::{Client, LeaseHolder, View, Watcher};
use model::TenantId;
use parking_lot::Mutex;
use proto::metastore::{AlertmanagerState, Op, OpResult, Txn, op};
use proto::{Code, Error, Stored};
use tokio::sync::{Notify, oneshot, watch};
use xxhash_rust::xxh3::xxh3_128;

use crate::metrics::Metrics;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey};
use crate::state::Record;

/// How many notifications may wait to be written down; of more it is known only while the process runs.
const MAX_PENDING: usize = 100_000;
/// How many are written down at a time, and how many bytes they have, unless one has more.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 1 << 20;
/// How long it is waited after the metastore did not answer, or did not know the lease.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// What is to be written down.
struct Pending {
    tenant: TenantId,
    record: Bytes,
    at: Moment,
    forget_ms: i64,
    /// Tells it from one under the same key that came later.
    number: u64,
    /// What the metastore had under the key when it did not take this.
    found: Option<Found>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// What the metastore has under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Found {
    /// The revision that last changed it; 0 where there is nothing.
    revision: u64,
    /// When that was told.
    at: Option<Moment>,
}

/// One of several that are written down together.
struct Entry {
    key: Bytes,
    number: u64,
    /// The revision at which the key was changed last, as far as is known.
    revision: u64,
    op: Op,
}

#[derive(Default)]
struct Queue {
    pending: BTreeMap<Bytes, Pending>,
    number: u64,
}

/// What waits to be written down.
pub(super) struct Told {
    queue: Mutex<Queue>,
    more: Notify,
    left: watch::Sender<usize>,
    metrics: Metrics,
}

/// What it takes to write down.
pub(super) struct Writing {
    pub(super) client: Client,
    pub(super) state: Watcher,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) instance: Arc<str>,
}

/// The key of what one way was told of a group.
pub(super) fn key(tenant: &TenantId, key: &LogKey) -> Bytes {
    let LogKey { group, receiver, integration, index } = key;
    let named = format!("{group}\0{receiver}\0{integration}\0{index}");
    records::key::<records::NotificationLog>(&[
        tenant.as_str(),
        &format!("{:032x}", xxh3_128(named.as_bytes())),
    ])
}

impl Told {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            queue: Mutex::default(),
            more: Notify::new(),
            left: watch::Sender::new(0),
            metrics: metrics.clone(),
        }
    }

    /// Has something written down, or what waits already and was told later; whom to wait for. `None` where too much waits already.
    pub(super) fn add(&self, tenant: &TenantId, told: (LogKey, LogEntry)) -> Option<oneshot::Receiver<()>> {
        let (log_key, entry) = told;
        let (at, forget_ms) = (entry.at, entry.expires_at.nanos() / 1_000_000);
        let key = key(tenant, &log_key);
        let record = Record::Log(tenant.clone(), log_key, entry).encode().into();
        let (done, waiting) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.pending.len() >= MAX_PENDING && !queue.pending.contains_key(&key) {
                self.metrics.unrecorded.inc();
                return None;
            }
            queue.number += 1;
            let number = queue.number;
            let (tenant, waiting) = (tenant.clone(), vec![done]);
            let told = Pending { tenant, record, at, forget_ms, number, found: None, waiting };
            match queue.pending.get_mut(&key) {
                Some(known) if known.at > at => known.waiting.extend(told.waiting),
                Some(known) => {
                    let earlier = std::mem::replace(known, told);
                    known.waiting.extend(earlier.waiting);
                }
                None => drop(queue.pending.insert(key, told)),
            }
            self.count(&queue);
        }
        self.more.notify_one();
        Some(waiting)
    }

    /// What waits of a tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Vec<Bytes> {
        let queue = self.queue.lock();
        queue.pending.values().filter(|told| told.tenant == *tenant).map(|told| told.record.clone()).collect()
    }

    /// Waits until nothing is left to be written down.
    pub(super) async fn drained(&self) {
        let mut left = self.left.subscribe();
        // It lives as long as this.
        let _ = left.wait_for(|left| *left == 0).await;
    }

    fn count(&self, queue: &Queue) {
        let left = queue.pending.len();
        self.metrics.uncommitted.set(i64::try_from(left).unwrap_or(i64::MAX));
        self.left.send_replace(left);
    }

    /// Writes down what comes, under the lease that there is then.
    pub(super) async fn write(&self, lease: LeaseHolder, with: Writing) {
        loop {
            let batch = self.batch(&with.state.view());
            if batch.is_empty() {
                self.more.notified().await;
                continue;
            }
            let token = lease.held().token;
            if token == 0 {
                with.clock.sleep(RETRY_WAIT).await;
                continue;
            }
            match with.client.txn(txn(&batch, &with.instance, token)).await {
                Ok(answer) => {
                    let result = answer.result.unwrap_or_default();
                    match result.succeeded {
                        true => self.written(&batch),
                        false => {
                            self.found(&batch, &result.results);
                            with.clock.sleep(RETRY_WAIT).await;
                        }
                    }
                }
                Err(error) => {
                    self.refused(&batch, &error);
                    with.clock.sleep(RETRY_WAIT).await;
                }
            }
        }
    }

    /// Some of what waits. What the metastore has, or has a later word of, is left out, and waits no longer.
    fn batch(&self, view: &View) -> Vec<Entry> {
        let (mut batch, mut bytes, mut superseded) = (Vec::new(), 0, Vec::new());
        let mut queue = self.queue.lock();
        for (key, told) in &queue.pending {
            let seen = Found::of(view.get(key));
            let found = told.found.filter(|found| found.revision > seen.revision).unwrap_or(seen);
            if found.at.is_some_and(|at| at >= told.at) {
                superseded.push(key.clone());
                continue;
            }
            bytes += told.record.len();
            if batch.len() == BATCH || (bytes > BATCH_BYTES && !batch.is_empty()) {
                break;
            }
            let state = AlertmanagerState { record: told.record.clone(), forget_ms: told.forget_ms };
            let op = records::put::<records::NotificationLog>(key.clone(), &Stored::new(state));
            batch.push(Entry { key: key.clone(), number: told.number, revision: found.revision, op });
        }
        for key in superseded {
            queue.pending.remove(&key);
        }
        self.count(&queue);
        batch
    }

    /// The metastore has not taken these: it has ended the lease, or has something else than was known under some of the keys.
    fn found(&self, batch: &[Entry], results: &[OpResult]) {
        let mut queue = self.queue.lock();
        for (Entry { key, .. }, result) in batch.iter().zip(results) {
            if let Some(told) = queue.pending.get_mut(key) {
                told.found = Some(Found::of(result.record.as_ref()));
            }
        }
    }

    fn written(&self, batch: &[Entry]) {
        let mut queue = self.queue.lock();
        for Entry { key, number, .. } in batch {
            if queue.pending.get(key).is_some_and(|told| told.number == *number)
                && let Some(told) = queue.pending.remove(key)
            {
                for waiting in told.waiting {
                    // Who waited may have gone on.
                    let _ = waiting.send(());
                }
            }
        }
        self.count(&queue);
    }

    /// The metastore does not answer; or it does not take something, which is left then: one that is too large by itself.
    fn refused(&self, batch: &[Entry], error: &Error) {
        if error.code != Code::InvalidArgument {
            tracing::debug!(%error, "the metastore has not taken down what was told");
            return;
        }
        tracing::error!(%error, count = batch.len(), "what was told cannot be kept; a failover may repeat it");
        self.metrics.unrecorded.inc_by(batch.len() as u64);
        self.written(batch);
    }
}

impl Found {
    fn of(record: Option<&proto::metastore::Record>) -> Self {
        let Some(record) = record else { return Self::default() };
        let told = records::value::<records::NotificationLog>(record).ok();
        let at = match told.and_then(|told| Record::decode(&told.message.record)) {
            Some(Record::Log(_, _, entry)) => Some(entry.at),
            _ => None,
        };
        Self { revision: record.mod_revision, at }
    }
}

/// Writes these down where the lease holds and each key is as it is known to be; otherwise says what there is.
fn txn(batch: &[Entry], instance: &str, token: u64) -> Txn {
    let unchanged = batch.iter().map(|entry| records::unchanged(entry.key.clone(), entry.revision));
    let get = |entry: &Entry| Op { op: Some(op::Op::Get(entry.key.clone())) };
    Txn {
        compare: std::iter::once(records::holds(instance, token)).chain(unchanged).collect(),
        then: batch.iter().map(|entry| entry.op.clone()).collect(),
        otherwise: batch.iter().map(get).collect(),
    }
}

/// What the keys of the log begin with.
pub(super) fn prefix() -> &'static [u8] {
    records::NotificationLog::PREFIX.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use telemetry::Registry;

    use super::*;

    fn told() -> Told {
        Told::new(&Metrics::register(&Registry::new()))
    }

    fn entry(group: &str, at: i64) -> (LogKey, LogEntry) {
        let key = LogKey {
            group: group.to_owned(),
            receiver: "r".to_owned(),
            integration: "webhook".to_owned(),
            index: 0,
        };
        let moment = Moment::from_nanos;
        let (firing, resolved) = (BTreeSet::new(), BTreeSet::new());
        (key, LogEntry { at: moment(at), firing, resolved, expires_at: moment(at + 1) })
    }

    #[test]
    fn a_later_word_takes_the_place_of_an_earlier_one_and_both_are_waited_for() {
        let (told, tenant) = (told(), TenantId::anonymous());
        let mut first = told.add(&tenant, entry("g", 1)).expect("room");
        let old = told.batch(&View::default());
        let mut second = told.add(&tenant, entry("g", 2)).expect("room");
        assert_eq!(told.of(&tenant).len(), 1);
        // What was on its way when a later word came does not count for that.
        told.written(&old);
        assert!(first.try_recv().is_err() && second.try_recv().is_err());
        let new = told.batch(&View::default());
        assert_eq!((old.len(), new.len()), (1, 1));
        assert_eq!(old[0].key, new[0].key, "one key");
        told.written(&new);
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(()), Ok(())));
        assert!(told.batch(&View::default()).is_empty() && told.of(&tenant).is_empty());
    }

    #[test]
    fn what_waits_is_bounded_and_goes_in_parts() {
        let (told, tenant) = (told(), TenantId::anonymous());
        for n in 0..MAX_PENDING {
            assert!(told.add(&tenant, entry(&n.to_string(), 1)).is_some());
        }
        assert!(told.add(&tenant, entry("one more", 1)).is_none());
        assert!(told.add(&tenant, entry("0", 2)).is_some(), "what is known already has room");
        assert_eq!(told.batch(&View::default()).len(), BATCH);
        assert_eq!(told.metrics.unrecorded.get(), 1);
    }

    #[test]
    fn what_others_have_told_later_is_not_written_over_though_the_view_does_not_say_so() {
        let (told, tenant) = (told(), TenantId::anonymous());
        let stored = |at: i64, mod_revision: u64| {
            let (key, entry) = entry("g", at);
            let record = Record::Log(tenant.clone(), key, entry).encode().into();
            let value = Stored::new(AlertmanagerState { record, forget_ms: 0 }).encode();
            let record = proto::metastore::Record { value, mod_revision, ..Default::default() };
            OpResult { record: Some(record), ..OpResult::default() }
        };
        let mut waiting = told.add(&tenant, entry("g", 5)).expect("room");
        let compares =
            |told: &Told| told.batch(&View::default()).iter().map(|e| e.revision).collect::<Vec<_>>();
        assert_eq!(compares(&told), [0], "there is nothing, as far as is known");
        // Something that was told before is written over, if it is still that.
        told.found(&told.batch(&View::default()), &[stored(4, 7)]);
        assert_eq!(compares(&told), [7]);
        told.found(&told.batch(&View::default()), &[stored(6, 9)]);
        assert!(compares(&told).is_empty() && told.of(&tenant).is_empty());
        assert!(waiting.try_recv().is_err(), "nobody waits any more");
    }

    #[test]
    fn what_the_metastore_does_not_take_is_left_and_what_it_does_not_answer_waits() {
        let (told, tenant) = (told(), TenantId::anonymous());
        let _waiting = told.add(&tenant, entry("g", 1));
        let batch = told.batch(&View::default());
        told.refused(&batch, &Error::new(Code::Unavailable, "away"));
        assert_eq!(told.of(&tenant).len(), 1);
        told.refused(&batch, &Error::invalid("too large"));
        assert_eq!((told.of(&tenant).len(), told.metrics.unrecorded.get()), (0, 1));
    }
}
