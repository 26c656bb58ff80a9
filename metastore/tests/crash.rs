//! A process that writes to RocksDB is killed without warning; what it said to be written is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use env::Scope;
use metastore::store::{Engine, LogStore, Machine, RocksEngine};
use metastore::types::{Entry, Vote};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::log_id;
use openraft::{EntryPayload, RaftLogReader};
use proto::metastore::{self as wire, Op, Put, Txn, command, op};

/// Says where the child is to write; without it, the test is the parent.
const DIR: &str = "BAROGRAPH_TEST_CRASH_DIR";
/// Kills, each after another number of acknowledged writes.
const ROUNDS: [u64; 4] = [3, 40, 90, 161];

#[test]
fn what_was_acknowledged_survives_kills() {
    match std::env::var_os(DIR) {
        Some(dir) => write(Path::new(&dir)),
        None => kill_and_look(),
    }
}

fn kill_and_look() {
    let dir = tempfile::tempdir().unwrap();
    for writes in ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["what_was_acknowledged_survives_kills", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let acknowledged =
            said.filter_map(|line| line.strip_prefix("written ").map(|n| n.parse::<u64>().unwrap()));
        let last = acknowledged.take(writes as usize).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        look(dir.path(), last);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn open(dir: &Path) -> (LogStore, Machine) {
    let engine: Arc<dyn Engine> = Arc::new(RocksEngine::open(dir).unwrap());
    let scope = Scope::new("crash");
    (LogStore::new(engine.clone(), scope.clone()), Machine::load(engine, scope).unwrap())
}

/// The child: goes on where the last one was killed, and says what is written.
fn write(dir: &Path) {
    runtime().block_on(async {
        let (mut log, mut machine) = open(dir);
        let mut next = log.get_log_state().await.unwrap().last_log_id.map_or(0, |id| id.index + 1);
        let mut applied = machine.applied_state().await.unwrap().0.map_or(0, |id| id.index + 1);
        loop {
            log.save_vote(&Vote::new(next, 1)).await.unwrap();
            log.blocking_append([entry(next)]).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "written {next}").unwrap();
            out.flush().unwrap();
            drop(out);
            while applied <= next {
                machine.apply([entry(applied)]).await.unwrap();
                applied += 1;
            }
            if next % 16 == 15 {
                log.purge(log_id(1, 1, next - 8)).await.unwrap();
            }
            next += 1;
        }
    });
}

fn entry(index: u64) -> Entry {
    let put = Put {
        key: format!("key{}", index % 7).into(),
        value: index.to_string().into(),
        lease: String::new(),
    };
    let txn = Txn { then: vec![Op { op: Some(op::Op::Put(put)) }], ..Txn::default() };
    let command =
        wire::Command { time_ms: index as i64, command: Some(command::Command::Txn(txn)), request: None };
    Entry { log_id: log_id(1, 1, index), payload: EntryPayload::Normal(command) }
}

fn look(dir: &Path, acknowledged: u64) {
    runtime().block_on(async {
        let (mut log, mut machine) = open(dir);
        let state = log.get_log_state().await.unwrap();
        let last = state.last_log_id.unwrap().index;
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, {last} is the last entry");
        let vote = log.read_vote().await.unwrap().unwrap();
        assert!(vote.leader_id.term >= acknowledged);
        let first = state.last_purged_log_id.map_or(0, |id| id.index + 1);
        let entries = log.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries, (first..=last).map(entry).collect::<Vec<_>>());

        // The state is one that was, and the log goes on from it.
        let applied = machine.applied_state().await.unwrap().0.map_or(0, |id| id.index + 1);
        assert!(applied >= first && applied <= last + 1, "{applied} applied, the log begins with {first}");
        assert_eq!(machine.view().read(metastore::state::State::revision), applied);
        machine.apply((applied..=last).map(entry)).await.unwrap();
        for index in last.saturating_sub(6)..=last {
            let key = format!("key{}", index % 7);
            let value = machine.view().read(|state| state.get(key.as_bytes()).unwrap().value.clone());
            assert_eq!(value, index.to_string());
        }
    });
}
