//! What the process itself can be told, and the schema of everything that it composes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use distributor::DistributorConfig;
use ingester::IngesterConfig;
use metastore::MetastoreConfig;
use model::TenantId;
use querier::QuerierConfig;
use rpc::ServerConfig;
use rpc::grpc::GrpcConfig;
use settings::{Problems, Schema, Shown, Values};

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
        /// A node of the control plane, in a process of its own.
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
        /// The roles that this process runs: all of the data plane, or `metastore` alone. The roles of the data plane
        /// have to be in one process in this version, and do without a metastore.
        target: Vec<Target> = "all";
        /// The zone that this process stands in. Without one it is a zone of its own.
        zone: Option<String> = "";
        /// How long samples are kept.
        retention: Duration = "15d", range "1m"..="100y";
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

impl ProcessConfig {
    /// Whether the process is a node of the metastore and nothing else.
    pub(crate) fn is_metastore(&self) -> bool {
        self.target == [Target::Metastore]
    }
}

fn process_is_consistent(config: &ProcessConfig) -> Result<(), String> {
    let all = [Target::Distributor, Target::Ingester, Target::Querier];
    let complete =
        config.target.contains(&Target::All) || all.iter().all(|role| config.target.contains(role));
    let beside_others = config.target.contains(&Target::Metastore) && !config.is_metastore();
    if beside_others || !(complete || config.is_metastore()) {
        return Err(
            "target: this version runs all roles of the data plane in one process; leave target out, or \
                    set it to all, or to metastore alone"
                .to_owned(),
        );
    }
    telemetry::logging::check_filter(&config.log_level).map_err(|error| format!("log_level: {error}"))
}

fn web_is_consistent(config: &WebConfig) -> Result<(), String> {
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
        .with::<MetastoreConfig>()
        .with::<RuntimeConfig>()
        .with::<SelfMonitoringConfig>()
        .with::<DistributorConfig>()
        .with::<IngesterConfig>()
        .with::<QuerierConfig>()
        .with::<distributor::WriteLimits>()
        .with::<ingester::Limits>()
        .with::<querier::QuerierLimits>()
}

/// The configuration of a process, by who needs it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) process: ProcessConfig,
    pub(crate) web: WebConfig,
    pub(crate) server: ServerConfig,
    pub(crate) grpc: GrpcConfig,
    pub(crate) metastore: MetastoreConfig,
    pub(crate) runtime: RuntimeConfig,
    pub(crate) self_monitoring: SelfMonitoringConfig,
    pub(crate) distributor: DistributorConfig,
    pub(crate) ingester: IngesterConfig,
    pub(crate) querier: QuerierConfig,
    pub(crate) distributor_limits: distributor::WriteLimits,
    pub(crate) ingester_limits: ingester::Limits,
    pub(crate) querier_limits: querier::QuerierLimits,
}

impl Config {
    /// The configuration that `values` give.
    pub(crate) fn from_values(values: &Values) -> Result<Self, Problems> {
        Ok(Self {
            process: values.get()?,
            web: values.get()?,
            server: values.get()?,
            grpc: values.get()?,
            metastore: values.get()?,
            runtime: values.get()?,
            self_monitoring: values.get()?,
            distributor: values.get()?,
            ingester: values.get()?,
            querier: values.get()?,
            distributor_limits: values.get()?,
            ingester_limits: values.get()?,
            querier_limits: values.get()?,
        })
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
        shown.add(&self.metastore);
        shown.add(&self.runtime);
        shown.add(&self.self_monitoring);
        shown.add(&self.distributor);
        shown.add(&self.ingester);
        shown.add(&self.querier);
        shown.add(&self.distributor_limits);
        shown.add(&self.ingester_limits);
        shown.add(&self.querier_limits);
        shown
    }
}
