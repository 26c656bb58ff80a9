//! What is in the bucket in the end: every sample that was acknowledged, once, and nothing that nobody needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{ChunkReader, Index, RangeRead, verify};
use bucket::{BucketIndex, TenantBucket};
use env::Clock as _;
use model::TenantId;
use ulid::Ulid;

use super::{DELETION_DELAY, MAX_SKEW, Storage};
use crate::oracle::Stored;

/// How long deleting may take once it is due.
const DELETED_WITHIN_S: i64 = 20;

impl Storage {
    /// Whether what a tenant has in the bucket is what it should have when all is quiet; what is missing, or too much.
    pub(crate) async fn check(&self, tenant: &str) -> Result<(), String> {
        let wrong = |what: String| format!("bucket, tenant {tenant}: {what}");
        let id = TenantId::new(tenant).map_err(|error| wrong(error.to_string()))?;
        let bucket =
            TenantBucket::new(&self.seen_from_outside(), &id).ok_or_else(|| wrong("no folder".to_owned()))?;
        let found = bucket.index().await.map_err(|error| wrong(error.to_string()))?;
        let index = found.map(|(index, _)| index).unwrap_or_default();
        self.check_folders(&bucket, &index).await.map_err(wrong)?;
        check_merged(&index).map_err(wrong)?;
        let mut stored = Stored::default();
        for block in index.live() {
            let read = read(&bucket, block.id, &mut stored).await;
            read.map_err(|why| wrong(format!("block {}: {why}", block.id)))?;
        }
        self.inner.oracle.check_stored(tenant, &stored).map_err(wrong)
    }

    /// Whether every folder is that of a block in the index, and marked ones go in time.
    async fn check_folders(&self, bucket: &TenantBucket, index: &BucketIndex) -> Result<(), String> {
        let folders = bucket.blocks().await.map_err(|error| error.to_string())?;
        let listed: Vec<Ulid> = index.blocks.iter().map(|block| block.id).collect();
        if let Some(unknown) = folders.iter().find(|id| !listed.contains(id)) {
            return Err(format!("the folder of {unknown} is in no index"));
        }
        if let Some(missing) = listed.iter().find(|id| !folders.contains(id)) {
            return Err(format!("the index has {missing}, which has no folder"));
        }
        let late = DELETION_DELAY.as_secs() + MAX_SKEW.as_secs();
        let before_s = self.inner.clock.now_ms() / 1000 - i64::try_from(late).unwrap_or(0) - DELETED_WITHIN_S;
        match index.block_deletion_marks.iter().find(|mark| mark.deletion_time < before_s) {
            Some(mark) => {
                Err(format!("block {} was marked at {} and is there still", mark.id, mark.deletion_time))
            }
            None => Ok(()),
        }
    }
}

/// Whether nothing is left to be merged at one time, and nothing is set aside.
fn check_merged(index: &BucketIndex) -> Result<(), String> {
    let mut last: BTreeMap<&str, (i64, Ulid)> = BTreeMap::new();
    let mut live: Vec<_> = index.live().collect();
    live.sort_by_key(|block| (block.min_time, block.id));
    for block in live {
        if let Some(why) = block.no_compact() {
            return Err(format!("block {} is set aside: {why}", block.id));
        }
        let shard = block.compactor_shard_id.as_str();
        if let Some((end, other)) = last.get(shard).filter(|(end, _)| *end > block.min_time) {
            return Err(format!("blocks {other} and {} overlap before {end}", block.id));
        }
        last.insert(shard, (block.max_time, block.id));
    }
    Ok(())
}

/// Reads all samples of a block.
async fn read(bucket: &TenantBucket, id: Ulid, stored: &mut Stored) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let meta = bucket.meta(id).await.map_err(|error| text(&error))?;
    let index = Index::open(open(bucket, id, "index").await?).await.map_err(|error| text(&error))?;
    let mut segments = Vec::new();
    for (name, _) in bucket.files(id).await.map_err(|error| text(&error))? {
        if name.starts_with("chunks/") {
            segments.push(open(bucket, id, &name).await?);
        }
    }
    let chunks = ChunkReader::open(segments).await.map_err(|error| text(&error))?;
    let verified = verify(&index, &chunks).await.map_err(|error| text(&error))?;
    if verified.stats != meta.stats {
        return Err(format!("meta.json says {:?}, and there are {:?}", meta.stats, verified.stats));
    }
    let mut scan = index.scan();
    while let Some((_, series)) = scan.next().await.map_err(|error| text(&error))? {
        for piece in chunks.read_all(&series.chunks).await.map_err(|error| text(&error))? {
            let mut cursor = chunk::cursor(piece.encoding, &piece.data).map_err(|error| text(&error))?;
            while let Some((at, value)) = cursor.next_sample().map_err(|error| text(&error))? {
                let chunk::ValueRef::Float(value) = value else {
                    return Err(format!("{} has a histogram", series.labels));
                };
                stored.add(&series.labels, at, value);
            }
        }
    }
    Ok(())
}

async fn open(bucket: &TenantBucket, id: Ulid, name: &str) -> Result<Arc<dyn RangeRead>, String> {
    Ok(Arc::new(bucket.open(id, name).await.map_err(|error| error.to_string())?))
}
