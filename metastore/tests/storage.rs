//! Both stores are held to openraft's own storage suite, and to what it does not ask: restarts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use env::Scope;
use metastore::state::State;
use metastore::store::{Batch, Durability, Engine, Family, LogStore, Machine, MemoryEngine, RocksEngine};
use metastore::types::{Entry, LogId, StorageError, TypeConfig, Vote};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite, log_id, membership_ent};
use openraft::{EntryPayload, RaftLogReader, RaftSnapshotBuilder};
use proto::metastore::{Command, Op, Put, Txn, command, op};

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, Machine, ()> for InMemory {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError> {
        let (log, machine) = open(Arc::new(MemoryEngine::new()), &Scope::simulated("suite"));
        Ok(((), log, machine))
    }
}

struct OnDisk;

impl StoreBuilder<TypeConfig, LogStore, Machine, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let (log, machine) = open(Arc::new(RocksEngine::open(dir.path()).unwrap()), &Scope::new("suite"));
        Ok((dir, log, machine))
    }
}

fn open(engine: Arc<dyn Engine>, scope: &Scope) -> (LogStore, Machine) {
    let machine = Machine::load(engine.clone(), scope.clone()).unwrap();
    (LogStore::new(engine, scope.clone()), machine)
}

#[test]
fn memory_passes_the_suite_of_openraft() {
    Suite::test_all(InMemory).unwrap();
}

#[test]
fn rocksdb_passes_the_suite_of_openraft() {
    Suite::test_all(OnDisk).unwrap();
}

fn put(key: &str, value: &str, index: u64) -> Entry {
    let put = Put { key: key.to_owned().into(), value: value.to_owned().into(), lease: String::new() };
    let txn = Txn { then: vec![Op { op: Some(op::Op::Put(put)) }], ..Txn::default() };
    let command = Command { time_ms: index as i64, command: Some(command::Command::Txn(txn)), request: None };
    Entry { log_id: log_id(1, 1, index), payload: EntryPayload::Normal(command) }
}

/// What a node holds after some work: entries 0 to 9, the first six applied, three of them removed from the log.
async fn work(log: &mut LogStore, machine: &mut Machine) -> State {
    log.save_vote(&Vote::new_committed(3, 7)).await.unwrap();
    let members = membership_ent::<TypeConfig>(1, 1, 0, vec![[1, 2, 3].into()]);
    let entries: Vec<Entry> = std::iter::once(members)
        .chain((1..10).map(|index| put(&format!("key{}", index % 4), "v", index)))
        .collect();
    log.blocking_append(entries.clone()).await.unwrap();
    log.truncate(log_id(1, 1, 8)).await.unwrap();
    machine.apply(entries[..6].to_vec()).await.unwrap();
    log.purge(log_id(1, 1, 2)).await.unwrap();
    machine.view().read(State::clone)
}

async fn check_after_restart(log: &mut LogStore, machine: &mut Machine, before: &State) {
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(3, 7)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(1, 1, 2)));
    assert_eq!(state.last_log_id, Some(log_id(1, 1, 7)));
    let indexes: Vec<u64> =
        log.try_get_log_entries(..).await.unwrap().iter().map(|entry| entry.log_id.index).collect();
    assert_eq!(indexes, [3, 4, 5, 6, 7]);
    let (applied, members) = machine.applied_state().await.unwrap();
    assert_eq!(applied, Some(log_id(1, 1, 5)));
    assert_eq!(members.voter_ids().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(machine.view().read(State::to_image), before.to_image());
}

#[tokio::test]
async fn rocksdb_has_everything_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let scope = Scope::new("restart");
    let before = {
        let (mut log, mut machine) = open(Arc::new(RocksEngine::open(dir.path()).unwrap()), &scope);
        work(&mut log, &mut machine).await
    };
    let (mut log, mut machine) = open(Arc::new(RocksEngine::open(dir.path()).unwrap()), &scope);
    check_after_restart(&mut log, &mut machine, &before).await;
}

#[tokio::test]
async fn memory_has_everything_after_a_restart_and_what_was_synced_after_a_power_failure() {
    let disk = MemoryEngine::new();
    let scope = Scope::simulated("restart");
    let (mut log, mut machine) = open(Arc::new(disk.clone()), &scope);
    let before = work(&mut log, &mut machine).await;
    let (mut log, mut machine) = open(Arc::new(disk.clone()), &scope);
    check_after_restart(&mut log, &mut machine, &before).await;

    // The removal from the log was synced, and with it the state that was applied before.
    disk.lose_power();
    let (mut log, mut machine) = open(Arc::new(disk.clone()), &scope);
    check_after_restart(&mut log, &mut machine, &before).await;

    // What is applied and not synced is forgotten, and the log still has it.
    machine.apply([put("late", "v", 6)]).await.unwrap();
    disk.lose_power();
    let (mut log, mut machine) = open(Arc::new(disk), &scope);
    check_after_restart(&mut log, &mut machine, &before).await;
}

#[tokio::test]
async fn a_snapshot_makes_an_equal_state_elsewhere_and_replaces_all_of_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let scope = Scope::new("snapshot");
    let (mut log, mut source) = open(Arc::new(MemoryEngine::new()), &scope);
    let expected = work(&mut log, &mut source).await;
    let snapshot = source.get_snapshot_builder().await.build_snapshot().await.unwrap();

    {
        let (_, mut target) = open(Arc::new(RocksEngine::open(dir.path()).unwrap()), &scope);
        target.apply((0..3).map(|index| put("gone", "v", index))).await.unwrap();
        target.install_snapshot(&snapshot.meta, snapshot.snapshot.clone()).await.unwrap();
        assert_eq!(target.view().read(State::to_image), expected.to_image());
        assert_eq!(target.get_current_snapshot().await.unwrap().unwrap().meta, snapshot.meta);
    }
    let (_, mut target) = open(Arc::new(RocksEngine::open(dir.path()).unwrap()), &scope);
    assert_eq!(target.view().read(State::to_image), expected.to_image());
    assert_eq!(target.applied_state().await.unwrap().0, Some::<LogId>(log_id(1, 1, 5)));
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let (mut log, mut machine) = open(Arc::new(MemoryEngine::new()), &Scope::simulated("damage"));
    let before = work(&mut log, &mut machine).await;
    let snapshot = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    for at in [0, 30, snapshot.snapshot.len() - 1] {
        let mut damaged = snapshot.snapshot.to_vec();
        damaged[at] ^= 1;
        machine.install_snapshot(&snapshot.meta, Box::new(damaged.into())).await.unwrap_err();
    }
    assert_eq!(machine.view().read(State::to_image), before.to_image());
}

#[test]
fn engines_agree_on_order_ranges_and_batches() {
    let dir = tempfile::tempdir().unwrap();
    let rocks = RocksEngine::open(dir.path()).unwrap();
    let memory = MemoryEngine::new();
    for engine in [&rocks as &dyn Engine, &memory] {
        let mut batch = Batch::default();
        for key in [[1_u8, 0], [0, 9], [0, 1], [255, 255]] {
            batch.put(Family::Log, key, [7]);
        }
        batch.put(Family::Meta, [0, 5], [8]);
        batch.delete_range(Family::Log, [0, 9], [1, 0]);
        engine.write(batch, Durability::Buffered).unwrap();
        let mut keys = Vec::new();
        engine
            .scan(Family::Log, &[0, 1], &mut |key, _| {
                keys.push(key.to_vec());
                keys.len() < 2
            })
            .unwrap();
        assert_eq!(keys, [[0, 1], [1, 0]]);
        assert_eq!(engine.last(Family::Log).unwrap(), Some((vec![255, 255], vec![7])));
        assert_eq!(engine.last(Family::Events).unwrap(), None);
        assert_eq!(engine.get(Family::Meta, &[0, 5]).unwrap(), Some(vec![8]));
        assert_eq!(engine.get(Family::Log, &[0, 9]).unwrap(), None);
    }
}
