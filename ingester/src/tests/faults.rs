//! Disks that are full, broken or damaged: writes are refused, nothing acknowledged is lost, and it goes on without a
//! restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, Fault, FaultKind, FileSystem, OpKind, SimFs};
use proto::Code;

use super::support::*;

const STEP_MS: i64 = 15_000;

async fn work(host: &Host, oracle: &mut Oracle, from_step: i64, steps: i64) -> usize {
    let team = tenant("team-a");
    let mut failed = 0;
    for step in from_step..from_step + steps {
        let at = NOW_MS - 3_600_000 + step * STEP_MS;
        let rows: Vec<Row> =
            (0..4).map(|i| row(&labels("up", i), at, (step * 10 + i as i64) as f64)).collect();
        let answer = host.push(&team, &rows).await;
        if let Err(error) = &answer {
            assert_eq!(error.code, Code::Unavailable, "{error}");
            assert!(error.retry_after.is_some());
            failed += 1;
        }
        oracle.note(&rows, &answer);
        if step % 20 == 19 {
            let _ = host.ingester.inner.head.store().sync();
        }
        if step % 35 == 34 {
            host.snapshot().await;
        }
        // Failures make the log wait for a moment.
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    failed
}

async fn read_again(fs: &SimFs, oracle: &Oracle, context: &str) {
    let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
    oracle.check(&host.read_all(&tenant("team-a")).await, context);
    end(host).await;
}

#[test]
fn one_failure_of_any_operation_costs_at_most_the_writes_it_hits() {
    run(async {
        for (op, kind) in [
            (OpKind::Write, FaultKind::Enospc),
            (OpKind::Write, FaultKind::Eio),
            (OpKind::Write, FaultKind::ShortWrite),
            (OpKind::Sync, FaultKind::Eio),
            (OpKind::SyncDir, FaultKind::Eio),
            (OpKind::Create, FaultKind::Enospc),
            (OpKind::Rename, FaultKind::Eio),
            (OpKind::Remove, FaultKind::Eio),
        ] {
            for nth in 0.. {
                let context = format!("{kind:?} at {op:?} {nth}");
                let fs = SimFs::new(nth);
                let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
                let log_before = fs.op_log().iter().filter(|r| r.op == op).count() as u64;
                fs.plan(Fault { op, nth, kind });
                let mut oracle = Oracle::default();
                work(&host, &mut oracle, 0, 120).await;
                let operations = fs.op_log().iter().filter(|r| r.op == op).count() as u64 - log_before;
                fs.clear_faults();
                assert_eq!(
                    work(&host, &mut oracle, 120, 5).await,
                    0,
                    "{context}: it goes on without a restart"
                );
                oracle.check(&host.read_all(&tenant("team-a")).await, &context);
                end(host).await;
                read_again(&fs.crash(CrashMode::LoseAll), &oracle, &context).await;
                if nth >= operations {
                    assert!(nth > 0, "{op:?} happens");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_full_disk_refuses_writes_and_recovers_when_there_is_space() {
    run(async {
        let fs = SimFs::new(3);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        let mut oracle = Oracle::default();
        assert_eq!(work(&host, &mut oracle, 0, 50).await, 0);
        fs.set_enospc(true);
        assert_eq!(work(&host, &mut oracle, 50, 40).await, 40, "nothing is acknowledged on a full disk");
        oracle.check(&host.read_all(&tenant("team-a")).await, "full");
        fs.set_enospc(false);
        work(&host, &mut oracle, 90, 2).await;
        assert_eq!(work(&host, &mut oracle, 92, 40).await, 0, "space has returned");
        oracle.check(&host.read_all(&tenant("team-a")).await, "space");
        end(host).await;
        read_again(&fs.crash(CrashMode::LoseAll), &oracle, "after a crash").await;
    });
}

/// The newest snapshot is damaged at every place in turn: the one before it and the log have everything.
#[test]
fn a_damaged_snapshot_costs_nothing() {
    run(async {
        let fs = SimFs::new(4);
        let mut oracle = Oracle::default();
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        work(&host, &mut oracle, 0, 110).await;
        end(host).await;
        let dir = Path::new("/data/ingester/snapshots");
        let newest = fs.read_dir(dir).unwrap().pop().unwrap();
        for offset in (0..newest.len).step_by(37) {
            let damaged = fs.crash(CrashMode::KeepAll);
            damaged.flip_bit(&dir.join(&newest.name), offset, 3).unwrap();
            let host = start(Arc::new(damaged.clone()), limits(Duration::ZERO)).await.unwrap();
            let context = format!("bit flipped at {offset}");
            oracle.check(&host.read_all(&tenant("team-a")).await, &context);
            assert_eq!(host.ingester.restored().lost_ranges, 0, "{context}");
            end(host).await;
        }
    });
}

/// A bit of the log flips: what is lost is reported, and covers everything that is missing.
#[test]
fn a_damaged_log_is_reported() {
    run(async {
        let fs = SimFs::new(5);
        let mut oracle = Oracle::default();
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        work(&host, &mut oracle, 0, 30).await;
        end(host).await;
        let dir = Path::new("/data/ingester/wal");
        let segment = fs.read_dir(dir).unwrap().remove(0);
        let middle = segment.len / 2;
        let damaged = fs.crash(CrashMode::KeepAll);
        damaged.flip_bit(&dir.join(&segment.name), middle, 0).unwrap();
        let host = start(Arc::new(damaged), limits(Duration::ZERO)).await.unwrap();
        assert_eq!(host.ingester.restored().lost_ranges, 1);
        let found: usize =
            host.read_all(&tenant("team-a")).await.values().map(std::collections::BTreeMap::len).sum();
        assert!(found < oracle.acknowledged(), "something was lost");
        end(host).await;
    });
}
