//! What nobody needs any more: blocks that were marked long ago, and what uploads left that never came to their end. And what
//! nobody knows of: blocks that are complete and not in the index, which are put there, since somebody may have copied them.

use std::collections::BTreeSet;

use bucket::{BucketIndex, DeletionMark, IndexedBlock, TenantBucket, TenantBucketError};
use ulid::Ulid;

use crate::error::CompactError;
use crate::metrics::Metrics;

/// What was found by listing a tenant's folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Blocks that the index did not have.
    pub(crate) blocks: usize,
    /// Uploads without an end that were removed.
    pub(crate) partial: usize,
}

/// Deletes the blocks that were marked before `before_s`, in seconds since the Unix epoch; the index as it is then. A block
/// that cannot be deleted keeps no other from it.
pub(crate) async fn delete_marked(
    bucket: &TenantBucket,
    index: BucketIndex,
    before_s: i64,
    metrics: &Metrics,
) -> Result<BucketIndex, CompactError> {
    let due = index.block_deletion_marks.iter().filter(|mark| mark.deletion_time <= before_s);
    let due: Vec<Ulid> = due.map(|mark| mark.id).collect();
    if due.is_empty() {
        return Ok(index);
    }
    let (mut gone, mut failed) = (Vec::new(), None);
    for id in due {
        match bucket.delete_block(id).await {
            Ok(()) => gone.push(id),
            Err(error) => {
                metrics.clean_failures.inc();
                tracing::warn!(tenant = %bucket.tenant(), block = %id, %error, "a block could not be deleted");
                failed = Some(error);
            }
        }
    }
    // What is not there any more is taken out of the index last: until then everybody knows that it is marked.
    let index = bucket
        .update_index(|index| {
            let known = gone.iter().any(|id| index.block(*id).is_some() || index.is_marked(*id));
            for id in &gone {
                index.remove(*id);
            }
            known
        })
        .await?;
    metrics.cleaned.inc_by(gone.len() as u64);
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(index),
    }
}

/// Writes the marks that stand beside blocks for those of the index that have none yet; others than us look there.
pub(crate) async fn write_marks(
    bucket: &TenantBucket,
    ids: &[Ulid],
    now_s: i64,
    details: &str,
) -> Result<(), CompactError> {
    for id in ids {
        bucket.put_deletion_mark(&DeletionMark::new(*id, now_s, details)).await?;
    }
    Ok(())
}

/// Lists the tenant's folders: puts blocks into the index that it does not have and marks that stand beside blocks, and
/// removes uploads without an end that are older than `partial_before_ms`.
pub(crate) async fn list(
    bucket: &TenantBucket,
    index: BucketIndex,
    partial_before_ms: i64,
) -> Result<(BucketIndex, Found), CompactError> {
    let known: BTreeSet<Ulid> =
        index.blocks.iter().map(|b| b.id).chain(index.block_deletion_marks.iter().map(|m| m.id)).collect();
    let mut found = Found::default();
    let mut entries = Vec::new();
    for id in bucket.blocks().await?.into_iter().filter(|id| !known.contains(id)) {
        match bucket.meta(id).await {
            Ok(meta) if meta.ulid == id => {
                let written = bucket.bucket().head(&bucket.file(id, "meta.json")).await;
                // It may have been deleted since.
                if let Ok(written) = written {
                    entries.push(IndexedBlock::of(&meta, written.modified_ms.div_euclid(1000)));
                }
            }
            Ok(meta) => tracing::error!(
                tenant = %bucket.tenant(), block = %id, says = %meta.ulid,
                "meta.json of a block is that of another; it is not put into the index"
            ),
            Err(error) if error.is_not_found() => {
                found.partial += usize::from(remove_partial(bucket, id, partial_before_ms).await?);
            }
            Err(TenantBucketError::Block { source, .. }) => tracing::error!(
                tenant = %bucket.tenant(), block = %id, error = %source,
                "meta.json of a block is damaged; it is not put into the index"
            ),
            Err(error) => return Err(error.into()),
        }
    }
    if index.blocks.is_empty() && entries.is_empty() {
        return Ok((index, found));
    }
    let marks = bucket.deletion_marks().await?;
    let excluded = bucket.no_compact_marks().await?;
    let mut added = 0;
    let index = bucket
        .update_index(|index| {
            added = 0;
            let mut changed = false;
            for entry in
                entries.iter().filter(|entry| index.block(entry.id).is_none()).cloned().collect::<Vec<_>>()
            {
                added += 1;
                changed |= index.add(entry);
            }
            for mark in &marks {
                if index.is_live(mark.id) {
                    index.mark(mark.id, mark.deletion_time);
                    changed = true;
                }
            }
            // Whoever removes the mark of a block wants it to be merged again.
            for id in index.excluded().collect::<Vec<_>>() {
                changed |= !excluded.iter().any(|mark| mark.id == id) && index.include(id);
            }
            for mark in &excluded {
                changed |= index.exclude(mark.id, &mark.reason);
            }
            changed
        })
        .await?;
    found.blocks = added;
    Ok((index, found))
}

/// Removes what an upload left, if all of it is old. Whether it did.
async fn remove_partial(bucket: &TenantBucket, id: Ulid, before_ms: i64) -> Result<bool, CompactError> {
    let files = bucket.files(id).await?;
    let is_old = files.iter().all(|(_, listed)| listed.modified_ms < before_ms);
    let has_meta = files.iter().any(|(path, _)| path == "meta.json");
    if !is_old || has_meta {
        return Ok(false);
    }
    bucket.delete_block(id).await?;
    Ok(true)
}
