//! The log with real threads on the machine's file system.

use std::sync::Arc;
use std::time::Duration;

use env::{RealFs, Scope, SimFs, SystemClock};
use telemetry::Registry;
use tempfile::TempDir;
use wal::{
    AppendError, Apply, CommitError, Position, Recovery, TimeHull, Wal, WalConfig, WalDeps, WalMetrics,
    recover,
};

use crate::common::{Collect, payload};

const HULL: TimeHull = TimeHull { min_ts: 1, max_ts: 2 };
const WRITERS: u64 = 32;
const RECORDS: u64 = 24;

type Records = Vec<(Position, Vec<u8>)>;

fn config(home: &TempDir) -> WalConfig {
    WalConfig { segment_bytes: 64 << 10, ..WalConfig::new(home.path().join("wal")) }
}

fn read(config: &WalConfig) -> (Records, Recovery) {
    let mut records = Vec::new();
    let recovery = recover(&RealFs, &config.dir, Position::START, |position, record| {
        records.push((position, record.to_vec()));
    });
    (records, recovery.expect("the log can be read"))
}

fn open(config: &WalConfig, scope: &Scope) -> Wal<Collect> {
    let deps = WalDeps {
        fs: Arc::new(RealFs),
        clock: Arc::new(SystemClock::new()),
        scope: scope.clone(),
        metrics: WalMetrics::new(&Registry::new()),
    };
    Wal::open(config, deps, &read(config).1, Collect::default()).expect("the log opens")
}

/// Appends records of one writer one after the other; those that were acknowledged, with their places.
async fn append(wal: Wal<Collect>, writer: u64) -> Records {
    let mut acknowledged = Vec::new();
    for index in 0..RECORDS {
        let record = payload(writer * RECORDS + index, 20 + (index as usize * 37) % 3_000);
        let Ok(ticket) = wal.append(record.clone(), HULL) else {
            break;
        };
        match ticket.await {
            Ok(position) => acknowledged.push((position, record)),
            Err(error) => {
                assert!(matches!(error, CommitError::Closed), "{error}");
                break;
            }
        }
        if index % 8 == writer % 8 {
            // Leaves the thread time to go back to the pool.
            tokio::time::sleep(Duration::from_millis(writer % 9)).await;
        }
    }
    acknowledged
}

/// Runs all writers, with closures and rolls in between; what was acknowledged, in log order.
async fn crowd(wal: &Wal<Collect>) -> Records {
    let scope = Scope::new("writers");
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| scope.spawn("writer", append(wal.clone(), writer))).collect();
    let mut last = 0;
    for _ in 0..10 {
        let Ok(applied) = wal.run_in_order(|state| state.applied.len()).await else {
            break;
        };
        assert!(applied >= last, "{applied} after {last}");
        last = applied;
        // A log that was stopped meanwhile does not roll.
        let _ = wal.roll().await;
    }
    let mut acknowledged = Records::new();
    for writer in writers {
        let records = writer.await.expect("writes");
        assert!(records.is_sorted(), "one writer's records lie in order");
        acknowledged.extend(records);
    }
    acknowledged.sort();
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_writers_were_told_is_there_again() {
    let home = tempfile::tempdir().expect("a directory");
    let config = config(&home);
    let mut expected = Records::new();
    for _ in 0..2 {
        let wal = open(&config, &Scope::new("test"));
        expected.extend(crowd(&wal).await);
        wal.close().await;
        assert_eq!(wal.pending_bytes(), 0);
        assert!(matches!(wal.append(vec![1], HULL), Err(AppendError::Closed)));
    }
    assert_eq!(expected.len() as u64, 2 * WRITERS * RECORDS);
    let (found, recovery) = read(&config);
    assert!(found == expected, "{} of {} records", found.len(), expected.len());
    assert_eq!((recovery.damage.len(), recovery.torn_tail_bytes), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelled_under_load_it_commits_what_it_took_and_closes() {
    let home = tempfile::tempdir().expect("a directory");
    let config = config(&home);
    let scope = Scope::new("test");
    let wal = open(&config, &scope);
    let stop = async {
        while wal.run_in_order(|state| state.applied.len()).await.expect("open") < 200 {}
        scope.cancel();
    };
    let (acknowledged, ()) = tokio::join!(crowd(&wal), stop);
    assert!(scope.join(&SystemClock::new(), Duration::from_secs(10)).await, "the log ends");
    // Nobody was told of a failure, so what is there is what was acknowledged.
    let (found, recovery) = read(&config);
    assert!(found == acknowledged, "{} of {} records", found.len(), acknowledged.len());
    assert!(acknowledged.len() >= 200 && recovery.damage.is_empty());
}

/// Panics at its hundredth record.
#[derive(Default)]
struct Fragile(u64);

impl Apply for Fragile {
    type Outcome = ();

    fn apply(&mut self, _: Position, _: &[u8]) {
        self.0 += 1;
        assert!(self.0 < 100, "the hundredth is too much");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_panic_poisons_everybody_who_waits() {
    let fs = Arc::new(SimFs::new(1));
    let config = WalConfig::new("/wal");
    let recovery = recover(&*fs, &config.dir, Position::START, |_, _| ()).expect("the log can be read");
    let deps = WalDeps {
        fs,
        clock: Arc::new(SystemClock::new()),
        scope: Scope::new("test"),
        metrics: WalMetrics::new(&Registry::new()),
    };
    let wal = Wal::open(&config, deps, &recovery, Fragile::default()).expect("the log opens");
    let scope = Scope::new("writers");
    let write = |wal: Wal<Fragile>| async move {
        loop {
            let outcome = match wal.append(vec![1], HULL) {
                Ok(ticket) => ticket.await,
                Err(error) => break assert_eq!(error, AppendError::Poisoned),
            };
            if let Err(error) = outcome {
                break assert!(matches!(error, CommitError::Poisoned), "{error}");
            }
        }
    };
    let writers: Vec<_> = (0..8).map(|_| scope.spawn("writer", write(wal.clone()))).collect();
    for writer in writers {
        writer.await.expect("is told");
    }
}
