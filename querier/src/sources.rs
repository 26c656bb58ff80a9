//! Where samples of a tenant are: in ingesters, and in blocks of the bucket. Which of them has to be asked follows from the
//! time that a request is about.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use model::{TenantId, TimeRange};
use proto::{Error, IngesterRead};

use crate::blocks::Blocks;
use crate::config::QuerierConfig;
use crate::ingesters::Ingesters;
use crate::service::whole_ms;

/// All who may have samples.
pub(crate) struct Sources {
    ingesters: Arc<dyn Ingesters>,
    blocks: Option<Arc<Blocks>>,
    clock: Arc<dyn Clock>,
    /// Ingesters have nothing that is older; zero: they may have anything.
    ingesters_within: Duration,
    /// Blocks have nothing that is younger.
    store_after: Duration,
}

impl Sources {
    pub(crate) fn new(
        config: &QuerierConfig,
        ingesters: Arc<dyn Ingesters>,
        blocks: Option<Blocks>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (ingesters_within, store_after) = (config.query_ingesters_within, config.query_store_after);
        Self { ingesters, blocks: blocks.map(Arc::new), clock, ingesters_within, store_after }
    }

    /// Ingesters alone: they know what blocks do not have, such as metadata, exemplars and what is active.
    pub(crate) fn ingesters(&self) -> &dyn Ingesters {
        &*self.ingesters
    }

    /// Everyone whose answer is needed about samples in `range`; what they say is merged.
    ///
    /// # Errors
    /// When too few can be reached.
    pub(crate) fn readers(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<Arc<dyn IngesterRead>>, Error> {
        let now = self.clock.now_ms();
        let Some(blocks) = &self.blocks else { return self.ingesters.readers(tenant) };
        let of_blocks = range.start_ms() <= now.saturating_sub(whole_ms(self.store_after));
        let of_ingesters = self.ingesters_within.is_zero()
            || range.end_ms() >= now.saturating_sub(whole_ms(self.ingesters_within));
        let mut readers = match of_ingesters {
            true => self.ingesters.readers(tenant)?,
            false => Vec::new(),
        };
        if of_blocks || readers.is_empty() {
            readers.push(Arc::clone(blocks) as Arc<dyn IngesterRead>);
        }
        Ok(readers)
    }
}
