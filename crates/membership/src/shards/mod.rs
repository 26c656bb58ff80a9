//! The planner of tenants' shards: one elected process looks at how many series tenants have, and records how many
//! ingesters per zone they are to use, with the time, so that reading reaches back to where series were.
//!
//! Only changes are written, many tenants in one transaction, and each under the fence of the job: a planner that lost
//! it without knowing changes nothing. While nobody plans, shards stay as they are.

mod plan;
mod readers;
mod record;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use env::Scope;
use model::TenantId;
use proto::metastore::{Compare, JobHolder, Op, Tenant, Txn};
use proto::{Error, Stored};
use ring::{InstanceId, RingView};
use tokio::sync::watch;

pub use plan::{Counts, Resize, Rules, ShardPlan};
pub use readers::AskIngesters;

use crate::client::Client;
use crate::lease::Held;
use crate::records::{self, Jobs, Kind as _, Tenants};
use crate::rings::departed;
use crate::view::View;
use crate::watcher::Watcher;

/// The job that the planner holds.
const KIND: &str = "shards";
const JOB: &str = "planner";
/// Records changed in one transaction; with the job, as many comparisons as the metastore takes fit.
const CHANGES_PER_TXN: usize = 128;
/// Tenants changed in one look; the rest is changed in the next.
const MAX_CHANGES: usize = 2048;

settings::section! {
    /// How many ingesters tenants use.
    pub struct ShardsConfig ("shards") {
        /// How often the series of tenants are counted.
        interval: Duration = "1m", range "10ms"..="1h";
        /// How long a tenant must have needed fewer ingesters before it is given fewer.
        shrink_after: Duration = "6h", range "0s"..="30d";
        /// How long after a change a tenant is not given more again, unless it needs twice as many: until then its
        /// series are counted where they are and where they were.
        settle: Duration = "30m", range "0s"..="1d";
        /// How much longer than the moment of writing the lease of the planner must hold.
        margin: Duration = "2s", range "0s"..="1m";
    }
}

/// Where the planner learns what ingesters hold.
#[async_trait]
pub trait SeriesCounts: Send + Sync {
    /// The series of each tenant in each of these ingesters. Whoever does not answer in time is left out.
    async fn counts(&self, ingesters: &[InstanceId]) -> Counts;
}

/// What the planner needs.
pub struct ShardsDeps {
    /// Calls of the metastore.
    pub client: Client,
    /// A view of [`prefixes`], at least.
    pub watcher: Watcher,
    /// The ring of ingesters.
    pub rings: watch::Receiver<Arc<RingView>>,
    /// The lease of this process, as it is now.
    pub held: Box<dyn Fn() -> Held + Send + Sync>,
    /// The instance that the lease is of.
    pub instance: String,
    /// Where series are counted.
    pub counts: Arc<dyn SeriesCounts>,
    /// How long what ingesters hold may be read: sizes that ended earlier are forgotten.
    pub keep: Duration,
    /// Where the planner runs.
    pub scope: Scope,
}

/// What a planner has to watch, besides what its ring needs.
pub fn prefixes() -> Vec<Bytes> {
    vec![Tenants::PREFIX.into(), format!("{}{KIND}/", Jobs::PREFIX).into()]
}

/// Starts a planner, which plans while it holds the job. It ends with its scope.
pub fn start(config: ShardsConfig, deps: ShardsDeps) {
    let scope = deps.scope.clone();
    let planner = Planner { config, deps, plan: ShardPlan::default() };
    // Nobody waits for it.
    drop(scope.spawn("membership shards", planner.run()));
}

struct Planner {
    config: ShardsConfig,
    deps: ShardsDeps,
    plan: ShardPlan,
}

impl Planner {
    async fn run(mut self) {
        loop {
            self.deps.client.clock().sleep(self.config.interval).await;
            match self.hold().await {
                Ok(Some(fence)) => {
                    self.look(fence).await;
                    self.forget_departed(fence).await;
                }
                // Another one plans; what was known of tenants is old when this one takes over.
                Ok(None) => self.plan = ShardPlan::default(),
                Err(error) => tracing::debug!(%error, "the planner of shards did not learn whether it plans"),
            }
        }
    }

    /// The fencing token of the job, where this process has it now.
    async fn hold(&self) -> Result<Option<u64>, Error> {
        let ShardsDeps { client, watcher, held, instance, .. } = &self.deps;
        let held = held();
        if !held.is_valid(client.clock().monotonic(), self.config.margin) {
            return Ok(None);
        }
        let view = watcher.view();
        if let Some(record) = view.get(&records::key::<Jobs>(&[KIND, JOB])) {
            let holder = records::value::<Jobs>(record).map(|stored| stored.message);
            let ours = |holder: &JobHolder| holder.instance == *instance && holder.lease_token == held.token;
            return Ok(holder.ok().filter(ours).map(|_| record.create_revision));
        }
        let taking = records::take_job(KIND, JOB, instance, held.token, client.clock().now_ms());
        let answer = client.txn(taking).await?;
        let taken = answer.result.is_some_and(|result| result.succeeded);
        if taken {
            tracing::info!("this process plans how many ingesters tenants use");
        }
        Ok(answer.header.filter(|_| taken).map(|header| header.revision))
    }

    async fn look(&mut self, fence: u64) {
        let rings = self.deps.rings.borrow().clone();
        let ingesters: Vec<InstanceId> = rings
            .ring()
            .instances()
            .iter()
            .filter(|instance| instance.state.has_tokens())
            .map(|instance| instance.id.clone())
            .collect();
        let counts = self.deps.counts.counts(&ingesters).await;
        let view = self.deps.watcher.view();
        let now_ms = self.deps.client.clock().now_ms();
        let rules =
            Rules { shrink_after_ms: ms(self.config.shrink_after), settle_ms: ms(self.config.settle) };
        let changed = |tenant: &TenantId| Row::read(&view, tenant)?.changed_ms();
        let mut resizes = self.plan.look(now_ms, rules, &rings, &counts, &changed);
        resizes.truncate(MAX_CHANGES);
        for some in resizes.chunks(CHANGES_PER_TXN) {
            self.write(fence, now_ms, &view, some).await;
        }
    }

    /// Writes changes: all in one transaction, or, where one of the tenants was changed meanwhile, each by itself.
    async fn write(&self, fence: u64, now_ms: i64, view: &View, resizes: &[Resize]) {
        let rows: Vec<(Row, &Resize)> =
            resizes.iter().filter_map(|resize| Some((Row::read(view, &resize.tenant)?, resize))).collect();
        let forget_before_ms = now_ms.saturating_sub(ms(self.deps.keep));
        let changes: Vec<(Compare, Op)> = rows
            .into_iter()
            .map(|(row, resize)| row.resized(now_ms, resize.per_zone, forget_before_ms))
            .collect();
        let count = changes.len();
        let mut done = if self.commit(fence, changes.clone()).await { count } else { 0 };
        if done == 0 && count > 1 {
            for change in changes {
                done += usize::from(self.commit(fence, vec![change]).await);
            }
        }
        self.deps.client.metrics().resized_tenants.inc_by(done as u64);
    }

    /// Removes the records of instances that nobody asks any more; who came back meanwhile is tried another time.
    async fn forget_departed(&self, fence: u64) {
        let before_ms = self.deps.client.clock().now_ms().saturating_sub(ms(self.deps.keep));
        let forgotten = departed(&self.deps.watcher.view(), before_ms, CHANGES_PER_TXN);
        let count = forgotten.len();
        if count > 0 && self.commit(fence, forgotten).await {
            tracing::info!(instances = count, "instances that left long ago are forgotten");
        }
    }

    /// Whether changes were made: all or none.
    async fn commit(&self, fence: u64, changes: Vec<(Compare, Op)>) -> bool {
        let held = (self.deps.held)();
        if !held.is_valid(self.deps.client.clock().monotonic(), self.config.margin) {
            return false;
        }
        let records = changes.len();
        let (compare, then): (Vec<Compare>, Vec<Op>) = changes.into_iter().unzip();
        let mut txn: Txn = records::while_holding(KIND, JOB, fence, then);
        txn.compare.extend(compare);
        match self.deps.client.txn(txn).await {
            Ok(answer) => answer.result.is_some_and(|result| result.succeeded),
            Err(error) => {
                tracing::debug!(%error, records, "what the planner decided was not recorded");
                false
            }
        }
    }
}

/// A tenant's record as it was read, or as it will be first written.
struct Row {
    key: Bytes,
    mod_revision: u64,
    tenant: Stored<Tenant>,
}

impl Row {
    /// `None` where the record cannot be read: it is not ours to replace then.
    fn read(view: &View, tenant: &TenantId) -> Option<Self> {
        let key = records::key::<Tenants>(&[tenant.as_str()]);
        match view.get(&key) {
            Some(record) => {
                let tenant = records::value::<Tenants>(record).ok()?;
                Some(Self { key, mod_revision: record.mod_revision, tenant })
            }
            None => Some(Self { key, mod_revision: 0, tenant: Stored::default() }),
        }
    }

    fn changed_ms(&self) -> Option<i64> {
        self.tenant.message.shard_sizes.last().map(|size| size.since_ms)
    }

    /// What writes another size, while the record is as it was read.
    fn resized(mut self, now_ms: i64, per_zone: u32, forget_before_ms: i64) -> (Compare, Op) {
        if self.mod_revision == 0 {
            self.tenant.message.created_ms = now_ms;
        }
        record::resize(&mut self.tenant.message, now_ms, per_zone, forget_before_ms);
        let put = records::put::<Tenants>(self.key.clone(), &self.tenant);
        (records::unchanged(self.key, self.mod_revision), put)
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
