//! Where samples of a tenant are: in ingesters, and in blocks of the bucket. Which of them has to be asked follows from the
//! time that a request is about.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use model::{TenantId, TimeRange};
use proto::{Error, IngesterRead};

use crate::blocks::{Blocks, Seen};
use crate::config::QuerierConfig;
use crate::ingesters::Ingesters;
use crate::service::whole_ms;

/// All who may have samples.
pub(crate) struct Sources {
    ingesters: Arc<dyn Ingesters>,
    blocks: Option<Blocks>,
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
        Self { ingesters, blocks, clock, ingesters_within, store_after }
    }

    /// Ingesters alone: they know what blocks do not have, such as metadata, exemplars and what is active.
    pub(crate) fn ingesters(&self) -> &dyn Ingesters {
        &*self.ingesters
    }

    /// Everyone whose answer is needed about samples in `range`.
    ///
    /// # Errors
    /// When too few can be reached.
    pub(crate) fn readers(&self, tenant: &TenantId, range: TimeRange) -> Result<Readers, Error> {
        let now = self.clock.now_ms();
        let Some(blocks) = &self.blocks else {
            return Ok(Readers { ingesters: self.ingesters.readers(tenant)?, blocks: None });
        };
        let of_blocks = range.start_ms() <= now.saturating_sub(whole_ms(self.store_after));
        let of_ingesters = self.ingesters_within.is_zero()
            || range.end_ms() >= now.saturating_sub(whole_ms(self.ingesters_within));
        let ingesters = match of_ingesters {
            true => self.ingesters.readers(tenant)?,
            false => Vec::new(),
        };
        let blocks = (of_blocks || ingesters.is_empty()).then(|| blocks.clone());
        Ok(Readers { ingesters, blocks })
    }
}

/// Everyone whose answer is needed; what they say is merged.
pub(crate) struct Readers {
    ingesters: Vec<Arc<dyn IngesterRead>>,
    blocks: Option<Blocks>,
}

/// Whether answers of ingesters came in time: what they have forgotten has to be among the blocks that were read.
#[derive(Clone)]
pub(crate) struct Watch {
    blocks: Blocks,
    seen: Seen,
}

/// Readers, to be asked once.
pub(crate) struct Once {
    pub(crate) ingesters: Vec<Arc<dyn IngesterRead>>,
    pub(crate) blocks: Option<Blocks>,
    /// What is to be looked at whenever an ingester has answered, where both ingesters and blocks are asked.
    pub(crate) watch: Option<Watch>,
}

impl Readers {
    /// All of them.
    pub(crate) fn once(&self) -> Once {
        let ingesters = self.ingesters.clone();
        let Some(blocks) = &self.blocks else { return Once { ingesters, blocks: None, watch: None } };
        let (noted, seen) = blocks.noted();
        let watch = (!ingesters.is_empty()).then(|| Watch { blocks: blocks.clone(), seen });
        Once { ingesters, blocks: Some(noted), watch }
    }
}

impl Watch {
    /// Whether nothing is missing from what ingesters have said so far and from the blocks that are read.
    ///
    /// # Errors
    /// Where that cannot be found out.
    pub(crate) async fn is_current(&self) -> Result<bool, Error> {
        self.seen.is_current(&self.blocks).await
    }

    /// What to say where it is not, and nobody can begin again.
    pub(crate) fn outdated(&self) -> Error {
        self.seen.outdated(&self.blocks)
    }
}
