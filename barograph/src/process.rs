//! One process of all roles: started in order, served, and stopped in the opposite order.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use distributor::Distributor;
use env::{Clock, FileSystem, RealFs, Scope, SystemClock};
use ingester::Ingester;
use proto::IngesterWrite;
use querier::{FixedIngesters, Querier};
use ring::{Instance, InstanceId, Quorum, Ring, RingError};
use rpc::{HttpMetrics, HttpServer, TenantLayer, TenantResolver};
use settings::{LimitsLoader, Overrides};
use telemetry::{LogConfig, LogFormat, Registry};
use thiserror::Error;
use tokio::sync::{Notify, watch};

use crate::cli::Run;
use crate::config::{Config, LogStyle};
use crate::data_dir::{DataDir, DataDirError};
use crate::late::LateIngester;
use crate::limits_file::LimitsFile;
use crate::pages::{self, Pages};
use crate::readiness::{Phase, Readiness};
use crate::self_monitoring::SelfMonitoring;
use crate::signals::Signals;
use crate::{output, process_metrics};

/// The name of the one instance in the ring of this process.
const INSTANCE: &str = "barograph-0";

/// How many zones should hold each series, where there are as many.
const REPLICATION_FACTOR: u8 = 3;

/// How long tasks may take to see that they were cancelled, once everything that matters has been stopped.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the process could not start, or did not stop in order.
#[derive(Debug, Error)]
enum ProcessError {
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
    /// The ingester cannot start.
    #[error("the ingester cannot start")]
    Ingester(#[from] ingester::StartError),
    /// The ring cannot be made.
    #[error("the ring cannot be made")]
    Ring(#[from] RingError),
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
        let process = Process::start(run.config, clock).await?;
        process.serve().await
    });
    // What still blocks, such as a recovery that was interrupted, must not hold the process up.
    runtime.shutdown_background();
    done
}

/// What the limits file is for.
struct Limits {
    write: Overrides<distributor::WriteLimits>,
    ingester: Overrides<ingester::Limits>,
    read: Overrides<querier::QuerierLimits>,
}

impl Limits {
    fn register(config: &Config, loader: &mut LimitsLoader) -> Self {
        Self {
            write: loader.register(config.distributor_limits.clone()),
            ingester: loader.register(config.ingester_limits.clone()),
            read: loader.register(config.querier_limits.clone()),
        }
    }
}

/// A process whose listener is bound and whose data directory is locked.
struct Process {
    config: Config,
    clock: Arc<dyn Clock>,
    fs: Arc<dyn FileSystem>,
    registry: Registry,
    scope: Scope,
    data: DataDir,
    limits: Limits,
    server: HttpServer,
    stop: Arc<Notify>,
}

impl Process {
    async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ProcessError> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let (scope, registry) = (Scope::new("barograph"), Registry::new());
        let (stop, reload) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        Signals::install().map_err(ProcessError::System)?.watch(
            &scope,
            Arc::clone(&stop),
            Arc::clone(&reload),
        );
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
        Ok(Self { config, clock, fs, registry, scope, data, limits, server, stop })
    }

    /// Serves until it is asked to stop. The listener serves while data is recovered, so that readiness can be asked for.
    async fn serve(self) -> Result<(), ProcessError> {
        let base_url = self.base_url();
        let began = self.clock.monotonic();
        output::out(&self.banner(&base_url));
        let (readiness, late) = (Readiness::new(), LateIngester::new());
        let distributor = self.distributor(late.clone())?;
        let querier = self.querier(late.clone());
        let instance = self.server.local_addr().to_string();
        let router = self.router(&distributor, &querier, readiness.clone(), base_url);
        let ingester_deps = self.ingester_deps();
        let Self { config, clock, registry, scope, data, server, stop, .. } = self;

        let drain = Arc::new(Notify::new());
        let drain_begun = Arc::clone(&drain);
        let mut serving = scope.spawn("http", async move {
            server.serve(router, async move { drain_begun.notified().await }).await
        });
        let background = scope.child("background");
        let ingester = tokio::select! {
            biased;
            () = stop.notified() => None,
            started = Ingester::start(config.ingester, ingester_deps) => Some(started?),
        };
        if let Some(ingester) = &ingester {
            late.set(Arc::new(ingester.clone()));
            readiness.set(Phase::Ready);
            announce(ingester, clock.monotonic().saturating_sub(began));
            if config.self_monitoring.enabled {
                let own = SelfMonitoring {
                    config: config.self_monitoring,
                    registry,
                    write: distributor,
                    clock: Arc::clone(&clock),
                    instance,
                };
                own.start(&background);
            }
            tokio::select! {
                biased;
                () = stop.notified() => {}
                _ = &mut serving => tracing::error!("the HTTP listener ended by itself, stopping"),
            }
        }
        readiness.set(Phase::Stopping);
        let stopping = async {
            drain.notify_one();
            if !serving.is_finished() {
                // How it ended has been logged; a part that was cut is no reason to fail.
                let _ = serving.await;
            }
            background.cancel();
            background.join(&*clock, JOIN_TIMEOUT).await;
            if let Some(ingester) = &ingester {
                ingester.stop().await;
            }
        };
        let timeout = config.process.shutdown_timeout;
        tokio::select! {
            biased;
            () = stopping => {}
            () = clock.sleep(timeout) => return Err(ProcessError::Shutdown { timeout }),
        }
        scope.abort();
        drop(data);
        tracing::info!("stopped");
        Ok(())
    }

    /// The distributor, over a ring of the one ingester that there is.
    fn distributor(&self, late: LateIngester<Ingester>) -> Result<Arc<Distributor>, ProcessError> {
        let id = InstanceId::new(INSTANCE);
        let zone = self.config.process.zone.as_deref().map(Arc::from);
        let members = vec![Instance::active(id.clone(), zone)];
        let quorum = Quorum::at_bootstrap(REPLICATION_FACTOR, members.len());
        let (_, ring) = watch::channel(Arc::new(Ring::new(members, quorum)?));
        let ingester: Arc<dyn IngesterWrite> = Arc::new(late);
        let deps = distributor::Deps {
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("distributor"),
            registry: self.registry.clone(),
            ingesters: Arc::new(BTreeMap::from([(id, ingester)])),
            ring,
            limits: self.limits.write.clone(),
        };
        Ok(Distributor::build(self.config.distributor.clone(), deps))
    }

    fn querier(&self, late: LateIngester<Ingester>) -> Querier {
        let deps = querier::Deps {
            ingesters: Arc::new(FixedIngesters::new(vec![Arc::new(late)])),
            limits: self.limits.read.clone(),
            clock: Arc::clone(&self.clock),
            scope: self.scope.clone(),
            registry: self.registry.clone(),
        };
        Querier::build(self.config.querier.clone(), deps)
    }

    fn ingester_deps(&self) -> ingester::Deps {
        ingester::Deps {
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("ingester"),
            registry: self.registry.clone(),
            dir: self.data.role("ingester"),
            retention: self.config.process.retention,
            limits: self.limits.ingester.clone(),
        }
    }

    fn router(
        &self,
        distributor: &Arc<Distributor>,
        querier: &Querier,
        readiness: Readiness,
        base_url: String,
    ) -> Router {
        let resolver = match self.config.process.multitenancy_enabled {
            true => TenantResolver::multi_tenant(),
            false => TenantResolver::single_tenant(),
        };
        let pages = Pages {
            readiness,
            registry: self.registry.clone(),
            config_yaml: self.config.to_yaml(),
            base_url,
        };
        distributor::http::router(Arc::clone(distributor))
            .merge(querier.router())
            .layer(TenantLayer::new(resolver))
            .merge(pages::router(pages))
    }

    /// Where users reach the process, without a slash at the end.
    fn base_url(&self) -> String {
        match &self.config.web.external_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", reachable(self.server.local_addr())),
        }
    }

    fn banner(&self, base_url: &str) -> String {
        let process = &self.config.process;
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
