//! Crashes and refusals at every operation: what was acknowledged is there, in order, and nothing that failed comes
//! back once something later was acknowledged.

use crate::common::{Opened, config, interval, open, payload, read, simulate};
use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};
use wal::{Position, TimeHull, WalConfig};

const HULL: TimeHull = TimeHull { min_ts: 1, max_ts: 2 };
const MODES: [CrashMode; 3] = [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Torn];

/// What became of a record, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Failed,
}

/// Appends records `from..to` in groups of three of very different sizes, with a roll and a truncation in between, and
/// notes the fate of each.
async fn write(log: &Opened, fates: &mut Vec<Fate>, groups: usize) {
    for group in 0..groups {
        let tickets: Vec<_> = (0..3)
            .map(|index| {
                let id = fates.len() + index;
                let record = payload(id as u64, [20, 700, 40_000][index] + id);
                log.wal.append([&(id as u64).to_le_bytes()[..], &record].concat(), HULL)
            })
            .collect();
        for ticket in tickets {
            let outcome = match ticket {
                Ok(ticket) => ticket.await.is_ok(),
                Err(_) => false,
            };
            fates.push(if outcome { Fate::Acknowledged } else { Fate::Failed });
        }
        if group == 2 {
            let _ = log.wal.roll().await;
        }
    }
}

/// Checks what a disk holds against the fates: everything acknowledged, in order and whole; of what failed only what
/// comes after the last acknowledged record.
fn check(fs: &SimFs, fates: &[Fate], what: &str) -> usize {
    let (records, recovery) = read(fs, Position::START);
    assert_eq!(recovery.damage, [], "{what}");
    let mut found = Vec::new();
    for (_, record) in &records {
        let id = u64::from_le_bytes(record[..8].try_into().expect("eight bytes"));
        let len = [20, 700, 40_000][id as usize % 3] + id as usize;
        assert!(record[8..] == payload(id, len), "{what}: record {id} differs");
        found.push(id as usize);
    }
    let last = fates.iter().rposition(|fate| *fate == Fate::Acknowledged);
    let settled = last.map_or(0, |last| last + 1);
    let expected: Vec<usize> = (0..settled).filter(|id| fates[*id] == Fate::Acknowledged).collect();
    let (before, after): (Vec<usize>, Vec<usize>) = found.iter().partition(|id| **id < settled);
    assert_eq!(before, expected, "{what}: acknowledged records");
    assert!(found.is_sorted(), "{what}: {found:?}");
    // What failed together may be there up to any record.
    assert!(after.iter().enumerate().all(|(index, id)| *id == settled + index), "{what}: {after:?}");
    records.len()
}

/// Runs a workload with a crash at operation `at`, then twice recovers, goes on and loses power again.
async fn crash_at(config: &WalConfig, at: u64, mode: CrashMode) -> bool {
    let what = format!("crash at {at}, {mode:?}");
    let mut disk = SimFs::new(at * 3 + 1);
    disk.plan(Fault { op: OpKind::Change, nth: at, kind: FaultKind::Crash });
    let mut fates = Vec::new();
    if let Ok(log) = open(&disk, config) {
        write(&log, &mut fates, 12).await;
        log.scope.abort();
    }
    let fired = disk.has_crashed();
    for round in 0..2 {
        disk = disk.crash(mode);
        let kept = check(&disk, &fates, &format!("{what}, round {round}"));
        // What was found counts from now on; what was not found must stay lost.
        let acknowledged = fates.iter().filter(|fate| **fate == Fate::Acknowledged).count();
        let mut extra = kept - acknowledged;
        let settled = fates.iter().rposition(|fate| *fate == Fate::Acknowledged).map_or(0, |last| last + 1);
        for fate in fates.iter_mut().skip(settled) {
            if extra > 0 {
                *fate = Fate::Acknowledged;
                extra -= 1;
            }
        }
        let log = open(&disk, config).expect("opens after a crash");
        write(&log, &mut fates, 3).await;
        assert_eq!(fates.last(), Some(&Fate::Acknowledged), "{what}");
        log.scope.abort();
    }
    check(&disk.crash(CrashMode::LoseAll), &fates, &what);
    fired
}

#[test]
fn a_crash_at_every_operation_loses_nothing_acknowledged() {
    for mode in MODES {
        for at in 0.. {
            if !simulate(crash_at(&config(), at, mode)) {
                assert!(at > 30, "only {at} operations were tried");
                break;
            }
        }
    }
}

#[test]
fn torn_in_many_ways() {
    for seed in 0..300 {
        simulate(async {
            let disk = SimFs::new(seed);
            let mut fates = Vec::new();
            let log = open(&disk, &config()).expect("opens");
            disk.plan(Fault { op: OpKind::Sync, nth: seed % 7, kind: FaultKind::Crash });
            write(&log, &mut fates, 7).await;
            check(&disk.crash(CrashMode::Torn), &fates, &format!("seed {seed}"));
        });
    }
}

/// One refusal at the `nth` operation of a kind: the group fails, those after succeed, and no failed record is found.
async fn refuse(op: OpKind, nth: u64, kind: FaultKind, mode: CrashMode) -> bool {
    let what = format!("{kind:?} at {op:?} {nth}, {mode:?}");
    let disk = SimFs::new(nth);
    let mut fates = Vec::new();
    let log = open(&disk, &config()).expect("opens");
    disk.plan(Fault { op, nth, kind });
    write(&log, &mut fates, 6).await;
    let failed = fates.iter().filter(|fate| **fate == Fate::Failed).count();
    disk.clear_faults();
    write(&log, &mut fates, 2).await;
    assert_eq!(fates.last(), Some(&Fate::Acknowledged), "{what}: goes on");
    let applied = log.wal.run_in_order(|state| state.applied.len()).await.expect("runs");
    assert_eq!(applied, fates.len() - failed, "{what}: applied");
    assert!(failed == 0 || failed == 3, "{what}: {failed} failed");
    assert_eq!(log.metric("_wal_failures_total"), if failed == 0 { 0.0 } else { 1.0 }, "{what}");
    check(&disk, &fates, &what);
    check(&disk.crash(mode), &fates, &what);
    failed > 0
}

#[test]
fn a_refusal_anywhere_fails_one_group_and_no_more() {
    let mut struck = 0;
    for mode in MODES {
        for kind in [FaultKind::Enospc, FaultKind::Eio, FaultKind::ShortWrite] {
            for op in [OpKind::Write, OpKind::Sync, OpKind::SyncDir, OpKind::Create, OpKind::SetLen] {
                for nth in 0..12 {
                    struck += u32::from(simulate(refuse(op, nth, kind, mode)));
                }
            }
        }
    }
    assert!(struck > 60, "only {struck} refusals struck");
}

#[test]
fn a_refusal_then_a_crash_anywhere() {
    for mode in MODES {
        for fault in [OpKind::Sync, OpKind::Write, OpKind::SyncDir] {
            for at in 0..40 {
                simulate(async {
                    let disk = SimFs::new(at);
                    let mut fates = Vec::new();
                    let log = open(&disk, &config()).expect("opens");
                    disk.plan(Fault { op: fault, nth: at % 5, kind: FaultKind::Eio });
                    disk.plan(Fault { op: OpKind::Change, nth: at, kind: FaultKind::Crash });
                    write(&log, &mut fates, 6).await;
                    let what = format!("{fault:?} fails, crash at {at}, {mode:?}");
                    // Of a failed group that no acknowledged one follows any prefix may be there, so of two such, too.
                    check_after_failures(&disk.crash(mode), &fates, &what);
                });
            }
        }
    }
}

/// As `check`, but what failed after the last acknowledged record may have gaps.
fn check_after_failures(fs: &SimFs, fates: &[Fate], what: &str) {
    let (records, recovery) = read(fs, Position::START);
    assert_eq!(recovery.damage, [], "{what}");
    let found: Vec<usize> = records
        .iter()
        .map(|(_, record)| u64::from_le_bytes(record[..8].try_into().expect("eight")) as usize)
        .collect();
    let settled = fates.iter().rposition(|fate| *fate == Fate::Acknowledged).map_or(0, |last| last + 1);
    let expected: Vec<usize> = (0..settled).filter(|id| fates[*id] == Fate::Acknowledged).collect();
    let before: Vec<usize> = found.iter().copied().filter(|id| *id < settled).collect();
    assert_eq!(before, expected, "{what}");
    assert!(found.is_sorted(), "{what}: {found:?}");
}

#[test]
fn a_full_disk_fails_writes_until_there_is_space() {
    simulate(async {
        let disk = SimFs::new(1);
        let log = open(&disk, &config()).expect("opens");
        let mut fates = Vec::new();
        write(&log, &mut fates, 2).await;
        disk.set_enospc(true);
        for _ in 0..5 {
            let error = log.put(b"no room", HULL).await.expect_err("refused");
            assert!(error.is_no_space(), "{error}");
        }
        disk.set_enospc(false);
        write(&log, &mut fates, 2).await;
        assert!(fates.iter().all(|fate| *fate == Fate::Acknowledged));
        check(&disk, &fates, "after a full disk");
        // And one that fills up in the middle of a write.
        disk.set_space_limit(disk.used_bytes() + 10_000);
        let error = log.put(&payload(1, 50_000), HULL).await.expect_err("refused");
        assert!(error.is_no_space(), "{error:?}");
        disk.set_space_limit(u64::MAX);
        write(&log, &mut fates, 2).await;
        check(&disk.crash(CrashMode::KeepAll), &fates, "after a disk that filled up");
    });
}

#[test]
fn at_an_interval_a_crash_loses_only_the_end() {
    for mode in MODES {
        for at in 0..60 {
            simulate(async {
                let disk = SimFs::new(at);
                let mut fates = Vec::new();
                let log = open(&disk, &interval(10)).expect("opens");
                disk.plan(Fault { op: OpKind::Change, nth: at, kind: FaultKind::Crash });
                write(&log, &mut fates, 6).await;
                let (records, recovery) = read(&disk.crash(mode), Position::START);
                assert_eq!(recovery.damage, [], "crash at {at}, {mode:?}");
                for (index, (_, record)) in records.iter().enumerate() {
                    assert_eq!(record[..8], (index as u64).to_le_bytes(), "crash at {at}, {mode:?}");
                }
            });
        }
    }
}
