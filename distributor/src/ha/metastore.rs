//! Elections in the metastore, so that all distributors take the same replica: decided by compare-and-set, watched by
//! all, and judged from memory for every request. While the metastore is away, whoever is elected stays so; where an
//! elected replica falls silent meanwhile, all replicas of its pair are taken, because samples that come twice are
//! better than none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use env::{Clock, Scope};
use membership::records::{self, HaElections, Kind};
use membership::{Client, View, Watcher};
use model::TenantId;
use parking_lot::Mutex;
use proto::metastore::{self, HaElection, Txn};
use proto::{Error, Stored};

use super::pairs::{Candidacy, Pairs, PairsPolicy, Record, Seen};
use super::{Election, HaTracker};
use crate::config::DistributorConfig;

/// How often, at most, what the watch says is looked through.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// For how long all replicas of a pair are taken before an election is tried again.
const OPEN: Duration = Duration::from_secs(5);

/// What the tracker takes from its surroundings.
pub struct MetastoreHaTrackerDeps {
    /// The metastore.
    pub client: Client,
    /// A view that has the records under [`MetastoreHaTracker::PREFIX`].
    pub watcher: Watcher,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where its tasks run.
    pub scope: Scope,
}

/// Elections that all distributors of a cluster share.
#[derive(Clone)]
pub struct MetastoreHaTracker {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    clock: Arc<dyn Clock>,
    scope: Scope,
    timeout: Duration,
    pairs: Mutex<Pairs>,
}

impl MetastoreHaTracker {
    /// What the keys of elections begin with: what the watcher has to watch.
    pub const PREFIX: &'static str = HaElections::PREFIX;

    /// A tracker that follows the watcher until its scope ends.
    pub fn start(config: &DistributorConfig, deps: MetastoreHaTrackerDeps) -> Self {
        let MetastoreHaTrackerDeps { client, watcher, clock, scope } = deps;
        let failover = config.ha_tracker_failover_timeout;
        // Others must hear of an elected replica well before they take it for silent.
        let refresh = config.ha_tracker_update_timeout.min(failover / 2);
        let pairs = Pairs::new(PairsPolicy { failover, refresh, open: OPEN });
        let timeout = config.ha_tracker_election_timeout;
        let inner = Arc::new(Inner { client, clock, scope, timeout, pairs: Mutex::new(pairs) });
        let (tracker, follower) = (Self { inner: Arc::clone(&inner) }, inner);
        // It ends with the scope; nobody waits for it.
        drop(tracker.inner.scope.spawn("ha elections", async move { follower.follow(&watcher).await }));
        tracker
    }
}

impl Inner {
    async fn follow(&self, watcher: &Watcher) {
        let mut views = watcher.subscribe();
        let mut cluster_id = 0;
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            if view.is_known() {
                self.take(&view, &mut cluster_id);
            }
            drop(view);
            self.clock.sleep(SWEEP_PAUSE).await;
            if views.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes in what a view has.
    fn take(&self, view: &View, cluster_id: &mut u64) {
        let now = self.clock.monotonic();
        let mut pairs = self.pairs.lock();
        if *cluster_id != view.cluster_id() {
            *cluster_id = view.cluster_id();
            pairs.clear();
        }
        for record in view.range(HaElections::PREFIX.as_bytes()) {
            let Some((tenant, cluster)) = pair_of(&record.key) else { continue };
            match election_of(record) {
                Some(election) => pairs.record(&tenant, cluster, election, now),
                None => tracing::debug!(cluster, "the record of an HA election cannot be read"),
            }
        }
        pairs.retain(view.revision(), now, |tenant, cluster| view.get(&key(tenant, cluster)).is_some());
    }

    /// Writes an election where nothing has changed; what is there afterwards.
    async fn write(
        &self,
        tenant: &TenantId,
        cluster: &str,
        candidacy: Candidacy,
        election: HaElection,
    ) -> Result<Option<Record>, Error> {
        let replica = Arc::from(election.replica.as_str());
        let elected_ms = election.elected_ms;
        let txn = txn(tenant, cluster, candidacy, election);
        let timeout = self.clock.sleep(self.timeout);
        let answer = tokio::select! {
            biased;
            answer = self.client.txn(txn) => answer?,
            () = timeout => return Err(Error::unavailable("the metastore does not answer", self.timeout)),
        };
        let result = answer.result.unwrap_or_default();
        if result.succeeded {
            let revision = answer.header.unwrap_or_default().revision;
            return Ok(Some(Record { replica, elected_ms, revision }));
        }
        let found = result.results.into_iter().find_map(|result| result.record);
        Ok(found.as_ref().and_then(election_of))
    }

    async fn elect(&self, tenant: &TenantId, cluster: &str, replica: &str, max_clusters: usize) {
        let now = self.clock.monotonic();
        let Some(candidacy) = self.pairs.lock().candidacy(tenant, cluster, max_clusters, now) else {
            return;
        };
        let now_ms = self.clock.now_ms();
        let election = HaElection { replica: replica.to_owned(), elected_ms: now_ms, received_ms: now_ms };
        let outcome = self.write(tenant, cluster, candidacy, election).await;
        let now = self.clock.monotonic();
        match outcome {
            Ok(Some(record)) => {
                tracing::info!(
                    tenant = tenant.as_str(),
                    cluster,
                    replica = &*record.replica,
                    "replica elected"
                );
                self.pairs.lock().record(tenant, cluster, record, now);
            }
            // Somebody removed it just now: the next request tries again.
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(tenant = tenant.as_str(), cluster, %error, "no replica can be elected; all are taken");
                self.pairs.lock().failed(tenant, cluster, now);
            }
        }
    }

    /// Tells the other distributors that an elected replica is heard of.
    async fn refresh(&self, tenant: &TenantId, cluster: &str, record: Record) {
        let Record { replica, elected_ms, revision } = record;
        let election =
            HaElection { replica: (*replica).to_owned(), elected_ms, received_ms: self.clock.now_ms() };
        let candidacy = Candidacy { revision, instead_of: None };
        match self.write(tenant, cluster, candidacy, election).await {
            Ok(Some(record)) => {
                self.pairs.lock().record(tenant, cluster, record, self.clock.monotonic());
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(cluster, %error, "an HA election was not refreshed"),
        }
    }
}

#[async_trait]
impl HaTracker for MetastoreHaTracker {
    fn observe(
        &self,
        tenant: &TenantId,
        cluster: &str,
        replica: &str,
        max_clusters: usize,
        now: Duration,
    ) -> Election {
        let seen = self.inner.pairs.lock().observe(tenant, cluster, replica, max_clusters, now);
        match seen {
            Seen::Decided(election) => election,
            Seen::Refresh(record) => {
                let (inner, tenant, cluster) = (Arc::clone(&self.inner), tenant.clone(), cluster.to_owned());
                // It takes as long as an election at most, and nobody waits for it.
                drop(self.inner.scope.spawn("ha refresh", async move {
                    inner.refresh(&tenant, &cluster, record).await;
                }));
                Election::Elected
            }
        }
    }

    async fn elect(&self, tenant: &TenantId, cluster: &str, replica: &str, max_clusters: usize) {
        self.inner.elect(tenant, cluster, replica, max_clusters).await;
    }
}

fn key(tenant: &TenantId, cluster: &str) -> bytes::Bytes {
    records::key::<HaElections>(&[tenant.as_str(), cluster])
}

/// Whose election a key is of. What stands behind the tenant is the pair's name, whatever is in it.
fn pair_of(key: &[u8]) -> Option<(TenantId, &str)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(HaElections::PREFIX)?;
    let (tenant, cluster) = rest.split_once('/')?;
    Some((TenantId::new(tenant).ok()?, cluster))
}

fn election_of(record: &metastore::Record) -> Option<Record> {
    let stored: Stored<HaElection> = records::value::<HaElections>(record).ok()?;
    let HaElection { replica, elected_ms, .. } = stored.message;
    Some(Record { replica: replica.into(), elected_ms, revision: record.mod_revision })
}

fn txn(tenant: &TenantId, cluster: &str, candidacy: Candidacy, election: HaElection) -> Txn {
    let Candidacy { revision, instead_of } = candidacy;
    let mut txn = records::elect(tenant.as_str(), cluster, revision, &Stored::new(election));
    if let Some((other, revision)) = instead_of {
        let other = key(tenant, &other);
        txn.compare.push(records::unchanged(other.clone(), revision));
        txn.then.push(records::delete(other));
    }
    txn
}
