//! What a request has read of blocks, so that it can be found out whether that and what ingesters say is everything.
//!
//! Ingesters forget what has been in the bucket's index for two refreshes. A request that stands still between its look at the
//! index and their answers, with its process or its machine, or only because it has much to read, may find samples in neither. So
//! once ingesters have answered, an index that was read too long ago is read again: what is new there must have been made of what
//! was there before.

use std::sync::Arc;
use std::time::Duration;

use block::Meta;
use bucket::TenantBucket;
use model::TimeRange;
use parking_lot::Mutex;
use proto::Error;
use ulid::Ulid;

use super::Blocks;
use super::catalog::{Listed, Moment};
use super::opened::OpenBlock;

/// When to come back after a request that took too long: what is new can be read at once.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a request has read. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    noted: Arc<Mutex<Vec<Noted>>>,
}

/// One look at the blocks of a tenant.
#[derive(Clone)]
struct Noted {
    bucket: TenantBucket,
    range: TimeRange,
    /// When what was there is known to have been everything.
    as_of: Moment,
    listed: Arc<Listed>,
    /// Those in the range, which are read.
    blocks: Arc<[(Ulid, Arc<OpenBlock>)]>,
}

impl Seen {
    /// Notes a look at the blocks.
    pub(super) fn note(
        &self,
        bucket: &TenantBucket,
        range: TimeRange,
        listed: Listed,
        blocks: &[(Ulid, Arc<OpenBlock>)],
    ) {
        let (bucket, blocks, as_of) = (bucket.clone(), blocks.into(), listed.read_at());
        self.noted.lock().push(Noted { bucket, range, as_of, listed: Arc::new(listed), blocks });
    }

    /// Whether what was read has all that ingesters may have forgotten by now.
    ///
    /// # Errors
    /// Where that cannot be found out.
    pub(crate) async fn is_current(&self, blocks: &Blocks) -> Result<bool, Error> {
        let looks = self.noted.lock().len();
        for look in 0..looks {
            let Some(noted) = self.noted.lock().get(look).cloned() else { break };
            if blocks.inner.catalog.holds(noted.as_of) {
                continue;
            }
            let Some(as_of) = noted.look_again(blocks).await? else { return Ok(false) };
            if let Some(noted) = self.noted.lock().get_mut(look) {
                noted.as_of = as_of;
            }
        }
        Ok(true)
    }

    /// What to say where it has not.
    pub(crate) fn outdated(&self, blocks: &Blocks) -> Error {
        blocks.inner.metrics.failed("outdated");
        let message = "samples went from ingesters to new blocks while they were read, which took too long";
        Error::unavailable(message, RETRY_AFTER)
    }
}

impl Noted {
    /// Looks at the index again: when it was read, if there is nothing in it that was not there before in another form.
    async fn look_again(&self, blocks: &Blocks) -> Result<Option<Moment>, Error> {
        blocks.inner.metrics.second_looks.inc();
        let listed = blocks.list(&self.bucket).await?;
        for new in listed.overlapping(self.range).filter(|block| !self.listed.knows(block.id)) {
            let meta = match self.bucket.meta(new.id).await {
                Ok(meta) => meta,
                // It has been merged and deleted since.
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(blocks.unopened(new.id, &error.into())),
            };
            if !self.has_samples_of(&meta) {
                return Ok(None);
            }
        }
        Ok(Some(listed.read_at()))
    }

    /// Whether a block was made of what was there.
    fn has_samples_of(&self, meta: &Meta) -> bool {
        let compaction = &meta.compaction;
        let parents = &compaction.parents;
        if !parents.is_empty() && parents.iter().all(|parent| self.listed.knows(parent.ulid)) {
            return true;
        }
        let is_in_one = |source: &Ulid| {
            let mut read = self.blocks.iter();
            self.listed.knows(*source)
                || read.any(|(_, block)| block.meta.compaction.sources.contains(source))
        };
        !compaction.sources.is_empty() && compaction.sources.iter().all(is_in_one)
    }
}
