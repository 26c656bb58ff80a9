//! A running node: starting on what is stored, founding or joining a cluster, leading, stopping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Rng, Scope};
use openraft::{ServerState, SnapshotPolicy};
use proto::metastore::metastore_server::MetastoreServer;
use proto::metastore::raft_server::RaftServer;
use proto::metastore::{Command, EndLease, Found, JoinRequest, Lease, Member, Node, command};
use rpc::grpc::{ChannelPool, Dial, Routes};
use telemetry::Registry;
use tokio::sync::Mutex;

use crate::admin::Admin;
use crate::config::MetastoreConfig;
use crate::error::StartError;
use crate::gate::ReadGate;
use crate::leases::LeaseTable;
use crate::metrics::Metrics;
use crate::observe::observe;
use crate::raft::{Freshness, Network, RaftService};
use crate::runtime::Context;
use crate::service::Service;
use crate::store::{Engine, LogStore, Machine, View, identity};
use crate::types::Raft;

/// How long between attempts to found or join a cluster.
const FORM_WAIT: Duration = Duration::from_millis(200);
/// How long a snapshot may take on its way, installation included.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);
/// Entries of one message; their bytes are bounded by the log's reader.
const MAX_PAYLOAD_ENTRIES: u64 = 256;
/// How long a command of the leader itself may take.
const OWN_COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// A look at leases that is later than this was a leader's that was away.
const LATE_LOOK: Duration = Duration::from_secs(3);

/// What a node needs of its surroundings.
pub struct Deps {
    /// Where log and state are.
    pub engine: Arc<dyn Engine>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Numbers of nodes and clusters, and the chance in elections.
    pub rng: Arc<dyn Rng>,
    /// Where its tasks run.
    pub scope: Scope,
    /// Where its metrics go.
    pub registry: Registry,
    /// The way to other nodes.
    pub dial: Arc<dyn Dial>,
    /// Where others reach this node: host:port.
    pub address: String,
    /// The largest message that is taken.
    pub max_message_bytes: usize,
}

/// A running node. Clones are the same.
#[derive(Clone)]
pub struct Metastore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Arc<MetastoreConfig>,
    pub(crate) identity: Arc<Member>,
    pub(crate) raft: Raft,
    pub(crate) view: View,
    pub(crate) gate: ReadGate,
    pub(crate) renewals: ReadGate,
    pub(crate) admin: Admin,
    pub(crate) leases: parking_lot::Mutex<LeaseTable>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
    rng: Arc<dyn Rng>,
    max_message_bytes: usize,
}

impl Metastore {
    /// Starts a node on what its engine holds. Serve [`Metastore::routes`] next: the node founds or joins its cluster
    /// by itself, as soon as others can reach it.
    ///
    /// # Errors
    /// Where what is stored cannot be used.
    pub async fn start(config: MetastoreConfig, deps: Deps) -> Result<Self, StartError> {
        let Deps { engine, clock, rng, scope, registry, dial, address, max_message_bytes } = deps;
        let scope = scope.child("metastore");
        let node = Node { name: config.name.clone(), address };
        let (identity, machine) = {
            let (engine, scope_of_work, draw) = (Arc::clone(&engine), scope.clone(), rng.next_u64());
            let work = move || {
                let identity = identity::load(&*engine, draw, &node)?;
                Ok::<_, StartError>((identity, Machine::load(engine, scope_of_work)?))
            };
            let interrupted = |error: env::TaskError| StartError::Interrupted { reason: error.to_string() };
            scope.run_blocking(work).await.map_err(interrupted)??
        };
        let config = Arc::new(config);
        let view = machine.view();
        let network = Network::new(identity.id, Arc::new(ChannelPool::new(dial)));
        let log = LogStore::new(engine, scope.clone());
        let timing = timing(&config)?;
        let context = Context::new(scope.clone(), Arc::clone(&rng));
        let started = context.enter(Raft::new(identity.id, timing, network.clone(), log, machine)).await;
        let raft = started.map_err(|error| StartError::Raft(Box::new(error)))?;
        let (gate, serve_gate) = ReadGate::new(raft.clone());
        let (renewals, serve_renewals) = gate.patient(config.renewal_gap, Arc::clone(&clock));
        let admin = Admin {
            config: Arc::clone(&config),
            raft: raft.clone(),
            gate: gate.clone(),
            network,
            changing: Arc::new(Mutex::new(())),
        };
        let inner = Arc::new(Inner {
            config,
            identity: Arc::new(identity),
            raft: raft.clone(),
            view,
            gate,
            renewals,
            admin,
            leases: parking_lot::Mutex::default(),
            freshness: Arc::default(),
            metrics: Metrics::new(&registry),
            clock,
            scope: scope.clone(),
            rng,
            max_message_bytes,
        });
        // These end with the scope; nobody waits for them.
        drop(scope.spawn("metastore observing", observe(raft)));
        drop(scope.spawn("metastore gate", serve_gate));
        drop(scope.spawn("metastore renewals", serve_renewals));
        drop(scope.spawn("metastore forming", Arc::clone(&inner).form()));
        drop(scope.spawn("metastore leading", Arc::clone(&inner).lead()));
        Ok(Self { inner })
    }

    /// The services of this node, for the process' gRPC listener.
    pub fn routes(&self) -> Routes {
        let inner = &self.inner;
        let raft = RaftService {
            identity: Arc::clone(&inner.identity),
            raft: inner.raft.clone(),
            view: inner.view.clone(),
            freshness: Arc::clone(&inner.freshness),
            clock: Arc::clone(&inner.clock),
            admin: inner.admin.clone(),
        };
        let max = inner.max_message_bytes;
        Routes::new(RaftServer::new(raft).max_decoding_message_size(max))
            .add_service(MetastoreServer::new(Service::new(Arc::clone(inner))).max_decoding_message_size(max))
    }

    /// This node's number.
    pub fn id(&self) -> u64 {
        self.inner.identity.id
    }

    /// The state as this node has it.
    pub fn view(&self) -> &View {
        &self.inner.view
    }

    /// Whether this node thinks that it leads.
    pub fn is_leader(&self) -> bool {
        self.inner.leading_term().is_some()
    }

    /// Stops the node. What it acknowledged is on the disk whether or not this is called.
    pub async fn stop(&self) {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "the metastore node did not stop cleanly");
        }
        self.inner.scope.abort();
    }
}

fn timing(config: &MetastoreConfig) -> Result<Arc<openraft::Config>, StartError> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let timing = openraft::Config {
        cluster_name: "barograph".to_owned(),
        heartbeat_interval: ms(config.heartbeat_interval),
        election_timeout_min: ms(config.election_timeout),
        // Chance needs room, or two candidates would meet again and again.
        election_timeout_max: ms(config.election_timeout).saturating_mul(7) / 4 + 1,
        install_snapshot_timeout: ms(SNAPSHOT_TIMEOUT),
        max_payload_entries: MAX_PAYLOAD_ENTRIES,
        replication_lag_threshold: config.snapshot_entries.saturating_add(config.kept_entries),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_entries),
        max_in_snapshot_log_to_keep: config.kept_entries,
        purge_batch_size: (config.snapshot_entries / 8).max(1),
        ..openraft::Config::default()
    };
    timing.validate().map(Arc::new).map_err(|error| StartError::Config { reason: error.to_string() })
}

impl Inner {
    /// Founds or joins a cluster, or tells the one that it belongs to where it is now.
    async fn form(self: Arc<Self>) {
        let mut said = String::new();
        loop {
            match self.try_form().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(reason) if reason != said => {
                    tracing::info!(reason, "the metastore is forming");
                    said = reason;
                }
                Err(_) => {}
            }
            self.clock.sleep(FORM_WAIT).await;
        }
    }

    /// Whether this node has its place now; otherwise why not, where there is something to say.
    async fn try_form(&self) -> Result<bool, String> {
        if self.raft.is_initialized().await.map_err(|error| error.to_string())? {
            let own = self.identity.node.clone().unwrap_or_default();
            let members = self.members();
            return match members.get(&self.identity.id) {
                Some(known) if *known == own => Ok(true),
                // It has moved, or was removed while it was away; who leads decides, which may be this node itself.
                _ => {
                    let known = members.values().map(|node| node.address.clone());
                    let configured = self.config.voters.iter().map(|peer| peer.address.clone());
                    let addresses: BTreeSet<String> =
                        known.chain(configured).chain([own.address.clone()]).collect();
                    self.ask_to_join(addresses.into_iter().collect()).await
                }
            };
        }
        let own = self.identity.node.clone().unwrap_or_default();
        let others: Vec<&crate::config::Peer> =
            self.config.voters.iter().filter(|peer| peer.name != own.name).collect();
        if others.is_empty() {
            return self.found(BTreeMap::from([(self.identity.id, own)])).await;
        }
        let mut members = BTreeMap::from([(self.identity.id, own.clone())]);
        let mut unreachable = Vec::new();
        for peer in &others {
            match self.admin.identify(&peer.address).await {
                // Its cluster exists: a second one must not be founded, whoever else is reachable.
                Ok(found) if found.initialized => {
                    return self.ask_to_join(others.iter().map(|peer| peer.address.clone()).collect()).await;
                }
                Ok(found) => {
                    members.insert(found.id, peer.node());
                }
                Err(error) => unreachable.push(format!("{} ({error})", peer.name)),
            }
        }
        if !unreachable.is_empty() {
            return Err(format!(
                "to found the cluster, every voter is needed; not there: {}",
                unreachable.join(", ")
            ));
        }
        // One of them does it, always the same one.
        let first = self.config.voters.iter().map(|peer| &peer.name).min();
        if first == Some(&own.name) { self.found(members).await } else { Ok(false) }
    }

    async fn found(&self, members: BTreeMap<u64, Node>) -> Result<bool, String> {
        tracing::info!(members = members.len(), "founding the metastore's cluster");
        self.raft.initialize(members).await.map(|()| true).map_err(|error| error.to_string())
    }

    async fn ask_to_join(&self, addresses: Vec<String>) -> Result<bool, String> {
        let mut last = "there is nobody to ask".to_owned();
        for address in addresses {
            let client = self.admin.network.client(&address);
            let Ok(mut client) = client else { continue };
            let member = Some((*self.identity).clone());
            let mut request = tonic::Request::new(JoinRequest { member });
            request.set_timeout(SNAPSHOT_TIMEOUT);
            match client.join(request).await {
                Ok(_) => return Ok(true),
                Err(status) => last = format!("cannot join through {address}: {}", status.message()),
            }
        }
        Err(last)
    }

    /// Does what a leader does, while this node is one, and keeps metrics.
    async fn lead(self: Arc<Self>) {
        let mut led = None;
        loop {
            self.clock.sleep(self.config.lease_check_interval).await;
            self.measure();
            let term = self.leading_term();
            if term != led {
                self.leases.lock().clear();
                led = term;
            }
            if term.is_none() {
                continue;
            }
            let (cluster, live) =
                self.view.read(|state| (state.cluster_id(), state.leases().collect::<Vec<Lease>>()));
            if cluster == 0 {
                let found = Found { cluster_id: self.rng.next_u64().max(1) };
                self.propose_own(command::Command::Found(found)).await;
                continue;
            }
            let over = self.leases.lock().look(self.clock.monotonic(), LATE_LOOK, &live);
            for over in over {
                tracing::warn!(instance = over.instance, "lease was not renewed in time; it ends");
                self.metrics.expired_leases.inc();
                let end = EndLease { instance: over.instance, token: over.token, released: false };
                self.propose_own(command::Command::EndLease(end)).await;
            }
        }
    }

    /// A command of the leader itself. Where it fails, the next look proposes it again.
    async fn propose_own(&self, command: command::Command) {
        let command = Command { time_ms: self.clock.now_ms(), command: Some(command), request: None };
        let timeout = self.clock.sleep(OWN_COMMAND_TIMEOUT);
        let failed = tokio::select! {
            biased;
            written = self.raft.client_write(command) => written.err().map(|error| error.to_string()),
            () = timeout => Some("it took too long".to_owned()),
        };
        if let Some(error) = failed {
            self.metrics.failed_proposals.inc();
            tracing::debug!(error, "a command of the leader itself was not committed");
        }
    }

    fn measure(&self) {
        let raft = self.raft.metrics();
        let raft = raft.borrow();
        let (records, leases, revision) =
            self.view.read(|state| (state.len(), state.lease_count(), state.revision()));
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.leader.set(i64::from(raft.state == ServerState::Leader));
        self.metrics.term.set(gauge(raft.current_term));
        self.metrics.applied.set(gauge(raft.last_applied.map_or(0, |id| id.index)));
        self.metrics.records.set(gauge(records as u64));
        self.metrics.leases.set(gauge(leases as u64));
        self.metrics.revision.set(gauge(revision));
    }

    /// The term that this node leads in, as far as it knows.
    pub(crate) fn leading_term(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leads = metrics.state == ServerState::Leader && metrics.current_leader == Some(self.identity.id);
        leads.then_some(metrics.current_term)
    }

    /// How old this node's state may be; `None` where it cannot tell.
    pub(crate) fn staleness(&self) -> Option<Duration> {
        if self.leading_term().is_some() {
            // What the leader has applied may be a little behind what it has committed, and another may lead by now.
            let since = self.raft.metrics().borrow().millis_since_quorum_ack;
            return since.map(|ms| Duration::from_millis(ms) + self.config.heartbeat_interval);
        }
        let applied = self.view.progress().borrow().index;
        self.freshness.staleness(self.clock.monotonic(), applied)
    }

    fn members(&self) -> BTreeMap<u64, Node> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect()
    }
}
