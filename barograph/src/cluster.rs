//! What a process of a cluster has beside its roles: the metastore's client, the ring as it is seen, and its own presence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::RemoteAlertmanagers;
use distributor::{MetastoreHaTracker, MetastoreHaTrackerDeps};
use env::{FileSystem, OpenOptions, OsSeededRng};
use ingester::Ingester;
use membership::records::{Kind as _, RuleTenants, Rules};
use membership::rings::{self, Members};
use membership::shards;
use membership::{Client, LeaseHolder, Lifecycle, Place, Watcher, WatcherDeps};
use proto::LateIngester;
use proto::metastore::Lease;
use ring::{Instance, InstanceId, Quorum, Ring, RingView};
use rpc::grpc::{ChannelPool, Dial};
use rpc::ingester::RemoteIngesters;
use tokio::sync::watch;

use crate::compose::Parts;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::ProcessError;
use crate::grpc::Grpc;
use crate::peers::Peers;

/// The ring that ingesters are in.
const RING: &str = "ingester";
/// How long a process waits for ingesters before it says that it is ready all the same.
const INGESTERS_PATIENCE: Duration = Duration::from_secs(5);
/// Where the system says what the host is called.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";
const MAX_HOSTNAME_BYTES: usize = 256;

/// This process in its cluster.
pub(crate) struct Cluster {
    client: Client,
    watcher: Watcher,
    view: watch::Receiver<Arc<RingView>>,
    presence: Presence,
    elections: Option<MetastoreHaTracker>,
    /// What tenants have set as rules, where they are evaluated.
    rules: Option<Watcher>,
    /// What Alertmanagers have in common, where one of them is.
    alerts: Option<Watcher>,
}

/// How the others see that the process is there.
enum Presence {
    /// By its lease.
    Lease(LeaseHolder),
    /// By its lease, and its place in the ring.
    Place(Lifecycle),
}

impl Cluster {
    /// Begins to watch the cluster, and to be seen in it. Neither waits for the metastore.
    pub(crate) async fn start(
        parts: &Parts,
        data: &DataDir,
        grpc: &Grpc,
        http: String,
    ) -> Result<Self, ProcessError> {
        let (config, name) = (&parts.config, parts.name.as_str());
        let client = Client::new(
            config.membership.clone(),
            Arc::new(ChannelPool::new(Arc::clone(&grpc.dial))),
            Arc::clone(&parts.clock),
            Arc::new(OsSeededRng::new()),
            &parts.registry,
        );
        let dir = data.role("membership");
        env::create_dir_durable(&*parts.fs, &dir).map_err(ProcessError::ViewFolder)?;
        let scope = parts.scope.child("membership");
        let deps = WatcherDeps { fs: Arc::clone(&parts.fs), path: dir.join("view"), scope: scope.clone() };
        let mut prefixes = rings::prefixes(RING);
        if parts.roles.distributor {
            prefixes.extend(shards::prefixes());
        }
        let watcher = Watcher::start(client.clone(), prefixes, deps).await?;
        let quorum = Quorum::new(config.process.replication_factor);
        let elections = match parts.roles.distributor {
            true => Some(elections(parts, client.clone(), &dir).await?),
            false => None,
        };
        let rules = match parts.roles.ruler {
            true => Some(rules(parts, client.clone(), &dir).await?),
            false => None,
        };
        let alerts = match parts.roles.alertmanager {
            true => Some(alerts(parts, client.clone(), &dir).await?),
            false => None,
        };
        let view = rings::follow(&watcher, Members::new(RING, quorum), &parts.registry, &scope);
        let addresses: BTreeMap<String, String> = [("grpc", grpc.address.clone()), ("http", Some(http))]
            .into_iter()
            .filter_map(|(kind, address)| Some((kind.to_owned(), address?)))
            .collect();
        let zone = config.process.zone.clone().unwrap_or_default();
        let lease = Lease {
            instance: name.to_owned(),
            roles: parts.roles.names().into_iter().map(str::to_owned).collect(),
            zone: zone.clone(),
            addresses: addresses.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Lease::default()
        };
        let own = client.clone();
        let presence = match parts.roles.ingester {
            true => {
                let place = Place { ring: RING.to_owned(), instance: name.to_owned(), zone, addresses };
                let first = ingester::Presence::joining(&*parts.clock, config.process.retention);
                Presence::Place(Lifecycle::start(client, watcher.clone(), place, lease, first, &scope)?)
            }
            false => Presence::Lease(LeaseHolder::start(client, lease, &scope)),
        };
        Ok(Self { client: own, watcher, view, presence, elections, rules, alerts })
    }

    /// The metastore.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What is watched of it.
    pub(crate) fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// The ring of ingesters, as it becomes.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<RingView>> {
        self.view.clone()
    }

    /// The lease of this process, once it is being registered.
    pub(crate) fn lease(&self) -> Pin<Box<dyn Future<Output = LeaseHolder> + Send>> {
        match &self.presence {
            Presence::Lease(holder) => Box::pin(std::future::ready(holder.clone())),
            Presence::Place(lifecycle) => Box::pin(lifecycle.lease()),
        }
    }

    /// What the ruler of this process has of the cluster, if there is one.
    pub(crate) fn rulers(&self, parts: &Parts, grpc: &Grpc) -> Option<ruler::ClusterDeps> {
        let config = &parts.config.membership;
        Some(ruler::ClusterDeps {
            client: self.client(),
            rules: self.rules.clone()?,
            members: self.watcher(),
            lease: self.lease(),
            instance: parts.name.as_str().into(),
            dial: Arc::clone(&grpc.dial),
            patience: config.silence_timeout + config.max_staleness,
        })
    }

    /// What the Alertmanager of this process has of the cluster, if there is one.
    pub(crate) fn alertmanagers(&self, parts: &Parts, grpc: &Grpc) -> Option<alertmanager::ClusterDeps> {
        let config = &parts.config.membership;
        Some(alertmanager::ClusterDeps {
            client: self.client(),
            state: self.alerts.clone()?,
            members: self.watcher(),
            lease: self.lease(),
            instance: parts.name.as_str().into(),
            dial: Arc::clone(&grpc.dial),
            lease_ttl: config.lease_ttl,
            patience: config.silence_timeout + config.max_staleness,
        })
    }

    /// The Alertmanagers of the cluster, as a process that has none knows them.
    pub(crate) fn remote_alertmanagers(&self, parts: &Parts, grpc: &Grpc) -> RemoteAlertmanagers {
        RemoteAlertmanagers::new(self.watcher(), Arc::clone(&grpc.dial), Arc::clone(&parts.clock))
    }

    /// The ingesters of the cluster; `late` is the one of this process.
    pub(crate) fn peers(&self, parts: &Parts, grpc: &Grpc, late: &LateIngester<Ingester>) -> Peers {
        let own = parts.roles.ingester.then(|| (InstanceId::new(&parts.name), late.clone()));
        let (dial, rng) = (Arc::clone(&grpc.dial), Arc::new(OsSeededRng::new()));
        Peers::of_cluster(
            parts,
            self.view.clone(),
            RemoteIngesters::new(dial, self.view.clone(), rng),
            own,
            self.elections.clone(),
        )
    }

    /// Waits until something is known of the cluster: at once where a view was saved. A cluster that is just being
    /// started is given some time to become one that can be written to.
    pub(crate) async fn known(&self, parts: &Parts) {
        self.watcher.known().await;
        let mut view = self.view.clone();
        tokio::select! {
            biased;
            _ = view.wait_for(|view| takes_writes(view.ring())) => {}
            () = parts.clock.sleep(INGESTERS_PATIENCE) => {
                tracing::warn!("too few zones have an ingester that takes writes; going on without");
            }
        }
    }

    /// The ingester of this process has recovered its data: tells the others who it is, what it has lost, and that it is
    /// there for them. Returns once it has its place in the ring, and the metastore knows, or does not answer.
    pub(crate) async fn joined(&self, parts: &Parts, ingester: &Ingester) -> Result<(), ProcessError> {
        if let Some(place) = self.place(parts) {
            place.join(ingester).await?;
        }
        Ok(())
    }

    /// The ingester of this process hands over what it has, and leaves the ring for good.
    pub(crate) async fn leave(&self, parts: &Parts, dial: Arc<dyn Dial>, ingester: &Ingester) {
        let Some(place) = self.place(parts) else { return };
        let successors = RemoteIngesters::new(dial, self.view.clone(), Arc::new(OsSeededRng::new()));
        // What came of it is in the log; the process stops either way.
        place.leave(ingester, &successors, parts.config.ingester.hand_over_timeout).await;
    }

    fn place(&self, parts: &Parts) -> Option<ingester::Presence> {
        let Presence::Place(lifecycle) = &self.presence else { return None };
        Some(ingester::Presence {
            instance: InstanceId::new(&parts.name),
            lifecycle: lifecycle.clone(),
            view: self.view.clone(),
            clock: Arc::clone(&parts.clock),
            scope: parts.scope.clone(),
            join_wait: parts.config.process.join_wait,
        })
    }

    /// Lets others stand in for this process from now on. Its place is kept.
    pub(crate) async fn pause(&self) {
        self.watcher.save().await;
        if let Some(rules) = &self.rules {
            rules.save().await;
        }
        if let Some(alerts) = &self.alerts {
            alerts.save().await;
        }
        match &self.presence {
            Presence::Lease(holder) => holder.release().await,
            Presence::Place(lifecycle) => lifecycle.pause().await,
        }
    }
}

/// The elections of HA pairs, which all distributors have in common. They change often, and nobody else needs them: they
/// are watched by themselves.
async fn elections(parts: &Parts, client: Client, dir: &Path) -> Result<MetastoreHaTracker, ProcessError> {
    let scope = parts.scope.child("elections");
    let deps = WatcherDeps { fs: Arc::clone(&parts.fs), path: dir.join("elections"), scope: scope.clone() };
    let prefixes = vec![MetastoreHaTracker::PREFIX.into()];
    let watcher = Watcher::start(client.clone(), prefixes, deps).await?;
    let clock = Arc::clone(&parts.clock);
    let deps = MetastoreHaTrackerDeps { client, watcher, clock, scope };
    Ok(MetastoreHaTracker::start(&parts.config.distributor, deps))
}

/// The rules of tenants, which nobody but rulers needs: they are watched by themselves.
async fn rules(parts: &Parts, client: Client, dir: &Path) -> Result<Watcher, ProcessError> {
    let scope = parts.scope.child("rules");
    let deps = WatcherDeps { fs: Arc::clone(&parts.fs), path: dir.join("rules"), scope };
    let prefixes = vec![Rules::PREFIX.into(), RuleTenants::PREFIX.into()];
    Ok(Watcher::start(client, prefixes, deps).await?)
}

/// Silences, what was told, and configurations of tenants, which nobody but Alertmanagers needs.
async fn alerts(parts: &Parts, client: Client, dir: &Path) -> Result<Watcher, ProcessError> {
    let scope = parts.scope.child("alerts");
    let deps = WatcherDeps { fs: Arc::clone(&parts.fs), path: dir.join("alerts"), scope };
    Ok(Watcher::start(client, alertmanager::ClusterDeps::prefixes(), deps).await?)
}

/// Whether a quorum of zones has somebody who takes writes.
fn takes_writes(ring: &Ring) -> bool {
    let takers = ring.instances().iter().filter(|instance| instance.takes_writes());
    let zones: BTreeSet<&str> = takers.map(Instance::zone_name).collect();
    zones.len() >= ring.quorum().write_zones()
}

/// The name of this process: the configured one, or the host's.
pub(crate) fn instance_name(config: &Config, fs: &dyn FileSystem) -> Result<String, ProcessError> {
    match &config.process.instance_id {
        Some(id) => Ok(id.clone()),
        None => hostname(fs).map_err(ProcessError::Nameless),
    }
}

fn hostname(fs: &dyn FileSystem) -> std::io::Result<String> {
    let file = fs.open(Path::new(HOSTNAME_FILE), OpenOptions::READ)?;
    // The kernel says that the file is empty, whatever it holds.
    let mut buffer = [0; MAX_HOSTNAME_BYTES];
    let length = file.read_at(&mut buffer, 0)?;
    let name = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).trim().to_owned();
    match name.is_empty() {
        true => Err(std::io::Error::other("it is empty")),
        false => Ok(name),
    }
}
