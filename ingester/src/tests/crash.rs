//! Crashes: at every operation on the disk, in every way of losing what was not synced.

use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, Fault, FaultKind, FileSystem, OpKind, SimFs};

use super::support::*;

const MODES: [CrashMode; 3] = [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Torn];
const STEP_MS: i64 = 15_000;

fn window() -> crate::config::Limits {
    limits(Duration::from_secs(600))
}

/// Some scrapes of some series with late samples, new series, flushes of chunk files and snapshots in between. Ends early
/// when the disk is gone.
async fn work(host: &Host, oracle: &mut Oracle, from_step: i64, steps: i64) {
    let team = tenant("team-a");
    for step in from_step..from_step + steps {
        let at = NOW_MS - 3_600_000 + step * STEP_MS;
        let instances = 3 + (step / 40) as usize;
        let mut rows: Vec<Row> =
            (0..instances).map(|i| row(&labels("up", i), at, (step * 10 + i as i64) as f64)).collect();
        if step % 7 == 3 {
            rows.push(row(&labels("up", 0), at - 2 * STEP_MS - 1, step as f64));
        }
        let answer = host.push(&team, &rows).await;
        oracle.note(&rows, &answer);
        if step % 50 == 49 {
            // Failing is what the disk is here for.
            let _ = host.ingester.inner.head.store().flush();
        }
        if step % 70 == 69 {
            host.snapshot().await;
        }
    }
}

async fn read_after(fs: &SimFs, oracle: &Oracle, context: &str) {
    let host = start(Arc::new(fs.clone()), window()).await.unwrap();
    oracle.check(&host.read_all(&tenant("team-a")).await, context);
    assert_eq!(host.ingester.restored().lost_ranges, 0, "{context}: a crash is no damage");
    end(host).await;
}

#[test]
fn a_clean_stop_and_start_changes_nothing() {
    run(async {
        let fs = SimFs::new(1);
        let mut oracle = Oracle::default();
        for round in 0..4 {
            let host = start(Arc::new(fs.clone()), window()).await.unwrap();
            oracle.check(&host.read_all(&tenant("team-a")).await, "started");
            work(&host, &mut oracle, round * 60, 60).await;
            oracle.check(&host.read_all(&tenant("team-a")).await, "live");
            host.ingester.stop().await;
            end(host).await;
        }
        assert!(oracle.acknowledged() > 700);
    });
}

/// Snapshots with nothing logged in between replace each other; the last of them must survive.
#[test]
fn snapshots_without_writes_in_between_are_kept() {
    run(async {
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), window()).await.unwrap();
        let mut oracle = Oracle::default();
        work(&host, &mut oracle, 0, 10).await;
        host.ingester.stop().await;
        end(host).await;
        for _ in 0..2 {
            let host = start(Arc::new(fs.clone()), window()).await.unwrap();
            for _ in 0..4 {
                assert!(host.snapshot().await);
            }
            oracle.check(&host.read_all(&tenant("team-a")).await, "live");
            end(host).await;
        }
        read_after(&fs.crash(CrashMode::LoseAll), &oracle, "after a crash").await;
    });
}

#[test]
fn a_crash_at_every_operation_loses_nothing_acknowledged() {
    run(async {
        let total = {
            let fs = SimFs::new(1);
            let host = start(Arc::new(fs.clone()), window()).await.unwrap();
            work(&host, &mut Oracle::default(), 0, 150).await;
            fs.op_count()
        };
        assert!(total > 200, "the work has only {total} operations");
        for nth in 0..total {
            for mode in MODES {
                let context = format!("crash at operation {nth} of {total}, {mode:?}");
                let fs = SimFs::new(nth);
                fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
                let mut oracle = Oracle::default();
                if let Ok(host) = start(Arc::new(fs.clone()) as Arc<dyn FileSystem>, window()).await {
                    work(&host, &mut oracle, 0, 150).await;
                    end(host).await;
                }
                read_after(&fs.crash(mode), &oracle, &context).await;
            }
        }
    });
}

#[test]
fn crash_after_crash_after_crash() {
    run(async {
        for seed in 0..30 {
            let mut fs = SimFs::new(seed);
            let mut oracle = Oracle::default();
            for round in 0..6 {
                let nth = 20 + (seed * 37 + round * 101) % 180;
                fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
                if let Ok(host) = start(Arc::new(fs.clone()), window()).await {
                    work(&host, &mut oracle, round as i64 * 80, 80).await;
                    end(host).await;
                }
                fs = fs.crash(MODES[(seed + round) as usize % 3]);
                read_after(&fs, &oracle, &format!("seed {seed}, round {round}")).await;
                fs = fs.crash(CrashMode::KeepAll);
            }
        }
    });
}
