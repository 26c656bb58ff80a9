//! The log as those who append see it: order, grouping, closures, rolling, truncation, poison, closing.

use std::path::Path;

use crate::common::{Collect, DIR, config, interval, open, payload, read, simulate};
use env::{FileSystem, OpKind, OpenOptions, SimFs, write_all_at};
use proptest::prelude::*;
use wal::{AppendError, CommitError, Position, RecoverError, TimeHull, Wal, WalConfig};

const HULL: TimeHull = TimeHull { min_ts: 1, max_ts: 2 };

fn count(fs: &SimFs, op: OpKind) -> usize {
    fs.op_log().iter().filter(|record| record.op == op).count()
}

#[test]
fn records_come_back_in_order_and_where_they_were() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        let mut written = Vec::new();
        for id in 0..200 {
            let record = payload(id, (id as usize * 997) % 90_000);
            let position = log.put(&record, HULL).await.expect("committed");
            written.push((position, record));
        }
        let applied = log.wal.run_in_order(|state| state.applied.clone()).await.expect("runs");
        assert_eq!(applied, written);
        let (records, recovery) = read(&fs, Position::START);
        assert_eq!(records, written);
        assert_eq!((recovery.damage.len(), recovery.torn_tail_bytes), (0, 0));
        assert!(recovery.end.segment > 10, "{:?}", recovery.end);
        let middle = written[100].0;
        assert_eq!(read(&fs, middle).0, written[100..]);
        assert_eq!(log.metric("_wal_records_total"), 200.0);
    });
}

#[test]
fn what_gathers_during_a_sync_shares_the_next() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        log.put(b"first", HULL).await.expect("committed");
        let before = count(&fs, OpKind::Sync);
        let tickets: Vec<_> =
            (0..100).map(|id| log.wal.append(payload(id, 100), HULL).expect("room")).collect();
        for ticket in tickets {
            ticket.await.expect("committed");
        }
        assert_eq!(count(&fs, OpKind::Sync) - before, 1);
        assert_eq!(log.metric("_wal_groups_total"), 2.0);
        assert_eq!(log.wal.pending_bytes(), 0);
    });
}

#[test]
fn closures_run_between_what_came_before_and_after() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        let _a = log.wal.append(b"a".to_vec(), HULL).expect("room");
        let seen = log.wal.run_in_order(|state| state.applied.len());
        let rolled = log.wal.roll();
        let b = log.wal.append(b"b".to_vec(), HULL).expect("room");
        assert_eq!(seen.await.expect("runs"), 1);
        let start = rolled.await.expect("rolls");
        assert_eq!(start, Position { segment: 2, offset: 0 });
        assert!(b.await.expect("committed") > start);
        // Rolling an empty segment changes nothing.
        let (once, twice) = (log.wal.roll().await, log.wal.roll().await);
        assert_eq!(once.expect("rolls"), twice.expect("rolls"));
    });
}

#[test]
fn truncation_removes_whole_segments_and_is_durable() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        for id in 0..3 {
            log.put(&payload(id, 10), HULL).await.expect("committed");
            log.wal.roll().await.expect("rolls");
        }
        let at = log.wal.roll().await.expect("rolls");
        log.wal.truncate_before(at).await.expect("truncates");
        assert_eq!(fs.read_dir(Path::new(DIR)).expect("lists"), []);
        // An empty directory goes on where the snapshot says, not at the start.
        let fs = fs.crash(env::CrashMode::LoseAll);
        let (records, recovery) = read(&fs, at);
        assert_eq!((records.len(), recovery.damage.len(), recovery.end), (0, 0, at));
        let log = open_at(&fs, at);
        let position = log.append(b"on".to_vec(), HULL).expect("room").await.expect("committed");
        assert_eq!(position.segment, at.segment);
    });
}

fn open_at(fs: &SimFs, from: Position) -> Wal<Collect> {
    let (_, recovery) = read(fs, from);
    let deps = wal::WalDeps {
        fs: std::sync::Arc::new(fs.clone()),
        clock: std::sync::Arc::new(env::SimClock::new(0, 0)),
        scope: env::Scope::simulated("test"),
        metrics: wal::WalMetrics::new(&telemetry::Registry::new()),
    };
    Wal::open(&config(), deps, &recovery, Collect::default()).expect("opens")
}

#[test]
fn a_snapshot_ahead_of_the_last_segment_keeps_that_segment_trusted() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        log.put(b"old", HULL).await.expect("committed");
        let at = log.wal.roll().await.expect("rolls");
        drop(log);
        let log = open_at(&fs, at);
        log.append(b"new".to_vec(), HULL).expect("room").await.expect("committed");
        let (records, recovery) = read(&fs, Position::START);
        let records: Vec<_> = records.into_iter().map(|(_, record)| record).collect();
        assert_eq!(records, [b"old", b"new"]);
        assert_eq!(recovery.damage, []);
    });
}

#[test]
fn too_much_waiting_is_refused_and_too_large_too() {
    simulate(async {
        let fs = SimFs::new(1);
        let config = WalConfig { max_pending_bytes: 64 << 10, max_record_bytes: 40_000, ..config() };
        let log = open(&fs, &config).expect("opens");
        let too_large = log.wal.append(vec![0; 40_001], HULL).err();
        assert_eq!(too_large, Some(AppendError::TooLarge { bytes: 40_001, limit: 40_000 }));
        let first = log.wal.append(vec![1; 40_000], HULL).expect("room");
        let second = log.wal.append(vec![1; 40_000], HULL).expect("room");
        assert!(matches!(log.wal.append(vec![1], HULL), Err(AppendError::Overloaded { .. })));
        first.await.expect("committed");
        second.await.expect("committed");
        log.put(&[1], HULL).await.expect("room again");
    });
}

#[test]
fn a_panic_while_applying_poisons() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        let outcome = log.put(b"panic", HULL).await;
        assert!(matches!(outcome, Err(CommitError::Poisoned)), "{outcome:?}");
        assert!(matches!(log.wal.append(vec![1], HULL), Err(AppendError::Poisoned)));
        assert!(matches!(log.wal.roll().await, Err(CommitError::Poisoned)));
    });
}

#[test]
fn cancelling_commits_what_waits_then_closes() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        let ticket = log.wal.append(b"last".to_vec(), HULL).expect("room");
        log.scope.cancel();
        ticket.await.expect("committed");
        let bound = std::time::Duration::from_secs(1);
        assert!(log.scope.join(&env::SimClock::new(0, 0), bound).await);
        assert!(matches!(log.wal.append(vec![1], HULL), Err(AppendError::Closed)));
        assert_eq!(read(&fs, Position::START).0.len(), 1);
    });
}

#[test]
fn aborting_answers_everybody() {
    simulate(async {
        let log = open(&SimFs::new(1), &config()).expect("opens");
        let ticket = log.wal.append(b"last".to_vec(), HULL).expect("room");
        log.scope.abort();
        assert!(matches!(ticket.await, Err(CommitError::Closed)));
        assert!(matches!(log.wal.append(vec![1], HULL), Err(AppendError::Closed)));
    });
}

#[test]
fn at_an_interval_the_disk_catches_up() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &interval(100)).expect("opens");
        for id in 0..50 {
            log.put(&payload(id, 100), HULL).await.expect("committed");
        }
        assert_eq!(count(&fs, OpKind::Sync), 1, "of the new segment");
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        assert_eq!(count(&fs, OpKind::Sync), 2);
        log.put(b"more", HULL).await.expect("committed");
        log.wal.close().await;
        assert_eq!(count(&fs, OpKind::Sync), 3);
        let (records, recovery) = read(&fs.crash(env::CrashMode::LoseAll), Position::START);
        assert_eq!((records.len(), recovery.damage.len()), (51, 0));
    });
}

#[test]
fn an_unknown_format_is_refused() {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &config()).expect("opens");
        log.put(b"one", HULL).await.expect("committed");
        let path = Path::new(DIR).join("00000001.wal");
        let mut header = env::read_file(&fs, &path, 1 << 20).expect("reads")[..60].to_vec();
        let file = fs.open(&path, OpenOptions::READ_WRITE).expect("opens");
        for version in [0, 3, 255] {
            header[4] = version;
            let crc = crc32c::crc32c(&header[..56]);
            header[56..].copy_from_slice(&crc.to_le_bytes());
            write_all_at(&*file, &header, 0).expect("writes");
            let error = wal::recover(&fs, Path::new(DIR), Position::START, |_, _| ()).expect_err("refused");
            let is_told =
                matches!(error, RecoverError::UnknownFormat { found, known: 2, .. } if found == version);
            assert!(is_told, "{error}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes, the groups and the restarts in between: what goes in comes out.
    #[test]
    fn round_trip(groups in prop::collection::vec((prop::collection::vec(0_usize..200 << 10, 1..6), any::<bool>()), 1..12)) {
        simulate(async {
            let fs = SimFs::new(1);
            let mut log = open(&fs, &config()).expect("opens");
            let mut written = Vec::new();
            for (sizes, restart) in groups {
                let mut tickets = Vec::new();
                for size in sizes {
                    let record = payload(written.len() as u64, size);
                    tickets.push(log.wal.append(record.clone(), HULL).expect("room"));
                    written.push(record);
                }
                for ticket in tickets {
                    ticket.await.expect("committed");
                }
                if restart {
                    drop(log);
                    log = open(&fs, &config()).expect("opens");
                }
            }
            let (records, recovery) = read(&fs.crash(env::CrashMode::LoseAll), Position::START);
            let records: Vec<_> = records.into_iter().map(|(_, record)| record).collect();
            assert!(records == written, "{} of {} records", records.len(), written.len());
            assert_eq!((recovery.damage.len(), recovery.torn_tail_bytes), (0, 0));
        });
    }
}
