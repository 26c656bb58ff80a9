//! Series counted by asking ingesters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use env::{Clock, Scope};
use model::TenantId;
use proto::IngesterReaders;
use ring::InstanceId;

use super::SeriesCounts;
use super::plan::Counts;

/// Ingesters that are asked at a time.
const AT_A_TIME: usize = 16;
/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks ingesters for their tenants.
pub struct AskIngesters {
    /// The ingesters.
    pub readers: Arc<dyn IngesterReaders>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where calls run.
    pub scope: Scope,
}

#[async_trait]
impl SeriesCounts for AskIngesters {
    async fn counts(&self, ingesters: &[InstanceId]) -> Counts {
        let mut counts = Counts::new();
        for some in ingesters.chunks(AT_A_TIME) {
            let asked: Vec<_> = some.iter().map(|id| (id, self.ask(id))).collect();
            for (id, answer) in asked {
                // Whose call was ended answers nothing.
                counts.extend(answer.await.ok().flatten().map(|series| (id.clone(), series)));
            }
        }
        counts
    }
}

impl AskIngesters {
    fn ask(&self, id: &InstanceId) -> env::TaskHandle<Option<BTreeMap<TenantId, u64>>> {
        let reader = self.readers.reader(id);
        let late = self.clock.sleep(TIMEOUT);
        self.scope.spawn("membership counting", async move {
            let reader = reader?;
            let tenants = tokio::select! {
                biased;
                tenants = reader.all_stats() => tenants.ok()?,
                () = late => return None,
            };
            Some(tenants.into_iter().map(|(tenant, stats)| (tenant, stats.series)).collect())
        })
    }
}
