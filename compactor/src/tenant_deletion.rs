//! A tenant that is to go: all that it has is removed, however often that is interrupted, and its mark says when nothing was
//! left. The mark itself stays for a while, so that whoever asks is told.

use bucket::{TenantBucket, TenantDeletionMark};
use serde::Serialize;

use crate::error::CompactError;

/// How far the removal of a tenant has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// The tenant.
    pub(crate) tenant_id: String,
    /// Whether it has no blocks.
    pub(crate) blocks_deleted: bool,
    /// Whether it is to go at all.
    pub(crate) is_marked: bool,
}

/// Marks the tenant to go. Whether it was not before.
pub(crate) async fn begin(bucket: &TenantBucket, now_s: i64) -> Result<bool, CompactError> {
    if bucket.tenant_mark().await?.is_some() {
        return Ok(false);
    }
    bucket.put_tenant_mark(&TenantDeletionMark { deletion_time: now_s, finished_time: 0 }).await?;
    Ok(true)
}

/// How far it has come.
pub(crate) async fn progress(bucket: &TenantBucket) -> Result<Progress, CompactError> {
    let is_marked = bucket.tenant_mark().await?.is_some();
    Ok(Progress {
        tenant_id: bucket.tenant().to_string(),
        blocks_deleted: bucket.blocks().await?.is_empty(),
        is_marked,
    })
}

/// Goes on removing the tenant, as its `mark` says. The index goes with the first objects: nobody reads blocks that it does not
/// name. Once nothing has been left since before `forget_before_s`, the mark goes, too.
pub(crate) async fn go_on(
    bucket: &TenantBucket,
    mark: TenantDeletionMark,
    now_s: i64,
    forget_before_s: i64,
) -> Result<(), CompactError> {
    for block in bucket.blocks().await? {
        bucket.delete_block(block).await?;
    }
    let rest = bucket.remove_rest().await?;
    if mark.finished_time == 0 || rest > 0 {
        bucket.put_tenant_mark(&TenantDeletionMark { finished_time: now_s, ..mark }).await?;
        tracing::info!(tenant = %bucket.tenant(), objects = rest, "all that a tenant had in the bucket has been removed");
    } else if mark.finished_time < forget_before_s {
        bucket.remove_tenant_mark().await?;
    }
    Ok(())
}
