//! The life of blocks, step by step.

use std::sync::Arc;
use std::time::Duration;

use bucket::faults::{Fault, Kind};
use env::{CrashMode, FileSystem as _, OpenOptions, SimFs};

use super::super::support::*;
use super::support::*;
use crate::blocks::ledger::Stage;
use crate::blocks::tasks;

const STEP: Duration = Duration::from_secs(300);

/// Blocks are cut when they are due, hold their windows and nothing else, and leave this disk when readers know them; and
/// at every moment whoever asks both finds everything.
#[test]
fn samples_move_from_the_head_to_the_bucket_without_a_gap() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = begin(&fs, &mut storage).await.unwrap();
        let team = tenant("team-a");
        let mut oracle = Oracle::default();
        for step in 0..200i64 {
            let at = NOW_MS + step * 300_000;
            let mut rows: Vec<Row> =
                (0..3).map(|i| row(&labels("up", i), at, (step * 10 + i as i64) as f64)).collect();
            if step < 5 {
                rows.push(row(&labels("gone", 0), at, step as f64));
            }
            if step % 9 == 5 {
                // Late, sometimes by so much that a block has been cut.
                rows.push(row(&labels("up", 0), at - (step % 60) * 300_000 - 1, step as f64));
            }
            let answer = host.push(&team, &rows).await;
            oracle.note(&rows, &answer);
            storage.refresh("team-a").await;
            maintain(&host).await;
            oracle.check(&read_both(&host, &storage, "team-a").await, &format!("step {step}"));
            tokio::time::advance(STEP).await;
        }
        let index = storage.index("team-a").await;
        assert!(index.blocks.len() > 8, "{} blocks", index.blocks.len());
        for block in &index.blocks {
            assert_eq!(block.min_time.rem_euclid(2 * HOUR_MS), 0);
            assert_eq!(block.max_time - block.min_time, 2 * HOUR_MS);
            assert_eq!((block.compaction_level, &*block.source), (1, "receive"));
        }
        assert!(index.blocks.iter().any(|block| block.out_of_order));
        let newest = index.blocks.iter().map(|block| block.max_time).max().unwrap();
        let end_ms = NOW_MS + 200 * 300_000;
        assert_eq!(newest, (end_ms - HOUR_MS).div_euclid(2 * HOUR_MS) * 2 * HOUR_MS);
        // The head has forgotten what is old, and the disk has none of its blocks.
        let head = host.ingester.inner.head.tenant(&team).unwrap();
        assert!(host.ingester.inner.forget_before(&head) > NOW_MS + 6 * HOUR_MS);
        assert!(!host.read_all(&team).await.contains_key(&labels("gone", 0)));
        assert!(storage.read("team-a", &index).await.contains_key(&labels("gone", 0)));
        let ledger = host.ingester.inner.blocks.ledgers.find(&team).unwrap();
        assert!(ledger.blocks().len() <= 4, "{:?}", ledger.blocks());
        end(host).await;
    });
}

/// While the bucket is gone samples stay here, and go there once it is back.
#[test]
fn a_bucket_that_is_gone_for_hours_costs_nothing_but_disk() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = begin(&fs, &mut storage).await.unwrap();
        let team = tenant("team-a");
        let mut oracle = Oracle::default();
        storage.faults.plan(Kind::Any, 0, Fault::Gone);
        for step in 0..120i64 {
            let rows = [row(&labels("up", 0), NOW_MS + step * 300_000, step as f64)];
            let answer = host.push(&team, &rows).await;
            assert!(answer.is_ok());
            oracle.note(&rows, &answer);
            maintain(&host).await;
            tokio::time::advance(STEP).await;
        }
        oracle.check(&host.read_all(&team).await, "the bucket is gone");
        assert!(host.ingester.inner.metrics.block_ship_failures.get() > 10);
        assert!(host.ingester.inner.metrics.oldest_unshipped_seconds.get() > 0.0);
        let ledger = host.ingester.inner.blocks.ledgers.find(&team).unwrap();
        assert!(ledger.blocks().iter().all(|block| block.stage == Stage::Cut) && ledger.blocks().len() >= 4);
        storage.faults.heal();
        maintain(&host).await;
        let index = storage.index("team-a").await;
        assert_eq!(index.blocks.len(), ledger.blocks().len());
        assert_eq!(host.ingester.inner.metrics.oldest_unshipped_seconds.get(), 0.0);
        storage.refresh("team-a").await;
        oracle.check(&read_both(&host, &storage, "team-a").await, "the bucket is back");
        end(host).await;
    });
}

/// A flush brings everything to the bucket, also what is younger than a window.
#[test]
fn a_flush_ships_everything_now() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = begin(&fs, &mut storage).await.unwrap();
        let mut oracle = Oracle::default();
        for name in ["team-a", "team-b"] {
            for step in -90..1i64 {
                let rows = [row(&labels("up", 0), NOW_MS + step * 300_000, step as f64)];
                let answer = host.push(&tenant(name), &rows).await;
                oracle.note(&rows, &answer);
            }
        }
        host.ingester.flush().await.unwrap();
        for name in ["team-a", "team-b"] {
            let index = storage.index(name).await;
            oracle.check(&storage.read(name, &index).await, name);
        }
        // Again, with the bucket gone: it says so, and nothing is lost.
        let rows = [row(&labels("up", 0), NOW_MS + 1, 7.0)];
        let answer = host.push(&tenant("team-a"), &rows).await;
        oracle.note(&rows, &answer);
        storage.faults.plan(Kind::Any, 0, Fault::Gone);
        let error = host.ingester.flush().await.unwrap_err();
        assert!(error.retry_after.is_some() && error.message.contains("memory: "), "{error}");
        storage.faults.heal();
        host.ingester.flush().await.unwrap();
        oracle.check(&storage.read("team-a", &storage.index("team-a").await).await, "flushed again");
        end(host).await;
    });
}

/// A block that the bucket's index has lost is listed again, before it leaves this disk.
#[test]
fn a_block_that_the_index_has_lost_comes_back() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = begin(&fs, &mut storage).await.unwrap();
        let rows = [row(&labels("up", 0), NOW_MS - 5 * HOUR_MS, 1.0)];
        host.push(&tenant("team-a"), &rows).await.unwrap();
        let inner = host.ingester.inner.clone();
        tasks::cut_all(&inner).await;
        tasks::ship_all(&inner).await;
        let block = storage.index("team-a").await.blocks[0].id;
        let lost = |index: &mut bucket::BucketIndex| {
            index.remove(block);
            true
        };
        storage.of("team-a").update_index(lost).await.unwrap();
        // The object, too: all that is left is here.
        storage.of("team-a").delete_block(block).await.unwrap();
        tokio::time::advance(2 * REFRESH).await;
        tasks::ship_all(&inner).await;
        tasks::ship_all(&inner).await;
        assert_eq!(storage.index("team-a").await.blocks[0].id, block);
        let folder = inner.blocks.ledgers.find(&tenant("team-a")).unwrap().folder_of(block);
        assert!(fs.exists(&folder));
        tokio::time::advance(2 * REFRESH).await;
        tasks::ship_all(&inner).await;
        assert!(!fs.exists(&folder), "now readers know it");
        end(host).await;
    });
}

/// What came late is known to be missing from its block after any restart.
#[test]
fn late_samples_are_cut_again_also_after_a_crash() {
    run(async {
        for (with_snapshot, mode) in
            [(false, CrashMode::LoseAll), (true, CrashMode::LoseAll), (true, CrashMode::KeepAll)]
        {
            let mut fs = SimFs::new(1);
            let mut storage = Storage::new(1);
            let mut host = begin(&fs, &mut storage).await.unwrap();
            let mut oracle = Oracle::default();
            let team = tenant("team-a");
            for step in 0..60i64 {
                let rows = [row(&labels("up", 0), NOW_MS - 5 * HOUR_MS + step * 300_000, step as f64)];
                let answer = host.push(&team, &rows).await;
                oracle.note(&rows, &answer);
            }
            maintain(&host).await;
            let rows = [row(&labels("up", 0), NOW_MS - 5 * HOUR_MS + 1, 1e6)];
            let answer = host.push(&team, &rows).await;
            oracle.note(&rows, &answer);
            if with_snapshot {
                assert!(host.snapshot().await && host.snapshot().await);
            }
            end(host).await;
            fs = fs.crash(mode);
            host = begin(&fs, &mut storage).await.unwrap();
            let before = storage.index("team-a").await.blocks.len();
            tokio::time::advance(Duration::from_secs(30)).await;
            maintain(&host).await;
            tokio::time::advance(Duration::from_secs(1200)).await;
            maintain(&host).await;
            let index = storage.index("team-a").await;
            assert!(index.blocks.len() > before, "{} blocks", index.blocks.len());
            let read = storage.read("team-a", &index).await;
            assert!(
                read[&labels("up", 0)].contains_key(&(NOW_MS - 5 * HOUR_MS + 1)),
                "{with_snapshot} {mode:?}"
            );
            storage.refresh("team-a").await;
            oracle.check(&read_both(&host, &storage, "team-a").await, "after the crash");
            end(host).await;
        }
    });
}

/// Replicas that took the same samples cut the same bytes, whatever they are called.
#[test]
fn replicas_cut_alike() {
    run(async {
        let mut cut = Vec::new();
        for seed in 1..3 {
            let fs = Arc::new(SimFs::new(seed));
            let mut storage = Storage::new(seed);
            let host = begin(&fs, &mut storage).await.unwrap();
            for step in 0..800i64 {
                let rows: Vec<Row> = (0..5)
                    .map(|i| row(&labels("up", i), NOW_MS - 7 * HOUR_MS + step * 15_000, step as f64))
                    .collect();
                host.push(&tenant("team-a"), &rows).await.unwrap();
            }
            tasks::cut_all(&host.ingester.inner).await;
            let ledger = host.ingester.inner.blocks.ledgers.find(&tenant("team-a")).unwrap();
            let mut files = Vec::new();
            for block in ledger.blocks() {
                for name in ["index", "chunks/000001"] {
                    let path = ledger.folder_of(block.ulid).join(name);
                    files.push(env::read_file(&*fs, &path, u64::MAX).unwrap());
                }
            }
            cut.push(files);
            end(host).await;
        }
        assert!(cut[0].len() >= 4 && cut[0] == cut[1]);
    });
}

/// A block that the disk has damaged never reaches the bucket; its samples do.
#[test]
fn a_damaged_block_is_cut_again() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = begin(&fs, &mut storage).await.unwrap();
        let mut oracle = Oracle::default();
        let team = tenant("team-a");
        for step in 0..12i64 {
            let rows = [row(&labels("up", 0), NOW_MS - 5 * HOUR_MS + step * 300_000, step as f64)];
            let answer = host.push(&team, &rows).await;
            oracle.note(&rows, &answer);
        }
        let inner = host.ingester.inner.clone();
        storage.faults.plan(Kind::Any, 0, Fault::Gone);
        tasks::cut_all(&inner).await;
        let ledger = inner.blocks.ledgers.find(&team).unwrap();
        let block = ledger.blocks()[0].ulid;
        storage.faults.heal();
        let segment = ledger.folder_of(block).join("chunks/000001");
        fs.open(&segment, OpenOptions::READ_WRITE).unwrap().write_at(&[0xa5; 4], 20).unwrap();
        tasks::ship_all(&inner).await;
        assert!(storage.index("team-a").await.blocks.is_empty());
        tasks::cut_all(&inner).await;
        tasks::ship_all(&inner).await;
        let index = storage.index("team-a").await;
        assert!(index.blocks.iter().all(|other| other.id != block));
        oracle.check(&storage.read("team-a", &index).await, "cut again");
        end(host).await;
    });
}
