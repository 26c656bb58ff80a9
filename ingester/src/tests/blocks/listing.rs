//! Between the upload of a block and its place in the bucket's index much may happen, where an ingester was away for long:
//! others find the block, merge it and delete it. What is not in the bucket is not listed.

use std::sync::Arc;

use async_trait::async_trait;
use block::meta::Compaction;
use bucket::faults::{Errand, Fault, Faults, Memory, Way};
use bucket::{Backing, IndexedBlock, TenantBucket};
use env::{FileSystem as _, SimFs};
use parking_lot::Mutex;
use ulid::Ulid;

use super::super::support::*;
use super::support::*;
use crate::blocks::ledger::{Ledger, Stage};
use crate::blocks::tasks;

const TEAM: &str = "team-a";

/// An ingester with one block that is in the bucket and that the index has not been told of, as far as it knows.
async fn with_uploaded_block(fs: &SimFs, storage: &mut Storage) -> (Host, Arc<Ledger>, Ulid) {
    let host = begin(fs, storage).await.unwrap();
    let rows = [row(&labels("up", 0), NOW_MS - 5 * HOUR_MS, 1.0)];
    host.push(&tenant(TEAM), &rows).await.unwrap();
    let inner = host.ingester.inner.clone();
    tasks::cut_all(&inner).await;
    tasks::ship_all(&inner).await;
    let ledger = inner.blocks.ledgers.find(&tenant(TEAM)).unwrap();
    let block = ledger.blocks()[0].ulid;
    // As it is after a crash before the index was written.
    ledger.change(|blocks| blocks[0].stage = Stage::Uploaded);
    ledger.save(fs, &inner.head.tenant(&tenant(TEAM)).unwrap().coverage, None).unwrap();
    unlist(&storage.of(TEAM), block).await;
    (host, ledger, block)
}

async fn unlist(bucket: &TenantBucket, block: Ulid) {
    let gone = |index: &mut bucket::BucketIndex| {
        index.remove(block);
        true
    };
    bucket.update_index(gone).await.unwrap();
}

/// What a compactor does with a block: another one has its samples then. With `Some`, this is its name.
async fn replace(bucket: &TenantBucket, block: Ulid, merged: Option<Ulid>) {
    if let Some(merged) = merged {
        let mut meta = bucket.meta(block).await.unwrap();
        meta.compaction = Compaction { level: 2, sources: vec![block], ..Compaction::default() };
        meta.ulid = merged;
        let entry = IndexedBlock::of(&meta, NOW_MS / 1000);
        bucket.bucket().put(&bucket.file(merged, "meta.json"), meta.encode().into()).await.unwrap();
        bucket.update_index(|index| index.add(entry.clone())).await.unwrap();
    }
    bucket.delete_block(block).await.unwrap();
    unlist(bucket, block).await;
}

#[test]
fn a_block_that_was_merged_before_it_was_listed_stays_merged() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let (host, ledger, block) = with_uploaded_block(&fs, &mut storage).await;
        let merged = Ulid::from_parts(NOW_MS as u64, 7);
        replace(&storage.of(TEAM), block, Some(merged)).await;
        let inner = host.ingester.inner.clone();
        tasks::ship_all(&inner).await;
        let listed: Vec<Ulid> = storage.index(TEAM).await.blocks.iter().map(|block| block.id).collect();
        assert_eq!(listed, [merged]);
        assert!(storage.of(TEAM).meta(block).await.unwrap_err().is_not_found());
        assert!(matches!(ledger.blocks()[0].stage, Stage::Listed { .. }));
        // Readers find its samples in the other one, so it may go.
        tokio::time::advance(2 * REFRESH).await;
        tasks::ship_all(&inner).await;
        assert!(ledger.blocks().is_empty() && !fs.exists(&ledger.folder_of(block)));
        end(host).await;
    });
}

#[test]
fn a_block_that_is_nowhere_is_uploaded_again_before_it_is_listed() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let (host, ledger, block) = with_uploaded_block(&fs, &mut storage).await;
        storage.of(TEAM).delete_block(block).await.unwrap();
        let inner = host.ingester.inner.clone();
        tasks::ship_all(&inner).await;
        assert!(storage.index(TEAM).await.blocks.is_empty());
        assert_eq!(ledger.blocks()[0].stage, Stage::Cut);
        tasks::ship_all(&inner).await;
        let index = storage.index(TEAM).await;
        assert_eq!(index.blocks[0].id, block);
        assert_eq!(storage.read(TEAM, &index).await[&labels("up", 0)].len(), 1);
        end(host).await;
    });
}

#[test]
fn a_block_whose_place_in_the_index_was_written_unheard_is_listed_once() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let (host, ledger, block) = with_uploaded_block(&fs, &mut storage).await;
        // The index is written, and the answer is lost; the process ends before it looks again.
        storage.faults.plan(bucket::faults::Kind::Change, 0, Fault::Unanswered);
        storage.faults.plan(bucket::faults::Kind::Change, 1, Fault::Gone);
        tasks::ship_all(&host.ingester.inner).await;
        end(host).await;
        storage.faults.heal();
        let host = begin(&fs, &mut storage).await.unwrap();
        tasks::ship_all(&host.ingester.inner).await;
        let listed: Vec<Ulid> = storage.index(TEAM).await.blocks.iter().map(|block| block.id).collect();
        assert_eq!(listed, [block]);
        drop(ledger);
        end(host).await;
    });
}

/// A way on which a compactor merges and deletes a block at the worst moment: the ingester has seen it in the bucket, and is
/// about to read the index that it will change.
#[derive(Debug, Default)]
struct Meanwhile {
    planned: Mutex<Option<Planned>>,
}

struct Planned {
    bucket: TenantBucket,
    block: Ulid,
    seen: bool,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("block", &self.block).finish_non_exhaustive()
    }
}

#[async_trait]
impl Way for Meanwhile {
    async fn there(&self, errand: Errand<'_>) -> Option<Fault> {
        let due = {
            let mut planned = self.planned.lock();
            if let Some(planned) = planned.as_mut() {
                planned.seen |= errand.object == format!("{TEAM}/{}/meta.json", planned.block);
            }
            planned.take_if(|planned| planned.seen && errand.object.ends_with("bucket-index.json.gz"))
        };
        if let Some(Planned { bucket, block, .. }) = due {
            replace(&bucket, block, Some(Ulid::from_parts(NOW_MS as u64, 7))).await;
        }
        None
    }
}

#[test]
fn a_block_that_is_merged_while_it_is_being_listed_stays_merged() {
    run(async {
        let (memory, way) = (Memory::new(), Arc::new(Meanwhile::default()));
        let aside = over(&Backing::on_way(&memory, Arc::new(Faults::new())), 1);
        let aside = TenantBucket::new(&aside, &tenant(TEAM)).unwrap();
        let bucket = over(&Backing::on_way(&memory, way.clone()), 2);
        let fs = SimFs::new(1);
        let host = start_with_bucket(0, Arc::new(fs.clone()), config(), late(), bucket).await.unwrap();
        let rows = [row(&labels("up", 0), NOW_MS - 5 * HOUR_MS, 1.0)];
        host.push(&tenant(TEAM), &rows).await.unwrap();
        let inner = host.ingester.inner.clone();
        tasks::cut_all(&inner).await;
        tasks::ship_all(&inner).await;
        let ledger = inner.blocks.ledgers.find(&tenant(TEAM)).unwrap();
        let block = ledger.blocks()[0].ulid;
        ledger.change(|blocks| blocks[0].stage = Stage::Uploaded);
        unlist(&aside, block).await;
        *way.planned.lock() = Some(Planned { bucket: aside.clone(), block, seen: false });
        tasks::ship_all(&inner).await;
        assert!(way.planned.lock().is_none(), "it happened");
        let (index, _) = aside.index().await.unwrap().unwrap();
        assert!(index.blocks.iter().all(|other| other.id != block), "{:?}", index.blocks);
        assert!(matches!(ledger.blocks()[0].stage, Stage::Listed { .. }));
        end(host).await;
    });
}
