//! The roles of this process: what each is handed, and the routes that they serve together.

use std::sync::Arc;

use alertmanager::Alertmanager;
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use bucket::Bucket;
use compactor::{Compactor, Owners};
use distributor::Distributor;
use env::{Clock, FileSystem, OsSeededRng, Scope};
use http::{StatusCode, Uri};
use ingester::Ingester;
use proto::LateIngester;
use querier::{Blocks, BlocksDeps, Querier};
use rpc::api::CorsOrigins;
use rpc::overload::{Class, Governor, ShedLayer};
use rpc::{TenantLayer, TenantResolver};
use ruler::{Alertmanagers, NameServers, Ruler, Target};
use settings::{LimitsLoader, Overrides};
use telemetry::Registry;

use crate::alert_pages;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::pages::{self, Pages};
use crate::peers::Peers;
use crate::roles::Roles;
use crate::status::{self, Status};

/// Where the Alertmanager is in a process with other roles.
const ALERTMANAGER_PATH: &str = "/alertmanager";

/// The limits of tenants, as each role knows them.
pub(crate) struct Limits {
    write: Overrides<distributor::WriteLimits>,
    ingester: Overrides<ingester::Limits>,
    read: Overrides<querier::QuerierLimits>,
    compaction: Overrides<compactor::CompactorLimits>,
    rules: Overrides<ruler::RulerLimits>,
    alerts: Overrides<alertmanager::AlertmanagerLimits>,
}

impl Limits {
    /// Limits with the defaults of `config`, which `loader` changes from now on.
    pub(crate) fn register(config: &Config, loader: &mut LimitsLoader) -> Self {
        Self {
            write: loader.register(config.distributor_limits.clone()),
            ingester: loader.register(config.ingester_limits.clone()),
            read: loader.register(config.querier_limits.clone()),
            compaction: loader.register(config.compactor_limits.clone()),
            rules: loader.register(config.ruler_limits.clone()),
            alerts: loader.register(config.alertmanager_limits.clone()),
        }
    }
}

/// What roles are made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) registry: Registry,
    pub(crate) scope: Scope,
    pub(crate) limits: Limits,
    pub(crate) roles: Roles,
    /// What this process is called among others.
    pub(crate) name: String,
    /// Refuses requests when there is too much to do.
    pub(crate) governor: Governor,
    /// Where blocks are, if there is a bucket.
    pub(crate) bucket: Option<Bucket>,
}

impl Parts {
    /// The distributor, if this process has one, be it for its rules alone.
    pub(crate) fn distributor(&self, peers: &Peers) -> Option<Arc<Distributor>> {
        if !self.roles.distributor && !self.roles.ruler {
            return None;
        }
        let deps = distributor::Deps {
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("distributor"),
            registry: self.registry.clone(),
            ingesters: Arc::clone(&peers.writers),
            view: peers.view.clone(),
            limits: self.limits.write.clone(),
        };
        let config = self.config.distributor.clone();
        Some(match &peers.elections {
            Some(elections) => Distributor::with_ha_tracker(config, deps, Arc::new(elections.clone())),
            None => Distributor::build(config, deps),
        })
    }

    /// The querier, if this process has one, be it for its rules alone; its files are in `data`.
    pub(crate) fn querier(&self, peers: &Peers, data: &DataDir) -> Option<Querier> {
        if !self.roles.querier && !self.roles.ruler {
            return None;
        }
        let blocks = self.bucket.clone().map(|bucket| {
            let deps = BlocksDeps {
                bucket,
                clock: Arc::clone(&self.clock),
                scope: self.scope.clone(),
                registry: self.registry.clone(),
                fs: Arc::clone(&self.fs),
                dir: data.role("querier").join("blocks"),
            };
            Blocks::new(self.config.blocks.clone(), deps)
        });
        let deps = querier::Deps {
            blocks,
            ingesters: Arc::clone(&peers.readers),
            limits: self.limits.read.clone(),
            clock: Arc::clone(&self.clock),
            scope: self.scope.clone(),
            registry: self.registry.clone(),
            fs: Arc::clone(&self.fs),
            dir: data.role("querier"),
        };
        Some(Querier::build(self.config.querier.clone(), deps))
    }

    /// The Alertmanager, if this process has one, reached at `url`; its data is in the `cluster`, or else in `data`.
    pub(crate) async fn alertmanager(
        &self,
        cluster: Option<alertmanager::ClusterDeps>,
        data: &DataDir,
        url: &str,
    ) -> Result<Option<Alertmanager>, alertmanager::StartError> {
        if !self.roles.alertmanager {
            return Ok(None);
        }
        let path = if self.roles.alertmanager_alone() { "" } else { ALERTMANAGER_PATH };
        let deps = alertmanager::Deps {
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            rng: Arc::new(OsSeededRng::new()),
            scope: self.scope.child("alertmanager"),
            registry: self.registry.clone(),
            dir: data.role("alertmanager"),
            config_file: self.config.process.alertmanager_config.clone(),
            external_url: format!("{url}{path}"),
            limits: self.limits.alerts.clone(),
            cluster,
            receivers: None,
        };
        Alertmanager::start(self.config.alertmanager.clone(), deps).await.map(Some)
    }

    /// The compactor, if this process has one and there is a bucket; its data is in `data`.
    pub(crate) fn compactor(&self, data: &DataDir, owners: Arc<dyn Owners>) -> Option<Compactor> {
        let bucket = self.bucket.clone().filter(|_| self.roles.compactor)?;
        let in_cluster = self.roles.in_cluster(&self.config);
        let deps = compactor::Deps {
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            rng: Arc::new(OsSeededRng::new()),
            scope: self.scope.child("compactor"),
            registry: self.registry.clone(),
            dir: data.role("compactor"),
            bucket,
            limits: self.limits.compaction.clone(),
            replicas: if in_cluster { u32::from(self.config.process.replication_factor) } else { 1 },
            owners,
        };
        Some(Compactor::build(self.config.compactor.clone(), deps))
    }

    /// The ruler, if this process has one: it asks `querier`, writes to `distributor`, and tells `told` if nobody else is to be
    /// told. Users reach the process at `url`; what they set is in the `cluster`, or else in `data`.
    pub(crate) async fn ruler(
        &self,
        cluster: Option<ruler::ClusterDeps>,
        querier: Option<&Querier>,
        distributor: Option<&Arc<Distributor>>,
        told: Option<Target>,
        data: &DataDir,
        url: &str,
    ) -> Result<Option<Ruler>, ruler::StartError> {
        let (Some(querier), Some(distributor), true) = (querier, distributor, self.roles.ruler) else {
            return Ok(None);
        };
        let urls = &self.config.process.alertmanager_url;
        let mut alertmanagers = Alertmanagers::at(urls, &NameServers::OfMachine)?;
        if alertmanagers.is_empty() {
            alertmanagers.extend(told.map(Alertmanagers::One));
        }
        let deps = ruler::Deps {
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("ruler"),
            registry: self.registry.clone(),
            query: Arc::new(querier.clone()),
            write: Arc::clone(distributor) as _,
            alertmanagers,
            files: self.config.process.rules.clone(),
            dir: data.role("ruler").join("rules"),
            cluster,
            limits: self.limits.rules.clone(),
            external_url: url.to_owned(),
        };
        Ruler::start(self.config.ruler.clone(), deps).await.map(Some)
    }

    /// What the ingester is handed; its data is in `data`.
    pub(crate) fn ingester_deps(&self, data: &DataDir) -> ingester::Deps {
        ingester::Deps {
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("ingester"),
            registry: self.registry.clone(),
            dir: data.role("ingester"),
            retention: self.config.process.retention,
            limits: self.limits.ingester.clone(),
            instance: self.name.clone(),
            rng: Arc::new(OsSeededRng::new()),
            bucket: self.bucket.clone(),
        }
    }

    fn status(&self, pages: &Pages) -> Status {
        Status {
            readiness: pages.readiness.clone(),
            registry: self.registry.clone(),
            clock: Arc::clone(&self.clock),
            started_ms: self.clock.now_ms(),
            retention: self.config.process.retention,
            config_yaml: pages.config_yaml.clone(),
            flags: self.config.flags(),
        }
    }

    /// Everything that is served: what roles serve, for tenants, and the pages of the process.
    pub(crate) fn router(&self, serving: ServingRoles<'_>, pages: Pages) -> Router {
        let ServingRoles { distributor, querier, ingester, ruler, alertmanager, compactor } = serving;
        let resolver = match self.config.process.multitenancy_enabled {
            true => TenantResolver::multi_tenant(),
            false => TenantResolver::single_tenant(),
        };
        // The setting has been checked when it was read.
        let origins = CorsOrigins::matching(&self.config.querier.cors_origin);
        let origins = origins.unwrap_or_else(|_| CorsOrigins::none());
        let shed = |class| ShedLayer::new(self.governor.clone(), class);
        let roles = self.roles;
        let writes = distributor
            .filter(|_| roles.distributor)
            .map(|distributor| distributor::http::router(Arc::clone(distributor)).layer(shed(Class::Write)));
        let reads = querier.filter(|_| roles.querier);
        let reads = reads.map(|querier| querier.router().layer(shed(Class::Read)));
        let rules = ruler.map(|ruler| rpc::api::prometheus_api(ruler.router(), origins.clone()));
        let ingester = roles.ingester.then(|| ingester.clone());
        let operations = ingester.map(|late| ingester::http::router(move || late.cloned()));
        let alerts = alertmanager.map(|alertmanager| {
            let served = alertmanager.router().layer(TenantLayer::new(resolver.clone()));
            let served = served.merge(alertmanager.operations());
            let configs = alertmanager.configs().layer(TenantLayer::new(resolver.clone()));
            let served = match roles.alertmanager_alone() {
                true => served,
                false => Router::new()
                    .nest(ALERTMANAGER_PATH, served.merge(pages::health(&pages.readiness)))
                    .merge(alert_pages::ways(ALERTMANAGER_PATH)),
            };
            served.merge(configs)
        });
        let prefix = self.config.web.route_prefix.trim_end_matches('/').to_owned();
        let served = writes
            .unwrap_or_default()
            .merge(reads.unwrap_or_default())
            .merge(rules.unwrap_or_default())
            .layer(TenantLayer::new(resolver))
            .merge(alerts.unwrap_or_default())
            .merge(status::router(self.status(&pages), origins))
            .merge(operations.unwrap_or_default())
            .merge(compactor.map(Compactor::router).unwrap_or_default())
            .merge(ruler.map(Ruler::operations).unwrap_or_default())
            .merge(pages::router(pages))
            .fallback(move |uri: Uri| not_found(roles, uri))
            .method_not_allowed_fallback(rpc::response::method_not_allowed);
        match prefix.as_str() {
            "" => served,
            prefix => Router::new().nest(prefix, served).fallback(rpc::response::not_found),
        }
    }
}

/// The roles that run in this process, as far as they serve something.
#[derive(Clone, Copy)]
pub(crate) struct ServingRoles<'a> {
    pub(crate) distributor: Option<&'a Arc<Distributor>>,
    pub(crate) querier: Option<&'a Querier>,
    pub(crate) ingester: &'a LateIngester<Ingester>,
    pub(crate) ruler: Option<&'a Ruler>,
    pub(crate) alertmanager: Option<&'a Alertmanager>,
    pub(crate) compactor: Option<&'a Compactor>,
}

/// What is said of a path that leads nowhere here, but would in a process with another role.
async fn not_found(roles: Roles, uri: Uri) -> Response {
    match Roles::that_serves(uri.path()).filter(|role| !roles.has(role)) {
        Some(role) => {
            let here = roles.names().join(", ");
            let text = format!(
                "404: {} is served by processes with the role {role}; this one has: {here}\n",
                uri.path()
            );
            (StatusCode::NOT_FOUND, text).into_response()
        }
        None => rpc::response::not_found().await,
    }
}
