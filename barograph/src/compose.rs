//! The roles of this process: what each is handed, and the routes that they serve together.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use distributor::Distributor;
use env::{Clock, FileSystem, OsSeededRng, Scope};
use ingester::Ingester;
use proto::IngesterWrite;
use querier::{FixedIngesters, Querier};
use ring::{Instance, InstanceId, Quorum, Ring, RingError, RingView};
use rpc::api::CorsOrigins;
use rpc::{TenantLayer, TenantResolver};
use settings::{LimitsLoader, Overrides};
use telemetry::Registry;
use tokio::sync::watch;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::late::LateIngester;
use crate::pages::{self, Pages};
use crate::status::{self, Status};

/// The name of the one instance in the ring of this process.
const INSTANCE: &str = "barograph-0";

/// How many zones should hold each series, where there are as many.
const REPLICATION_FACTOR: u8 = 3;

/// The limits of tenants, as each role knows them.
pub(crate) struct Limits {
    write: Overrides<distributor::WriteLimits>,
    ingester: Overrides<ingester::Limits>,
    read: Overrides<querier::QuerierLimits>,
}

impl Limits {
    /// Limits with the defaults of `config`, which `loader` changes from now on.
    pub(crate) fn register(config: &Config, loader: &mut LimitsLoader) -> Self {
        Self {
            write: loader.register(config.distributor_limits.clone()),
            ingester: loader.register(config.ingester_limits.clone()),
            read: loader.register(config.querier_limits.clone()),
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
}

impl Parts {
    /// The distributor, over a ring of the one ingester that there is.
    pub(crate) fn distributor(&self, late: LateIngester<Ingester>) -> Result<Arc<Distributor>, RingError> {
        let id = InstanceId::new(INSTANCE);
        let zone = self.config.process.zone.as_deref().map(Arc::from);
        let members = Instance::all_active([(id.clone(), zone)]);
        let quorum = Quorum::at_bootstrap(REPLICATION_FACTOR, members.len());
        let (_, view) = watch::channel(Arc::new(RingView::fixed(Ring::new(members, quorum)?)));
        let ingester: Arc<dyn IngesterWrite> = Arc::new(late);
        let deps = distributor::Deps {
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("distributor"),
            registry: self.registry.clone(),
            ingesters: Arc::new(BTreeMap::from([(id, ingester)])),
            view,
            limits: self.limits.write.clone(),
        };
        Ok(Distributor::build(self.config.distributor.clone(), deps))
    }

    /// The querier, over the one ingester that there is; its files are in `data`.
    pub(crate) fn querier(&self, late: LateIngester<Ingester>, data: &DataDir) -> Querier {
        let deps = querier::Deps {
            ingesters: Arc::new(FixedIngesters::new(vec![Arc::new(late)])),
            limits: self.limits.read.clone(),
            clock: Arc::clone(&self.clock),
            scope: self.scope.clone(),
            registry: self.registry.clone(),
            fs: Arc::clone(&self.fs),
            dir: data.role("querier"),
        };
        Querier::build(self.config.querier.clone(), deps)
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
            instance: INSTANCE.to_owned(),
            rng: Arc::new(OsSeededRng::new()),
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
    pub(crate) fn router(&self, distributor: &Arc<Distributor>, querier: &Querier, pages: Pages) -> Router {
        let resolver = match self.config.process.multitenancy_enabled {
            true => TenantResolver::multi_tenant(),
            false => TenantResolver::single_tenant(),
        };
        // The setting has been checked when it was read.
        let origins = CorsOrigins::matching(&self.config.querier.cors_origin);
        let origins = origins.unwrap_or_else(|_| CorsOrigins::none());
        distributor::http::router(Arc::clone(distributor))
            .merge(querier.router())
            .layer(TenantLayer::new(resolver))
            .merge(status::router(self.status(&pages), origins))
            .merge(pages::router(pages))
            .fallback(rpc::response::not_found)
            .method_not_allowed_fallback(rpc::response::method_not_allowed)
    }
}
