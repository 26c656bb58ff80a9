//! One process of all roles: started in order, served, and stopped in the opposite order.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, FileSystem, RealFs, Scope, SystemClock, TaskError, TaskHandle};
use ingester::Ingester;
use metastore::store::EngineError;
use proto::Write;
use ring::RingError;
use rpc::{Drain, HttpMetrics, HttpServer};
use settings::LimitsLoader;
use telemetry::{LogConfig, LogFormat, Registry};
use thiserror::Error;
use tokio::sync::Notify;

use crate::cli::Run;
use crate::compose::{Limits, Parts};
use crate::config::{Config, LogStyle};
use crate::control::Node;
use crate::data_dir::{DataDir, DataDirError};
use crate::late::LateIngester;
use crate::limits_file::LimitsFile;
use crate::pages::{self, Pages};
use crate::readiness::{Phase, Readiness};
use crate::self_monitoring::SelfMonitoring;
use crate::signals::Signals;
use crate::{output, process_metrics};

/// How long tasks may take to see that they were cancelled, once everything that matters has been stopped.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the process could not start, or did not stop in order.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    /// The log cannot be set up.
    #[error("cannot set up the log")]
    Log(#[from] telemetry::LogError),
    /// The system gives no threads or signals.
    #[error("cannot set up the process")]
    System(#[source] io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The limits file is wrong.
    #[error("{0}")]
    Limits(String),
    /// The address cannot be had.
    #[error("cannot listen on {addr}; choose another address with --http")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The address for gRPC cannot be had.
    #[error("cannot listen on {addr}; choose another address with --grpc")]
    ListenGrpc {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The secret cannot be sent.
    #[error(transparent)]
    ClusterSecret(#[from] rpc::grpc::InvalidSecret),
    /// The metastore's data cannot be opened.
    #[error("the metastore cannot open its data")]
    Engine(#[from] EngineError),
    /// Opening was cut short.
    #[error("the metastore cannot open its data")]
    Open(#[source] TaskError),
    /// The metastore cannot start.
    #[error("the metastore cannot start")]
    Metastore(#[from] metastore::StartError),
    /// The ingester cannot start.
    #[error("the ingester cannot start")]
    Ingester(#[from] ingester::StartError),
    /// The ring cannot be made.
    #[error("the ring cannot be made")]
    Ring(#[from] RingError),
    /// The listener went away, which it does not do while the process runs.
    #[error("the HTTP listener ended by itself")]
    ListenerEnded,
    /// Stopping took too long.
    #[error(
        "stopping took longer than {timeout:?}; nothing acknowledged is lost, but the next start takes longer"
    )]
    Shutdown { timeout: Duration },
}

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
    telemetry::logging::init(&LogConfig { format, filter: run.config.process.log_level.clone() })?;
    for warning in &run.warnings {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ProcessError::System)?;
    let done = runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metastore = run.config.process.is_metastore();
        let process = Process::start(run.config, clock).await?;
        match metastore {
            true => process.serve_metastore(run.grpc).await,
            false => process.serve().await,
        }
    });
    // What still blocks, such as a recovery that was interrupted, must not hold the process up.
    runtime.shutdown_background();
    done
}

/// A process whose listener is bound and whose data directory is locked.
struct Process {
    parts: Parts,
    data: DataDir,
    server: HttpServer,
    stop: Arc<Notify>,
}

impl Process {
    async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ProcessError> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let (scope, registry) = (Scope::new("barograph"), Registry::new());
        let (stop, reload) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let signals = Signals::install().map_err(ProcessError::System)?;
        signals.watch(&scope, Arc::clone(&stop), Arc::clone(&reload));
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
        Ok(Self { parts: Parts { config, clock, fs, registry, scope, limits }, data, server, stop })
    }

    /// Serves until it is asked to stop. The listener serves while data is recovered, so that readiness can be asked for.
    async fn serve(self) -> Result<(), ProcessError> {
        let base_url = self.base_url();
        output::out(&self.banner(&base_url));
        let Self { parts, data, server, stop } = self;
        let (readiness, late) = (Readiness::new(), LateIngester::new());
        let distributor = parts.distributor(late.clone())?;
        let querier = parts.querier(late.clone(), &data);
        let pages = Pages {
            readiness: readiness.clone(),
            registry: parts.registry.clone(),
            config_yaml: parts.config.to_yaml(),
            base_url,
        };
        let router = parts.router(&distributor, &querier, pages);
        let instance = server.local_addr().to_string();
        let drain = Arc::new(Notify::new());
        let drain_begun = Arc::clone(&drain);
        let mut http = parts.scope.spawn("http", async move {
            server.serve(router, async move { drain_begun.notified().await }).await
        });

        let began = parts.clock.monotonic();
        let ingester = tokio::select! {
            biased;
            () = stop.notified() => None,
            started = Ingester::start(parts.config.ingester.clone(), parts.ingester_deps(&data)) => Some(started?),
        };
        let background = parts.scope.child("background");
        if let Some(ingester) = &ingester {
            late.set(Arc::new(ingester.clone()));
            readiness.set(Phase::Ready);
            announce(ingester, parts.clock.monotonic().saturating_sub(began));
            monitor_self(&parts, distributor, instance, &background);
            tokio::select! {
                biased;
                () = stop.notified() => {}
                _ = &mut http => return Err(ProcessError::ListenerEnded),
            }
        }
        readiness.set(Phase::Stopping);
        drain.notify_one();
        stop_in_order(&parts, http, &background, ingester).await
    }

    /// Serves as a node of the metastore until it is asked to stop.
    async fn serve_metastore(self, grpc: SocketAddr) -> Result<(), ProcessError> {
        let base_url = self.base_url();
        let config = &self.parts.config;
        output::out(&format!(
            "Barograph {}, with pages on http://{}\n\
             \x20 Metastore    node {}, reached at {grpc}\n\
             \x20 Data         in {}\n",
            env!("CARGO_PKG_VERSION"),
            self.server.local_addr(),
            config.metastore.name,
            config.process.data.display(),
        ));
        let Self { parts, data, server, stop } = self;
        let readiness = Readiness::new();
        let router = pages::router(Pages {
            readiness: readiness.clone(),
            registry: parts.registry.clone(),
            config_yaml: parts.config.to_yaml(),
            base_url,
        });
        let drain = Arc::new(Notify::new());
        let drain_begun = Arc::clone(&drain);
        let mut http = parts.scope.spawn("http", async move {
            server.serve(router, async move { drain_begun.notified().await }).await
        });
        let node = Node::start(&parts, &data.role("metastore"), grpc).await?;
        readiness.set(Phase::Ready);
        tokio::select! {
            biased;
            () = stop.notified() => {}
            _ = &mut http => return Err(ProcessError::ListenerEnded),
        }
        readiness.set(Phase::Stopping);
        drain.notify_one();
        let stopping = async {
            node.stop().await;
            // How it ended has been logged; requests that were cut are no reason to fail.
            let _ = http.await;
        };
        within_the_bound(&parts, stopping).await
    }

    /// Where users reach the process, without a slash at the end.
    fn base_url(&self) -> String {
        match &self.parts.config.web.external_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", reachable(self.server.local_addr())),
        }
    }

    fn banner(&self, base_url: &str) -> String {
        let process = &self.parts.config.process;
        format!(
            "Barograph {}, listening on http://{}\n\
             \x20 Page         {base_url}/\n\
             \x20 Prometheus   remote_write: [{{url: {base_url}/api/v1/push}}]\n\
             \x20 Grafana      data source of type Prometheus, URL {base_url}/prometheus\n\
             \x20 Data         in {}, kept for {}\n",
            env!("CARGO_PKG_VERSION"),
            self.server.local_addr(),
            process.data.display(),
            settings::duration::print(process.retention),
        )
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

/// Starts to write the process' own metrics, where that is wanted.
fn monitor_self(parts: &Parts, write: Arc<dyn Write>, instance: String, background: &Scope) {
    let config = parts.config.self_monitoring.clone();
    if config.enabled {
        let (registry, clock) = (parts.registry.clone(), Arc::clone(&parts.clock));
        SelfMonitoring { config, registry, write, clock, instance }.start(background);
    }
}

/// Lets requests end, then what writes in the background, then the ingester, which is left without work; all of it
/// within the bound.
async fn stop_in_order(
    parts: &Parts,
    http: TaskHandle<Drain>,
    background: &Scope,
    ingester: Option<Ingester>,
) -> Result<(), ProcessError> {
    let stopping = async {
        // How it ended has been logged; requests that were cut are no reason to fail.
        let _ = http.await;
        background.cancel();
        background.join(&*parts.clock, JOIN_TIMEOUT).await;
        if let Some(ingester) = &ingester {
            ingester.stop().await;
        }
    };
    within_the_bound(parts, stopping).await
}

/// Waits for everything to be stopped, as long as that may take, and ends what is left.
async fn within_the_bound(parts: &Parts, stopping: impl Future<Output = ()>) -> Result<(), ProcessError> {
    let timeout = parts.config.process.shutdown_timeout;
    tokio::select! {
        biased;
        () = stopping => {}
        () = parts.clock.sleep(timeout) => return Err(ProcessError::Shutdown { timeout }),
    }
    parts.scope.abort();
    tracing::info!("stopped");
    Ok(())
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
