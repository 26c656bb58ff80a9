//! What the process itself can be told, and the schema of everything that it composes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alertmanager::{AlertmanagerConfig, AlertmanagerLimits};
use bucket::BucketConfig;
use compactor::{CompactorConfig, CompactorLimits};
use distributor::DistributorConfig;
use ingester::IngesterConfig;
use membership::MembershipConfig;
use membership::shards::ShardsConfig;
use metastore::MetastoreConfig;
use model::TenantId;
use querier::{BlocksConfig, QuerierConfig};
use rpc::ServerConfig;
use rpc::grpc::{GrpcConfig, GrpcTlsConfig};
use rpc::overload::OverloadConfig;
use ruler::{RulerConfig, RulerLimits};
use settings::{Location, Problem, Problems, Schema, Shown, Values};
use telemetry::trace::TraceConfig;

use crate::roles::Roles;
use crate::traces::TracingConfig;

settings::choices! {
    /// A role of the process.
    pub enum Target {
        /// Every role.
        All = "all",
        /// The front door for writes.
        Distributor = "distributor",
        /// The log and the head.
        Ingester = "ingester",
        /// The front door for reads.
        Querier = "querier",
        /// Rules, evaluated on time.
        Ruler = "ruler",
        /// Alerts, silences, and who is told.
        Alertmanager = "alertmanager",
        /// Blocks of the bucket merged, and removed.
        Compactor = "compactor",
        /// A node of the control plane.
        Metastore = "metastore",
    }
}

settings::choices! {
    /// How log lines look.
    pub enum LogStyle {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

settings::section! {
    /// The process.
    pub struct ProcessConfig ("") {
        /// The folder that data is kept in. It is made where it is missing, and locked while the process runs.
        data: PathBuf = "./data";
        /// The address that HTTP is served on: writes, queries, metrics and the pages.
        http: SocketAddr = "127.0.0.1:9009";
        /// The roles that this process runs: one or several of distributor, ingester, querier, ruler, alertmanager, compactor and
        /// metastore; all is every one but metastore. With metastore.addresses all are part of a cluster, in which those of one role
        /// share its work; without it the first three are needed together, and do without a metastore. A compactor without a
        /// bucket has nothing to do.
        target: Vec<Target> = "all";
        /// Files of recording and alerting rules, as Prometheus has them; names may have stars. They are read again when they
        /// change, on SIGHUP and on POST /-/reload.
        rules: Vec<PathBuf> = "";
        /// The Alertmanagers that are told of alerts: their URLs, such as http://alertmanager:9093. Before a URL, dns+ is for every
        /// address of its host, dnssrv+ for every address of the hosts of its service, as in
        /// dnssrv+http://_http._tcp.alertmanager, and dnssrvnoa+ for these hosts; see ruler.alertmanager_refresh_interval. Without
        /// one it is the Alertmanager of this process, if it has one, or those of the cluster.
        alertmanager_url: Vec<String> = "";
        /// The file with the Alertmanager's configuration, as Prometheus Alertmanager has it. SIGHUP and POST /-/reload read
        /// it again. Without one nobody is told of alerts.
        alertmanager_config: Option<PathBuf> = "";
        /// The name of this process, unique in its cluster and the same after a restart. Without one it is the name of
        /// the host.
        instance_id: Option<String> = "";
        /// The zone that this process stands in. Without one it is a zone of its own.
        zone: Option<String> = "";
        /// How many zones of a cluster hold each series. The same in all its processes; with fewer zones than more than
        /// half of it nothing can be written.
        replication_factor: u8 = "3", range "1"..="7";
        /// How long an ingester that is new in its ring takes no writes yet, where others had what it is to have, so that
        /// every querier knows it before there is something that only it can tell. Longer than metastore.silence_timeout,
        /// which is how late a querier that reaches the metastore can be.
        join_wait: Duration = "20s", range "0s"..="10m";
        /// How long samples are kept.
        retention: Duration = "15d", range "1m"..="100y";
        /// Whether a process that is alone and has no bucket makes blocks of samples that are hours old, in the folder blocks of the
        /// data directory, and keeps them for as long as retention says. Otherwise samples stay in memory and in files of chunks for
        /// as long. With a retention of less than a day there are none.
        local_blocks: bool = "false";
        /// Whether every request has to name its tenant in the header X-Scope-OrgID. Otherwise all data belongs to
        /// the tenant anonymous.
        multitenancy_enabled: bool = "false";
        /// How log lines look.
        log_format: LogStyle = "text";
        /// What is logged: error, warn, info, debug or trace, or by part such as info,ingester=debug. The metastore says
        /// itself who leads and who does not answer; openraft says so ten times a second.
        log_level: String = "info,openraft=off";
        /// How long a stop may take before the process ends without having finished it. No acknowledged sample is lost
        /// then, but the next start takes longer.
        shutdown_timeout: Duration = "1m", range "1s"..="1h";
    }
    check process_is_consistent;
}

settings::section! {
    /// How users reach the process.
    pub struct WebConfig ("web") {
        /// The URL under which users reach this process, where it is not the address that it listens on. Links on the
        /// page and the hints at the start use it.
        external_url: Option<String> = "";
        /// What all paths of this process begin with, for one that a proxy puts under a path of its own: /metrics-backend.
        route_prefix: String = "/";
    }
    check web_is_consistent;
}

settings::section! {
    /// The file of per-tenant limits, read again while the process runs.
    pub struct RuntimeConfig ("runtime_config") {
        /// The file. It has one key, `overrides`, with limits by tenant. Without one every tenant has the limits
        /// under `limits`.
        file: Option<PathBuf> = "";
        /// How often the file is looked at. SIGHUP looks at once.
        period: Duration = "10s", range "1s"..="1h";
    }
}

settings::section! {
    /// The process' own metrics, kept like those of anybody else, so that there is something to see at once.
    pub struct SelfMonitoringConfig ("self_monitoring") {
        /// Whether the process ingests its own metrics.
        enabled: bool = "true";
        /// How often.
        interval: Duration = "15s", range "1s"..="5m";
        /// The tenant that they belong to.
        tenant: TenantId = "anonymous";
    }
}

fn process_is_consistent(config: &ProcessConfig) -> Result<(), String> {
    if config.target.is_empty() {
        return Err("target names no role; leave it out for all of them".to_owned());
    }
    if let Some(id) = config.instance_id.as_deref().filter(|id| id.contains('/')) {
        return Err(format!("instance_id: {id:?} refused; expected a name without slashes"));
    }
    telemetry::logging::check_filter(&config.log_level).map_err(|error| format!("log_level: {error}"))
}

fn web_is_consistent(config: &WebConfig) -> Result<(), String> {
    let prefix = &config.route_prefix;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./~".contains(c);
    if !prefix.starts_with('/') || !prefix.chars().all(plain) || prefix.contains("//") {
        return Err(format!(
            "web.route_prefix: {prefix:?} refused; expected a path such as /metrics-backend"
        ));
    }
    match config.external_url.as_deref() {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => Err(format!(
            "web.external_url: {url:?} refused; expected a URL that begins with http:// or https://"
        )),
        _ => Ok(()),
    }
}

/// Everything that the process and its roles can be told.
pub(crate) fn schema() -> Schema {
    Schema::new()
        .with::<ProcessConfig>()
        .with::<WebConfig>()
        .with::<ServerConfig>()
        .with::<GrpcConfig>()
        .with::<GrpcTlsConfig>()
        .with::<OverloadConfig>()
        .with::<MetastoreConfig>()
        .with::<MembershipConfig>()
        .with::<ShardsConfig>()
        .with::<RuntimeConfig>()
        .with::<TracingConfig>()
        .with::<SelfMonitoringConfig>()
        .with::<BucketConfig>()
        .with::<DistributorConfig>()
        .with::<IngesterConfig>()
        .with::<QuerierConfig>()
        .with::<BlocksConfig>()
        .with::<CompactorConfig>()
        .with::<RulerConfig>()
        .with::<AlertmanagerConfig>()
        .with::<distributor::WriteLimits>()
        .with::<ingester::Limits>()
        .with::<querier::QuerierLimits>()
        .with::<CompactorLimits>()
        .with::<RulerLimits>()
        .with::<AlertmanagerLimits>()
}

/// The configuration of a process, by who needs it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) process: ProcessConfig,
    pub(crate) web: WebConfig,
    pub(crate) server: ServerConfig,
    pub(crate) grpc: GrpcConfig,
    pub(crate) grpc_tls: GrpcTlsConfig,
    pub(crate) overload: OverloadConfig,
    pub(crate) metastore: MetastoreConfig,
    pub(crate) membership: MembershipConfig,
    pub(crate) shards: ShardsConfig,
    pub(crate) runtime: RuntimeConfig,
    pub(crate) tracing: TracingConfig,
    pub(crate) self_monitoring: SelfMonitoringConfig,
    pub(crate) bucket: BucketConfig,
    pub(crate) distributor: DistributorConfig,
    pub(crate) ingester: IngesterConfig,
    pub(crate) querier: QuerierConfig,
    pub(crate) blocks: BlocksConfig,
    pub(crate) compactor: CompactorConfig,
    pub(crate) ruler: RulerConfig,
    pub(crate) alertmanager: AlertmanagerConfig,
    pub(crate) distributor_limits: distributor::WriteLimits,
    pub(crate) ingester_limits: ingester::Limits,
    pub(crate) querier_limits: querier::QuerierLimits,
    pub(crate) compactor_limits: CompactorLimits,
    pub(crate) ruler_limits: RulerLimits,
    pub(crate) alertmanager_limits: AlertmanagerLimits,
}

impl Config {
    /// The configuration that `values` give.
    pub(crate) fn from_values(values: &Values) -> Result<Self, Problems> {
        let config = Self {
            process: values.get()?,
            web: values.get()?,
            server: values.get()?,
            grpc: values.get()?,
            grpc_tls: values.get()?,
            overload: values.get()?,
            metastore: values.get()?,
            membership: values.get()?,
            shards: values.get()?,
            runtime: values.get()?,
            tracing: values.get()?,
            self_monitoring: values.get()?,
            bucket: values.get()?,
            distributor: values.get()?,
            ingester: values.get()?,
            querier: values.get()?,
            blocks: values.get()?,
            compactor: values.get()?,
            ruler: values.get()?,
            alertmanager: values.get()?,
            distributor_limits: values.get()?,
            ingester_limits: values.get()?,
            querier_limits: values.get()?,
            compactor_limits: values.get()?,
            ruler_limits: values.get()?,
            alertmanager_limits: values.get()?,
        };
        let known = Roles::of(&config).check(&config);
        known.map_err(|message| Problem::new(Location::Default, message))?;
        Ok(config)
    }

    /// Where spans go, if they go anywhere.
    pub(crate) fn traces(&self) -> Option<TraceConfig> {
        let process = &self.process;
        let roles = match process.target.contains(&Target::All) {
            true => Vec::new(),
            false => Roles::of(self).names(),
        };
        let instance = process.instance_id.clone().unwrap_or_else(|| process.http.to_string());
        self.tracing.export(&roles, instance)
    }

    /// The configuration as YAML, secrets hidden.
    pub(crate) fn to_yaml(&self) -> String {
        self.shown().to_yaml()
    }

    /// Every flag, without dashes, and its value, secrets hidden.
    pub(crate) fn flags(&self) -> BTreeMap<String, String> {
        self.shown().flags().map(|(flag, value)| (flag, value.to_owned())).collect()
    }

    fn shown(&self) -> Shown {
        let mut shown = Shown::default();
        shown.add(&self.process);
        shown.add(&self.web);
        shown.add(&self.server);
        shown.add(&self.grpc);
        shown.add(&self.grpc_tls);
        shown.add(&self.overload);
        shown.add(&self.metastore);
        shown.add(&self.membership);
        shown.add(&self.shards);
        shown.add(&self.runtime);
        shown.add(&self.tracing);
        shown.add(&self.self_monitoring);
        shown.add(&self.bucket);
        shown.add(&self.distributor);
        shown.add(&self.ingester);
        shown.add(&self.querier);
        shown.add(&self.blocks);
        shown.add(&self.compactor);
        shown.add(&self.ruler);
        shown.add(&self.alertmanager);
        shown.add(&self.distributor_limits);
        shown.add(&self.ingester_limits);
        shown.add(&self.querier_limits);
        shown.add(&self.compactor_limits);
        shown.add(&self.ruler_limits);
        shown.add(&self.alertmanager_limits);
        shown
    }
}
