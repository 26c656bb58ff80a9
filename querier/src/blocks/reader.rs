//! The blocks of a bucket, read as an ingester is: one more that has to answer whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use block::BlockError;
use bucket::TenantBucket;
use futures::StreamExt;
use futures::stream;
use model::{Labels, Matcher, TenantId, TimeRange};
use proto::{
    Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest, LabelValuesRequest,
    MetadataRequest, SelectRequest, SelectStream, SeriesExemplars, SeriesRequest, TenantStats,
};
use tokio::sync::mpsc;
use ulid::Ulid;

use super::catalog::{KnownBlock, Listed, chain};
use super::covered;
use super::merge::{Batches, MergedBlocks};
use super::opened::{OpenBlock, OpenError};
use super::outside::Outside;
use super::selection::BlockSelection;
use super::{Blocks, names};

/// When to come back after a block could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How many series all blocks of a selection read ahead together, ...
const SERIES_AHEAD: usize = 8192;

/// ... and one block at least and at most.
const LEAST_AHEAD: usize = 32;
const MOST_AHEAD: usize = 1024;

/// How many series are given at a time.
const BATCH_SERIES: usize = 512;

/// How often blocks are looked up anew where one that was known has gone.
const LOOK_UPS: usize = 2;

/// A block that a request reads.
pub(super) struct Reading {
    pub(super) tenant: TenantId,
    pub(super) id: Ulid,
    pub(super) block: Arc<OpenBlock>,
    pub(super) outside: Outside,
}

/// How many blocks a selection was read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlocksRead {
    pub(crate) read: u64,
    /// Those of its time that it was not, because ingesters have everything of them.
    pub(crate) left_out: u64,
}

impl Blocks {
    /// The blocks of a tenant that may have samples in `range`, open, oldest first.
    pub(super) async fn reading(
        &self,
        bucket: &TenantBucket,
        range: TimeRange,
    ) -> Result<Vec<Reading>, Error> {
        let mut look_up = 1;
        loop {
            let listed = self.list(bucket).await?;
            let mut blocks: Vec<KnownBlock> = listed.overlapping(range).cloned().collect();
            blocks.sort_by_key(|block| (block.range.start_ms(), block.id));
            let opening = blocks.iter().map(|known| async move {
                let opened = self.inner.open.get(bucket, known.id).await;
                opened.map(|block| (known.id, block)).map_err(|error| (known.id, error))
            });
            let opening = stream::iter(opening.collect::<Vec<_>>());
            let opened: Vec<_> = opening.buffered(self.inner.config.max_parallel_opens).collect().await;
            match opened.into_iter().collect::<Result<Vec<_>, _>>() {
                Ok(opened) => {
                    if let Some(seen) = &self.seen {
                        seen.note(bucket, range, listed, &opened);
                    }
                    return Ok(self.readable(bucket, range, opened));
                }
                // It has been merged into another and deleted since the bucket was asked.
                Err((_, error)) if error.is_gone() && look_up < LOOK_UPS => {
                    self.inner.catalog.doubt(bucket.tenant());
                    look_up += 1;
                }
                Err((id, error)) => return Err(self.unopened(id, &error)),
            }
        }
    }

    /// All blocks of a tenant. What is kept of others goes.
    pub(super) async fn list(&self, bucket: &TenantBucket) -> Result<Listed, Error> {
        let listed = self.inner.catalog.blocks(bucket).await?;
        if listed.is_new {
            self.inner.open.forget_others(bucket.tenant(), listed.names()).await;
        }
        Ok(listed)
    }

    /// Those of the blocks whose samples are the ones that came.
    fn readable(
        &self,
        bucket: &TenantBucket,
        range: TimeRange,
        opened: Vec<(Ulid, Arc<OpenBlock>)>,
    ) -> Vec<Reading> {
        let (left_out, whole): (Vec<_>, Vec<_>) =
            opened.into_iter().partition(|(_, block)| block.meta.is_downsampled());
        let times = |block: &OpenBlock| TimeRange::new(block.meta.min_time, block.meta.max_time);
        let there: Vec<TimeRange> = whole.iter().filter_map(|(_, block)| times(block)).collect();
        for (id, block) in left_out {
            self.inner.metrics.downsampled.inc();
            let asked = times(&block).and_then(|own| within(own, range));
            let now = self.inner.clock.monotonic();
            // Beside those that it was made from it is not missed.
            if asked.is_some_and(|asked| !is_covered(asked, &there))
                && self.inner.downsampled_log.allow(&id, now).is_some()
            {
                tracing::warn!(
                    tenant = %bucket.tenant(), block = %id,
                    "a downsampled block is not read, and the samples that it was made from are not there: what is asked of \
                     its time is answered without them"
                );
            }
        }
        let layout = bucket.bucket().config().layout;
        let reading = whole.into_iter().map(|(id, block)| {
            let outside = Outside::of(layout, &block.meta, &self.inner.config.replica_labels);
            Reading { tenant: bucket.tenant().clone(), id, block, outside }
        });
        reading.collect()
    }

    pub(super) fn unopened(&self, id: Ulid, error: &OpenError) -> Error {
        self.inner.metrics.failed("open");
        Error::unavailable(format!("block {id} cannot be opened: {}", chain(error)), RETRY_AFTER)
    }

    /// What to say of a block that could not be read. Nothing that is known of it is believed any more.
    pub(super) async fn unread(&self, tenant: &TenantId, id: Ulid, error: &BlockError) -> Error {
        self.inner.metrics.failed("read");
        let message = format!("block {id} cannot be read: {}", chain(error));
        match error {
            BlockError::Read { source, .. } => {
                if source.kind() == std::io::ErrorKind::NotFound {
                    self.inner.catalog.doubt(tenant);
                    self.inner.open.doubt(tenant, id).await;
                }
                Error::unavailable(message, RETRY_AFTER)
            }
            _ => {
                self.inner.open.doubt(tenant, id).await;
                Error::internal(message)
            }
        }
    }

    /// Begins to read the series of a block that match; batches come as they are taken.
    fn begin(&self, reading: Reading, matchers: &Arc<[Matcher]>, range: TimeRange, ahead: usize) -> Batches {
        let (send, batches) = mpsc::channel(1);
        let (blocks, matchers) = (self.clone(), Arc::clone(matchers));
        self.inner.scope.spawn("block", async move {
            let (tenant, id) = (reading.tenant, reading.id);
            let chunks_read = &blocks.inner.metrics.chunks_read;
            let done = async {
                let mut selection =
                    BlockSelection::open(reading.block, reading.outside, &matchers, range).await?;
                while let Some(batch) = selection.next_batch(ahead).await? {
                    chunks_read.inc_by(batch.iter().map(|series| series.chunks.len() as u64).sum());
                    // Nobody waits any more.
                    if !batch.is_empty() && send.send(Ok(batch)).await.is_err() {
                        break;
                    }
                }
                Ok::<_, BlockError>(())
            };
            let last = match done.await {
                Ok(()) => Ok(Vec::new()),
                Err(error) => Err(blocks.unread(&tenant, id, &error).await),
            };
            let _ = send.send(last).await;
        });
        batches
    }

    /// What blocks have, but for those of which ingesters say, in their answers to the same request, that these cover them.
    pub(crate) async fn select_beside(
        &self,
        request: SelectRequest,
        covered: &BTreeSet<Ulid>,
    ) -> Result<(SelectStream, BlocksRead), Error> {
        let SelectRequest { tenant, matchers, range, .. } = request;
        let Some(bucket) = self.bucket_of(&tenant) else {
            return Ok((stream::empty().boxed(), BlocksRead::default()));
        };
        let mut reading = self.reading(&bucket, range).await?;
        let all = reading.len();
        reading.retain(|read| !covered::is_covered(&read.block.meta, &read.outside, covered));
        let read = BlocksRead { read: reading.len() as u64, left_out: (all - reading.len()) as u64 };
        self.inner.metrics.queried.observe(reading.len() as f64);
        self.inner.metrics.left_out.inc_by(read.left_out);
        let ahead = (SERIES_AHEAD / reading.len().max(1)).clamp(LEAST_AHEAD, MOST_AHEAD);
        let matchers: Arc<[Matcher]> = matchers.into();
        let inputs = reading.into_iter().map(|block| self.begin(block, &matchers, range, ahead)).collect();
        let merged = MergedBlocks::new(inputs);
        let batches = stream::try_unfold(merged, |mut merged: MergedBlocks| async move {
            let batch = merged.next_batch(BATCH_SERIES).await?;
            Ok((!batch.is_empty()).then_some((batch, merged)))
        });
        Ok((batches.boxed(), read))
    }

    /// What a tenant has in the bucket; `None` where it cannot have anything.
    fn bucket_of(&self, tenant: &TenantId) -> Option<TenantBucket> {
        TenantBucket::new(&self.inner.bucket, tenant)
    }
}

#[async_trait]
impl IngesterRead for Blocks {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        Ok(self.select_beside(request, &BTreeSet::new()).await?.0)
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        let Some(bucket) = self.bucket_of(&request.tenant) else { return Ok(Vec::new()) };
        let reading = self.reading(&bucket, request.range).await?;
        names::series(self, reading, &request).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        let Some(bucket) = self.bucket_of(&request.tenant) else { return Ok(Vec::new()) };
        let reading = self.reading(&bucket, request.range).await?;
        names::label_names(self, reading, &request).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        let Some(bucket) = self.bucket_of(&request.series.tenant) else { return Ok(Vec::new()) };
        let reading = self.reading(&bucket, request.series.range).await?;
        names::label_values(self, reading, &request).await
    }

    async fn metadata(&self, _: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        Ok(Vec::new())
    }

    async fn exemplars(&self, _: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        Ok(Vec::new())
    }

    async fn stats(&self, _: &TenantId) -> Result<TenantStats, Error> {
        Ok(TenantStats::default())
    }
}

/// What of a range is in another one.
fn within(range: TimeRange, other: TimeRange) -> Option<TimeRange> {
    TimeRange::new(range.start_ms().max(other.start_ms()), range.end_ms().min(other.end_ms()))
}

/// Whether ranges, sorted by their beginnings, leave nothing out of another one.
fn is_covered(range: TimeRange, by: &[TimeRange]) -> bool {
    let mut left = range.start_ms();
    for one in by {
        if one.start_ms() <= left {
            left = left.max(one.end_ms());
        }
    }
    left >= range.end_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_what_they_leave_nothing_out_of() {
        let range = |start, end| TimeRange::new(start, end).expect("in order");
        assert!(is_covered(range(5, 20), &[range(0, 10), range(10, 15), range(12, 20)]));
        assert!(!is_covered(range(5, 20), &[range(0, 10), range(11, 20)]));
        assert!(!is_covered(range(5, 20), &[range(0, 19)]));
        assert!(!is_covered(range(5, 20), &[range(6, 30)]));
        assert!(!is_covered(range(5, 20), &[]));
        assert_eq!(within(range(5, 20), range(8, 9)), Some(range(8, 9)));
        assert_eq!(within(range(5, 20), range(30, 40)), None);
    }
}
