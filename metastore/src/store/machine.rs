//! The state machine as openraft sees it: the state in memory, and each change of it in the engine, in the batch that
//! says how far the log was applied.

use std::sync::Arc;

use bytes::Bytes;
use env::Scope;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use parking_lot::{Mutex, RwLock};
use prost::Message as _;
use proto::metastore as wire;
use proto::metastore::{DoneTxn, Event, Outcome, Record, StateHeader};
use tokio::sync::watch;

use super::engine::{Batch, Durability, Engine, EngineError, Family};
use super::keys;
use crate::convert;
use crate::state::{Applied, State};
use crate::types::{Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, TypeConfig, Vote};

/// The state as readers see it. Clones see the same state.
#[derive(Clone)]
pub struct View {
    state: Arc<RwLock<State>>,
    /// How far the log was applied; wakes those who wait for changes.
    applied: watch::Receiver<Progress>,
}

/// How far a node has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry applied.
    pub index: Option<u64>,
    /// The revision that it made.
    pub revision: u64,
    /// How often the state was replaced as a whole, by a snapshot.
    pub replaced: u64,
}

impl View {
    /// Reads the state. Nothing is applied meanwhile, so be brief.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read())
    }

    /// How far the state has come, and to be told of more.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.applied.clone()
    }
}

/// Applies the log.
pub struct Machine {
    engine: Arc<dyn Engine>,
    scope: Scope,
    state: Arc<RwLock<State>>,
    progress: watch::Sender<Progress>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    current: Arc<Mutex<Option<Snapshot>>>,
}

impl Machine {
    /// The state that the engine holds.
    ///
    /// # Errors
    /// Where the engine fails, or what it holds cannot be read.
    pub fn load(engine: Arc<dyn Engine>, scope: Scope) -> Result<Self, EngineError> {
        let applied = match engine.get(Family::Meta, keys::APPLIED)? {
            Some(bytes) => wire::SnapshotMeta::decode(&*bytes).map_err(|_| damaged("applied"))?,
            None => wire::SnapshotMeta::default(),
        };
        let applied = convert::snapshot_meta(&applied);
        let state = load_state(&*engine)?;
        let progress = Progress {
            index: applied.last_log_id.map(|id| id.index),
            revision: state.revision(),
            replaced: 0,
        };
        Ok(Self {
            engine,
            scope,
            state: Arc::new(RwLock::new(state)),
            progress: watch::Sender::new(progress),
            last_applied: applied.last_log_id,
            membership: applied.last_membership,
            current: Arc::default(),
        })
    }

    /// The state for readers.
    pub fn view(&self) -> View {
        View { state: Arc::clone(&self.state), applied: self.progress.subscribe() }
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.last_applied.map_or_else(String::new, |id| id.to_string()),
        }
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        let engine = Arc::clone(&self.engine);
        let done = self.scope.run_blocking(move || engine.write(batch, durability)).await;
        let failed = |error| StorageError::from(StorageIOError::write_state_machine(error));
        done.map_err(|error| failed(AnyError::new(&error)))?.map_err(|error| failed(AnyError::new(&error)))
    }

    fn publish(&self, replaced: bool) {
        let revision = self.state.read().revision();
        self.progress.send_modify(|progress| {
            progress.index = self.last_applied.map(|id| id.index);
            progress.revision = revision;
            progress.replaced += u64::from(replaced);
        });
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut outcomes = Vec::new();
        let mut batch = Batch::default();
        for entry in entries {
            let before = Forgotten::of(&self.state.read());
            self.last_applied = Some(entry.log_id);
            outcomes.push(match entry.payload {
                EntryPayload::Blank => Outcome::default(),
                EntryPayload::Normal(command) => {
                    let applied = self.state.write().apply(&command);
                    store(&applied, before, &mut batch);
                    applied.outcome
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Outcome::default()
                }
            });
        }
        put_position(&self.meta(), &self.state.read().header(), &mut batch);
        // Not synced: the log is, and whatever is missing here after a power failure is applied again.
        self.write(batch, Durability::Buffered).await?;
        self.publish(false);
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            state: self.state.read().clone(),
            meta: self.meta(),
            scope: self.scope.clone(),
            current: Arc::clone(&self.current),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Bytes>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Bytes>,
    ) -> Result<(), StorageError> {
        let signature = meta.signature();
        let unreadable =
            |error: AnyError| StorageError::from(StorageIOError::read_snapshot(Some(signature), error));
        let image = (*snapshot).clone();
        let read = self.scope.run_blocking(move || {
            // A follower without a state is sent an empty one.
            if image.is_empty() { Ok(State::default()) } else { State::from_image(&image) }
        });
        let state = match read.await {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => return Err(unreadable(AnyError::new(&error))),
            Err(error) => return Err(unreadable(AnyError::new(&error))),
        };
        let mut batch = Batch::default();
        replace(&state, meta, &mut batch);
        self.write(batch, Durability::Synced).await?;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        *self.state.write() = state;
        *self.current.lock() = Some(Snapshot { meta: meta.clone(), snapshot });
        self.publish(true);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        Ok(self.current.lock().clone())
    }
}

/// Makes a snapshot of a state that no longer changes.
pub struct Builder {
    state: State,
    meta: SnapshotMeta,
    scope: Scope,
    current: Arc<Mutex<Option<Snapshot>>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let state = std::mem::take(&mut self.state);
        let image = self.scope.run_blocking(move || state.to_image()).await;
        let image = image.map_err(|error| {
            StorageError::from(StorageIOError::write_snapshot(None, AnyError::new(&error)))
        })?;
        let snapshot = Snapshot { meta: self.meta.clone(), snapshot: Box::new(image) };
        *self.current.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// How far history and transactions were forgotten.
#[derive(Clone, Copy)]
struct Forgotten {
    events: u64,
    done: u64,
}

impl Forgotten {
    fn of(state: &State) -> Self {
        Self { events: state.history().compacted(), done: state.done().forgotten() }
    }
}

/// Adds what a command changed.
fn store(applied: &Applied, before: Forgotten, batch: &mut Batch) {
    for (nth, event) in (0_u32..).zip(&applied.events) {
        let Some(record) = &event.record else { continue };
        if event.deleted {
            batch.delete(Family::Records, record.key.to_vec());
        } else {
            batch.put(Family::Records, record.key.to_vec(), record.encode_to_vec());
        }
        batch.put(Family::Events, keys::event(record.mod_revision, nth), event.encode_to_vec());
    }
    if let Some(done) = &applied.done {
        batch.put(Family::Done, keys::done(done.revision), done.encode_to_vec());
    }
    if applied.forgotten > before.done {
        batch.delete_range(Family::Done, keys::done(0), keys::done(applied.forgotten.saturating_add(1)));
    }
    if applied.compacted > before.events {
        let end = keys::event(applied.compacted.saturating_add(1), 0);
        batch.delete_range(Family::Events, keys::event(0, 0), end);
    }
}

/// Adds a whole state, in place of what there is.
fn replace(state: &State, meta: &SnapshotMeta, batch: &mut Batch) {
    // Longer than every key.
    let end = vec![0xff; crate::state::MAX_KEY_BYTES + 1];
    batch.delete_range(Family::Records, Vec::new(), end.clone());
    batch.delete_range(Family::Events, Vec::new(), end.clone());
    batch.delete_range(Family::Done, Vec::new(), end);
    for record in state.range(&[], &[]) {
        batch.put(Family::Records, record.key.to_vec(), record.encode_to_vec());
    }
    let mut last = (0, 0);
    for event in state.history().events() {
        let revision = event.record.as_ref().map_or(0, |record| record.mod_revision);
        last = if last.0 == revision { (revision, last.1 + 1) } else { (revision, 0) };
        batch.put(Family::Events, keys::event(last.0, last.1), event.encode_to_vec());
    }
    for done in state.done().iter() {
        batch.put(Family::Done, keys::done(done.revision), done.encode_to_vec());
    }
    put_position(meta, &state.header(), batch);
}

/// Adds a state that came from a backup: nothing before it is in the log, and its node has voted for itself.
pub(crate) fn restored(state: &State, meta: &SnapshotMeta, last: &LogId, batch: &mut Batch) {
    replace(state, meta, batch);
    let vote = Vote::new(last.leader_id.term, last.leader_id.node_id);
    batch.put(Family::Meta, keys::VOTE, convert::vote_to_wire(&vote).encode_to_vec());
    batch.put(Family::Meta, keys::PURGED, convert::log_id_to_wire(last).encode_to_vec());
}

fn put_position(meta: &SnapshotMeta, header: &StateHeader, batch: &mut Batch) {
    batch.put(Family::Meta, keys::APPLIED, convert::snapshot_meta_to_wire(meta).encode_to_vec());
    batch.put(Family::Meta, keys::STATE, header.encode_to_vec());
}

fn load_state(engine: &dyn Engine) -> Result<State, EngineError> {
    let header = match engine.get(Family::Meta, keys::STATE)? {
        Some(bytes) => StateHeader::decode(&*bytes).map_err(|_| damaged("state"))?,
        None => return Ok(State::default()),
    };
    let records = load_all::<Record>(engine, Family::Records)?;
    let events = load_all::<Event>(engine, Family::Events)?;
    let done = load_all::<DoneTxn>(engine, Family::Done)?;
    Ok(State::from_parts(&header, records, events, done))
}

fn load_all<M: prost::Message + Default>(engine: &dyn Engine, family: Family) -> Result<Vec<M>, EngineError> {
    let mut all = Vec::new();
    let mut wrong = None;
    engine.scan(family, &[], &mut |key, value| match M::decode(value) {
        Ok(message) => {
            all.push(message);
            true
        }
        Err(_) => {
            wrong = Some(damaged(&format!("{} {}", family.name(), key.escape_ascii())));
            false
        }
    })?;
    wrong.map_or(Ok(all), Err)
}

fn damaged(what: &str) -> EngineError {
    EngineError { message: format!("the stored {what} is damaged") }
}
