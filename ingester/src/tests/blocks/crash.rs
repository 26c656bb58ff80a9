//! Crashes at every operation on the disk, and failures and crashes at every operation on the bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use bucket::faults::{Fault as BucketFault, Kind};
use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};

use super::super::support::*;
use super::support::*;

const MODES: [CrashMode; 3] = [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Torn];
/// Half an hour each.
const STEPS: i64 = 18;
const STEP_MS: i64 = HOUR_MS / 2;

/// Nine hours: samples in order and late, blocks cut and shipped, snapshots. Everything that was acknowledged is found at
/// every moment, while the process lives.
async fn work(host: &Host, oracle: &mut Oracle, from: i64) {
    for step in from..STEPS {
        let at = NOW_MS + step * STEP_MS;
        let mut rows = vec![row(&labels("up", 0), at, step as f64), row(&labels("up", 1), at, -step as f64)];
        if step % 4 == 3 {
            rows.push(row(&labels("up", 0), at - 9 * STEP_MS - 1, step as f64));
        }
        let answer = host.push(&tenant("team-a"), &rows).await;
        oracle.note(&rows, &answer);
        maintain(host).await;
        tokio::time::advance(Duration::from_millis(STEP_MS.unsigned_abs())).await;
    }
}

/// After whatever happened: a start on a healthy disk and bucket finds everything, and brings all of it to the bucket.
async fn check_after(fs: &SimFs, storage: &mut Storage, oracle: &Oracle, context: &str) {
    storage.faults.heal();
    // A reader that looked just before the crash knows what the index was then, or anything since.
    let readable = storage.refresh("team-a").await;
    let host = begin(fs, storage).await.expect(context);
    if !readable {
        // Readers fail then: it is an error and no gap. The next block that is shipped mends it.
        host.ingester.flush().await.expect(context);
        assert!(storage.refresh("team-a").await, "{context}");
    }
    oracle.check(&read_both(&host, storage, "team-a").await, context);
    host.ingester.flush().await.expect(context);
    let index = storage.index("team-a").await;
    oracle.check(&storage.read("team-a", &index).await, context);
    let mut windows: BTreeMap<(i64, bool), usize> = BTreeMap::new();
    for block in &index.blocks {
        *windows.entry((block.min_time, block.out_of_order)).or_default() += 1;
    }
    // Cut when due, cut again for late samples, once more after a restart that cannot know better, and by the flush.
    assert!(windows.values().all(|blocks| *blocks <= 6), "{context}: {windows:?}");
    end(host).await;
}

#[test]
fn a_crash_at_every_operation_of_the_disk_loses_nothing() {
    run(async {
        let total = {
            let fs = SimFs::new(1);
            let mut storage = Storage::new(1);
            let host = begin(&fs, &mut storage).await.unwrap();
            let mut oracle = Oracle::default();
            work(&host, &mut oracle, 0).await;
            end(host).await;
            let operations = fs.op_count();
            check_after(&fs.crash(CrashMode::LoseAll), &mut storage, &oracle, "without a crash").await;
            operations
        };
        assert!(total > 300, "the work has only {total} operations");
        for nth in 0..total {
            let mode = MODES[nth as usize % MODES.len()];
            let context = format!("crash at operation {nth} of {total}, {mode:?}");
            let fs = SimFs::new(nth);
            fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
            let mut storage = Storage::new(nth);
            let mut oracle = Oracle::default();
            if let Some(host) = begin(&fs, &mut storage).await {
                work(&host, &mut oracle, 0).await;
                end(host).await;
            }
            check_after(&fs.crash(mode), &mut storage, &oracle, &context).await;
        }
    });
}

#[test]
fn a_failure_at_every_operation_of_the_bucket_loses_nothing() {
    run(async {
        let total = {
            let mut storage = Storage::new(1);
            let host = begin(&SimFs::new(1), &mut storage).await.unwrap();
            work(&host, &mut Oracle::default(), 0).await;
            end(host).await;
            storage.faults.operations()
        };
        assert!(total > 40, "the work has only {total} operations");
        for nth in 0..total {
            for fault in [
                BucketFault::Refused,
                BucketFault::Unanswered,
                BucketFault::Forbidden,
                BucketFault::Half,
                BucketFault::Gone,
            ] {
                let context = format!("{fault:?} at operation {nth} of {total}");
                let fs = SimFs::new(nth);
                let mut storage = Storage::new(nth);
                storage.faults.plan(Kind::Any, nth, fault);
                let mut oracle = Oracle::default();
                let host = begin(&fs, &mut storage).await.unwrap();
                work(&host, &mut oracle, 0).await;
                // The process dies, too, where the bucket had gone: what was half done stays so.
                end(host).await;
                check_after(&fs.crash(CrashMode::LoseAll), &mut storage, &oracle, &context).await;
            }
        }
    });
}

#[test]
fn crash_after_crash_with_a_bucket_that_fails_now_and_then() {
    run(async {
        for seed in 0..25u64 {
            let mut fs = SimFs::new(seed);
            let mut storage = Storage::new(seed);
            let mut oracle = Oracle::default();
            for round in 0..4u64 {
                let nth = 30 + (seed * 41 + round * 97) % 260;
                fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
                storage.faults.refuse_one_in(7, seed * 10 + round + 1);
                if let Some(host) = begin(&fs, &mut storage).await {
                    work(&host, &mut oracle, (round * 4) as i64).await;
                    end(host).await;
                }
                fs = fs.crash(MODES[(seed + round) as usize % 3]);
            }
            check_after(&fs, &mut storage, &oracle, &format!("seed {seed}")).await;
        }
    });
}

#[test]
fn a_failure_at_every_operation_of_the_disk_loses_nothing() {
    run(async {
        let total = {
            let fs = SimFs::new(1);
            let host = begin(&fs, &mut Storage::new(1)).await.unwrap();
            work(&host, &mut Oracle::default(), 0).await;
            end(host).await;
            fs.op_count()
        };
        for nth in 0..total {
            let kind = [FaultKind::Enospc, FaultKind::Eio, FaultKind::ShortWrite][nth as usize % 3];
            let context = format!("{kind:?} at operation {nth} of {total}");
            let fs = SimFs::new(nth);
            fs.plan(Fault { op: OpKind::Change, nth, kind });
            let mut storage = Storage::new(nth);
            let mut oracle = Oracle::default();
            if let Some(host) = begin(&fs, &mut storage).await {
                work(&host, &mut oracle, 0).await;
                end(host).await;
            }
            check_after(&fs.crash(CrashMode::LoseAll), &mut storage, &oracle, &context).await;
        }
    });
}
