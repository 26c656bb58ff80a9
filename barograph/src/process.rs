//! One process: its roles are started in order, served, and stopped in the opposite order.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{Alertmanager, AlertmanagerService};
use bucket::{Backing, Bucket, BucketDeps};
use env::{Clock, FileSystem, OsSeededRng, RealFs, Scope, SystemClock, TaskHandle};
use ingester::Ingester;
use proto::{LateIngester, Write};
use ring::State;
use rpc::grpc::Dial;
use rpc::ingester::{IngesterService, TakeOverService};
use rpc::overload::{Governor, OverloadConfig};
use rpc::{Drain, HttpMetrics, HttpServer};
use ruler::{Ruler, RulerService, Target};
use settings::LimitsLoader;
use telemetry::{LogConfig, LogFormat, Registry};
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::cli::Run;
use crate::cluster::{self, Cluster};
use crate::compose::{Limits, Parts, ServingRoles};
use crate::config::{Config, LogStyle};
use crate::control::{self, Node};
use crate::data_dir::DataDir;
use crate::error::ProcessError;
use crate::grpc::{Grpc, Serving};
use crate::limits_file::LimitsFile;
use crate::local_blocks::warn_if_left;
use crate::pages::Pages;
use crate::peers::Peers;
use crate::readiness::{Phase, Readiness};
use crate::roles::Roles;
use crate::self_monitoring::SelfMonitoring;
use crate::signals::Signals;
use crate::{alert_pages, compaction, memory_limit, output, planner, process_metrics};

/// The name of the one instance in the ring of a process that is all there is.
const ONLY_INSTANCE: &str = "barograph-0";

/// How long tasks may take to see that they were cancelled, once everything that matters has been stopped.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What is waited for at the start.
const RECOVERY: &str = "it recovers its data";
const PLACE: &str = "it waits for the metastore to give it its place in the ring";
const VIEW: &str =
    "it knows nothing of the cluster yet, since no view was saved and the metastore does not answer";

/// Runs the process until it is asked to stop.
pub(crate) fn run(run: Run) -> ExitCode {
    match try_run(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&output::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn try_run(run: Run) -> Result<(), ProcessError> {
    let format = match run.config.process.log_format {
        LogStyle::Text => LogFormat::Text,
        LogStyle::Json => LogFormat::Json,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ProcessError::System)?;
    let log = LogConfig { format, filter: run.config.process.log_level.clone() };
    let traces = run.config.traces();
    let tracing = {
        let _entered = runtime.enter();
        telemetry::logging::init(&log, traces.as_ref())?
    };
    for warning in &run.warnings {
        tracing::warn!("{warning}");
    }
    let registry = Registry::new();
    if let Some(tracing) = &tracing {
        tracing.register(&registry);
    }
    let done = runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Process::start(run.config, clock, registry).await?.serve().await
    });
    if let (Some(tracing), Some(traces)) = (tracing, traces) {
        tracing.shutdown(traces.timeout);
    }
    // What still blocks, such as a recovery that was interrupted, must not hold the process up.
    runtime.shutdown_background();
    done
}

/// A process whose listeners are bound and whose data directory is locked.
struct Process {
    parts: Parts,
    data: DataDir,
    server: HttpServer,
    grpc: Grpc,
    stop: Arc<Notify>,
    reload_alertmanager: Arc<Notify>,
    reload_rules: Arc<Notify>,
}

/// What runs, and has to be stopped.
struct Running {
    readiness: Readiness,
    http: TaskHandle<Drain>,
    /// Ends HTTP.
    drain: Arc<Notify>,
    grpc: Option<Serving>,
    /// What writes by itself.
    background: Scope,
    cluster: Option<Cluster>,
    node: Option<Node>,
    late: LateIngester<Ingester>,
    ruler: Option<Ruler>,
    alertmanager: Option<Alertmanager>,
}

impl Process {
    async fn start(config: Config, clock: Arc<dyn Clock>, registry: Registry) -> Result<Self, ProcessError> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let scope = Scope::new("barograph");
        let (stop, reload) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (reload_alertmanager, reload_rules) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let signals = Signals::install().map_err(ProcessError::System)?;
        let reloads = vec![Arc::clone(&reload), Arc::clone(&reload_alertmanager), Arc::clone(&reload_rules)];
        signals.watch(&scope, Arc::clone(&stop), reloads);
        process_metrics::register(&registry, clock.now_ms());
        let data = DataDir::open(&*fs, &config.process.data)?;
        let mut loader = LimitsLoader::new();
        let limits = Limits::register(&config, &mut loader);
        let runtime = config.runtime.clone();
        let mut file = LimitsFile::new(runtime, loader, Arc::clone(&fs), Arc::clone(&clock), &registry);
        file.load().map_err(ProcessError::Limits)?;
        file.watch(&scope, reload);
        let addr = config.process.http;
        let metrics = HttpMetrics::register(&registry, Arc::clone(&clock));
        let server = HttpServer::bind(addr, config.server.clone(), metrics, &scope, Arc::clone(&clock)).await;
        let server = server.map_err(|source| ProcessError::Listen { addr, source })?;
        let roles = Roles::of(&config);
        let name = match roles.in_cluster(&config) {
            true => cluster::instance_name(&config, &*fs)?,
            false => ONLY_INSTANCE.to_owned(),
        };
        let governor = govern(&config.overload, &registry, &scope, &clock);
        let bucket = bucket(&config, &data, &fs, &scope, &clock, &registry)?;
        let parts = Parts { config, clock, fs, registry, scope, limits, roles, name, governor, bucket };
        let grpc = Grpc::bind(&parts).await?;
        Ok(Self { parts, data, server, grpc, stop, reload_alertmanager, reload_rules })
    }

    /// Serves until it is asked to stop. The listeners serve while data is recovered, so that readiness can be asked for.
    async fn serve(self) -> Result<(), ProcessError> {
        let base_url = self.base_url();
        output::out(&self.banner(&base_url));
        let Self { parts, data, server, grpc, stop, reload_alertmanager, reload_rules } = self;
        let late = LateIngester::new();
        let instance = server.local_addr().to_string();
        let (cluster, peers) = surroundings(&parts, &data, &grpc, &instance, &late).await?;
        let distributor = parts.distributor(&peers);
        let querier = parts.querier(&peers, &data);
        let alertmanagers = cluster.as_ref().and_then(|cluster| cluster.alertmanagers(&parts, &grpc));
        let alertmanager = parts.alertmanager(alertmanagers, &data, &base_url).await?;
        if let Some(alertmanager) = alertmanager.clone() {
            reload_on(reload_alertmanager, &parts.scope, move || {
                let alertmanager = alertmanager.clone();
                async move { drop(alertmanager.reload().await) }
            });
        }
        let told = told_of_alerts(&parts, alertmanager.as_ref(), cluster.as_ref(), &grpc);
        let rulers = cluster.as_ref().and_then(|cluster| cluster.rulers(&parts, &grpc));
        let ruler =
            parts.ruler(rulers, querier.as_ref(), distributor.as_ref(), told, &data, &base_url).await?;
        if let Some(ruler) = ruler.clone() {
            reload_on(reload_rules, &parts.scope, move || {
                let ruler = ruler.clone();
                async move { drop(ruler.reload().await) }
            });
        }
        if let (Some(alertmanager), Some(ruler)) = (&alertmanager, &ruler) {
            alert_pages::show_rules(alertmanager, ruler);
        }
        let owners = compaction::owners(&parts, cluster.as_ref());
        let compactor = parts.compactor(&data, owners);
        let readiness = Readiness::waiting_for(RECOVERY);
        let pages = Pages {
            readiness: readiness.clone(),
            registry: parts.registry.clone(),
            config_yaml: parts.config.to_yaml(),
            base_url,
            home: parts.roles.alertmanager_alone().then_some("ui/alerts"),
        };
        let serving = ServingRoles {
            distributor: distributor.as_ref(),
            querier: querier.as_ref(),
            ingester: &late,
            ruler: ruler.as_ref(),
            alertmanager: alertmanager.as_ref(),
            compactor: compactor.as_ref(),
        };
        let router = parts.router(serving, pages);
        let drain = Arc::new(Notify::new());
        let drain_begun = Arc::clone(&drain);
        let http = parts.scope.spawn("http", async move {
            server.serve(router, async move { drain_begun.notified().await }).await
        });
        let node = match parts.roles.metastore {
            true => Some(control::start(&parts, &data.role("metastore"), &grpc).await?),
            false => None,
        };
        let routes = routes(&parts, node.as_ref(), &late, (ruler.as_ref(), alertmanager.as_ref()));
        let dial = Arc::clone(&grpc.dial);
        let grpc = grpc.serve(&parts, routes);
        let background = parts.scope.child("background");
        if let Some(compactor) = &compactor {
            compactor.start();
        }
        let mut running =
            Running { readiness, http, drain, grpc, background, cluster, node, late, ruler, alertmanager };
        tokio::select! {
            biased;
            () = stop.notified() => {}
            ended = running.run(&parts, &data, distributor, instance) => ended?,
        }
        tokio::select! {
            biased;
            () = running.leave(&parts, dial) => {}
            () = stop.notified() => tracing::warn!("asked to stop once more: what was begun to leave the ring is left"),
        }
        running.stop(&parts).await
    }

    /// Where users reach the process, without a slash at the end.
    fn base_url(&self) -> String {
        match &self.parts.config.web.external_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let prefix = self.parts.config.web.route_prefix.trim_end_matches('/');
                format!("http://{}{prefix}", reachable(self.server.local_addr()))
            }
        }
    }

    fn banner(&self, base_url: &str) -> String {
        let process = &self.parts.config.process;
        let roles = self.parts.roles;
        let mut lines = vec![format!(
            "Barograph {}, {} on http://{}",
            env!("CARGO_PKG_VERSION"),
            if roles.data_plane() || roles.alertmanager { "listening" } else { "with pages" },
            self.server.local_addr(),
        )];
        lines.push(format!("  Page         {base_url}/"));
        if roles.distributor {
            lines.push(format!("  Prometheus   remote_write: [{{url: {base_url}/api/v1/push}}]"));
        }
        if roles.querier {
            lines.push(format!("  Grafana      data source of type Prometheus, URL {base_url}/prometheus"));
        }
        if roles.alertmanager {
            let path = if roles.alertmanager_alone() { "" } else { "/alertmanager" };
            lines.push(format!("  Alerts       Alertmanager, URL {base_url}{path}"));
        }
        if let Some(address) = &self.grpc.address {
            lines.push(format!("  Cluster      {}, reached at {address}", roles.names().join(", ")));
        }
        let kept = match roles.ingester {
            true => format!(", kept for {}", settings::duration::print(process.retention)),
            false => String::new(),
        };
        lines.push(format!("  Data         in {}{kept}\n", process.data.display()));
        lines.join("\n")
    }
}

/// The bucket that blocks are in, if there is one.
fn bucket(
    config: &Config,
    data: &DataDir,
    fs: &Arc<dyn FileSystem>,
    scope: &Scope,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Option<Bucket>, ProcessError> {
    warn_if_left(config, &**fs);
    let backing = Backing::open(&config.bucket, &data.role("bucket"), fs, &scope.child("bucket"))?;
    Ok(backing.map(|backing| {
        let rng = Arc::new(OsSeededRng::new());
        let deps = BucketDeps { clock: Arc::clone(clock), rng, registry: registry.clone() };
        Bucket::new(backing, &config.bucket, deps)
    }))
}

/// Begins to watch for overload.
fn govern(config: &OverloadConfig, registry: &Registry, scope: &Scope, clock: &Arc<dyn Clock>) -> Governor {
    let governor = Governor::register(registry);
    let limit = match config.memory_limit.bytes() {
        0 => memory_limit::of_this_process(),
        bytes => Some(bytes),
    };
    let memory = Arc::new(process_metrics::anonymous_bytes);
    governor.watch(config, limit, memory, scope, Arc::clone(clock));
    governor
}

/// The cluster, if this process is in one, and the ingesters that the front doors are to know.
async fn surroundings(
    parts: &Parts,
    data: &DataDir,
    grpc: &Grpc,
    http: &str,
    late: &LateIngester<Ingester>,
) -> Result<(Option<Cluster>, Peers), ProcessError> {
    if !parts.roles.in_cluster(&parts.config) {
        let zone = parts.config.process.zone.as_deref();
        return Ok((None, Peers::alone(&parts.name, zone, late.clone())?));
    }
    let cluster = Cluster::start(parts, data, grpc, http.to_owned()).await?;
    let peers = cluster.peers(parts, grpc, late);
    if let Some(ingesters) = peers.by_name.clone().filter(|_| parts.roles.distributor) {
        planner::start(parts, &cluster, ingesters);
    }
    Ok((Some(cluster), peers))
}

/// Who is told of alerts, unless somebody else is named: the Alertmanager of this process, or those of its cluster.
fn told_of_alerts(
    parts: &Parts,
    own: Option<&Alertmanager>,
    cluster: Option<&Cluster>,
    grpc: &Grpc,
) -> Option<Target> {
    if let Some(own) = own {
        return Some(Target { name: "built-in".to_owned(), way: Arc::new(own.clone()) });
    }
    let way = Arc::new(cluster?.remote_alertmanagers(parts, grpc));
    Some(Target { name: "cluster".to_owned(), way })
}

/// What this process serves to others.
fn routes(
    parts: &Parts,
    node: Option<&Node>,
    late: &LateIngester<Ingester>,
    (ruler, alertmanager): (Option<&Ruler>, Option<&Alertmanager>),
) -> Routes {
    let max = parts.config.grpc.max_message_bytes();
    let mut routes = node.map(Node::routes).unwrap_or_default();
    if let Some(ruler) = ruler {
        routes = routes.add_service(RulerService::serve(ruler.clone(), max));
    }
    if let Some(alertmanager) = alertmanager {
        routes = routes.add_service(AlertmanagerService::serve(alertmanager.clone(), max));
    }
    if parts.roles.ingester {
        let late = Arc::new(late.clone());
        routes = routes
            .add_service(IngesterService::serve(Arc::clone(&late), max))
            .add_service(TakeOverService::serve(late, max));
    }
    routes
}

impl Running {
    /// Gets ready, and runs on. Returns with an error only.
    async fn run(
        &mut self,
        parts: &Parts,
        data: &DataDir,
        distributor: Option<Arc<distributor::Distributor>>,
        instance: String,
    ) -> Result<(), ProcessError> {
        if parts.roles.ingester {
            let began = parts.clock.monotonic();
            let state = match self.cluster {
                Some(_) => State::Joining,
                None => State::Active,
            };
            let config = parts.config.ingester.clone();
            let ingester = Ingester::start_as(state, config, parts.ingester_deps(data)).await?;
            announce(&ingester, parts.clock.monotonic().saturating_sub(began));
            self.late.set(Arc::new(ingester));
        }
        if let Some(cluster) = &self.cluster {
            if let Some(ingester) = self.late.started() {
                self.readiness.set(Phase::Starting(PLACE));
                cluster.joined(parts, ingester).await?;
            }
            if parts.roles.distributor || parts.roles.querier || parts.roles.ruler {
                self.readiness.set(Phase::Starting(VIEW));
                cluster.known(parts).await;
            }
        }
        self.readiness.set(Phase::Ready);
        if let Some(ruler) = &self.ruler {
            ruler.begin().await?;
        }
        if let Some(distributor) = distributor {
            // In a cluster many processes may listen on the same address of their own hosts; names differ.
            let label = self.cluster.as_ref().map_or(instance, |_| parts.name.clone());
            monitor_self(parts, distributor, label, &self.background);
        }
        // It ends only when it is drained, or by a fault.
        let _ = (&mut self.http).await;
        Err(ProcessError::ListenerEnded("HTTP"))
    }

    /// Leaves the ring for good, where that is wanted of the ingester. It serves meanwhile.
    async fn leave(&self, parts: &Parts, dial: Arc<dyn Dial>) {
        if let (Some(cluster), Some(ingester)) = (&self.cluster, self.late.started())
            && ingester.wishes().borrow().shutdown_prepared
        {
            cluster.leave(parts, dial, ingester).await;
        }
    }

    /// Lets the others know, then requests end, then what writes in the background, then the ingester, which is left
    /// without work, and the node of the metastore; all of it within the bound.
    async fn stop(self, parts: &Parts) -> Result<(), ProcessError> {
        self.readiness.set(Phase::Stopping);
        let timeout = parts.config.process.shutdown_timeout;
        let stopping = async {
            if let Some(ruler) = &self.ruler {
                // Before the lease ends, upon which others go on.
                ruler.cease().await;
            }
            if let Some(alertmanager) = &self.alertmanager {
                alertmanager.let_go().await;
            }
            let paused = async {
                if let Some(cluster) = &self.cluster {
                    cluster.pause().await;
                }
            };
            let drained = async {
                self.drain.notify_one();
                // How it ended has been logged; requests that were cut are no reason to fail.
                let _ = self.http.await;
            };
            tokio::join!(paused, drained);
            if let Some(grpc) = self.grpc {
                grpc.stop().await;
            }
            self.background.cancel();
            self.background.join(&*parts.clock, JOIN_TIMEOUT).await;
            if let Some(ruler) = self.ruler {
                ruler.stop().await;
            }
            if let Some(alertmanager) = self.alertmanager {
                alertmanager.stop().await;
            }
            if let Some(ingester) = self.late.started() {
                ingester.stop().await;
            }
            if let Some(node) = self.node {
                node.stop(&*parts.clock).await;
            }
        };
        tokio::select! {
            biased;
            () = stopping => {}
            () = parts.clock.sleep(timeout) => return Err(ProcessError::Shutdown { timeout }),
        }
        parts.scope.abort();
        tracing::info!("stopped");
        Ok(())
    }
}

/// An address that a client on this machine can use: every interface includes the local one.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        addr => addr,
    }
}

/// Has something read again whenever that is asked for. How it went has been logged.
fn reload_on<R>(asked: Arc<Notify>, scope: &Scope, reload: impl Fn() -> R + Send + 'static)
where
    R: Future<Output = ()> + Send + 'static,
{
    let cancelled = scope.cancelled();
    // The scope ends the task.
    drop(scope.spawn("reload", async move {
        let mut cancelled = std::pin::pin!(cancelled);
        loop {
            tokio::select! {
                biased;
                () = &mut cancelled => break,
                () = asked.notified() => reload().await,
            }
        }
    }));
}

/// Starts to write the process' own metrics, where that is wanted.
fn monitor_self(parts: &Parts, write: Arc<dyn Write>, instance: String, background: &Scope) {
    let config = parts.config.self_monitoring.clone();
    if config.enabled {
        let (registry, clock) = (parts.registry.clone(), Arc::clone(&parts.clock));
        SelfMonitoring { config, registry, write, clock, instance }.start(background);
    }
}

fn announce(ingester: &Ingester, took: Duration) {
    let restored = ingester.restored();
    tracing::info!(
        series = restored.series,
        log_records = restored.records,
        seconds = took.as_secs_f64(),
        "ready"
    );
    if restored.lost_ranges > 0 {
        tracing::error!(
            ranges = restored.lost_ranges,
            "acknowledged samples may be missing: the disk lost what it had kept"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_an_address_that_a_client_can_use() {
        let check = |bound: &str, hinted: &str| {
            assert_eq!(reachable(bound.parse().expect("an address")).to_string(), hinted);
        };
        check("0.0.0.0:9009", "127.0.0.1:9009");
        check("[::]:9009", "[::1]:9009");
        check("10.1.2.3:9009", "10.1.2.3:9009");
    }
}
