//! Changes of the configurations of tenants: decided, kept, and only then used.

use std::sync::Arc;

use model::TenantId;
use thiserror::Error;

use super::{Own, OwnText, check};
use crate::keeper::Keeper;
use crate::service::Shared;

/// Why a configuration is not as it was asked for.
#[derive(Debug, Error)]
pub(crate) enum ConfigChangeError {
    /// The text cannot be read.
    #[error("error unmarshalling Alertmanager config: {0}")]
    Unreadable(String),
    /// It is larger than it may be.
    #[error("{0}")]
    TooBig(String),
    /// It is wrong.
    #[error("error validating Alertmanager config: {0}")]
    Refused(String),
    /// It cannot be kept.
    #[error("unable to store the Alertmanager config: {0}")]
    Unkept(String),
}

impl Shared {
    /// What a tenant has set, as the API shows it.
    pub(crate) fn own_body(&self, tenant: &TenantId) -> Option<String> {
        self.own.read().get(tenant).map(|own| own.text.to_body())
    }

    /// The most bytes that a tenant's configuration may be sent with, and what is said of more.
    pub(crate) fn max_own_body(&self, tenant: &TenantId) -> (usize, String) {
        check::max_body(&self.limits.of(tenant))
    }

    /// Takes the configuration that a tenant has sent. It is durable then.
    pub(crate) async fn set_own(
        self: &Arc<Self>,
        tenant: &TenantId,
        body: String,
    ) -> Result<(), ConfigChangeError> {
        let text = OwnText::of_body(&body).map_err(ConfigChangeError::Unreadable)?;
        let limits = self.limits.of(tenant);
        let (language, around) = (self.config.language(), self.surroundings.clone());
        // Certificates and templates take their time.
        let checked = self.scope.run_blocking(move || {
            let checked = text.checked(&limits, language, &around);
            checked.map(|setup| Own { text, setup: Arc::new(setup), unusable: None })
        });
        let checked = checked.await.map_err(|error| ConfigChangeError::Unkept(error.to_string()))?;
        self.change_own(tenant, Some(checked.map_err(ConfigChangeError::Refused)?)).await
    }

    /// Takes a tenant's configuration away: it has that of the process then.
    pub(crate) async fn delete_own(self: &Arc<Self>, tenant: &TenantId) -> Result<(), ConfigChangeError> {
        self.change_own(tenant, None).await
    }

    /// One change after the other. It is not left halfway where whoever asked for it goes away.
    async fn change_own(
        self: &Arc<Self>,
        tenant: &TenantId,
        own: Option<Own>,
    ) -> Result<(), ConfigChangeError> {
        let (shared, tenant) = (Arc::clone(self), tenant.clone());
        let changed = self.scope.spawn("configuration kept", async move {
            let _changing = shared.changing_own.lock().await;
            match &shared.keeper {
                Keeper::Folder { configs, .. } => {
                    let text = own.as_ref().map(|own| own.text.clone());
                    let (configs, of) = (configs.clone(), tenant.clone());
                    let kept = shared.scope.run_blocking(move || configs.keep(&of, text.as_ref())).await;
                    let kept = kept.map_err(std::io::Error::other).flatten();
                    kept.map_err(|error| ConfigChangeError::Unkept(error.to_string()))?;
                    shared.use_own(&tenant, own.map(Arc::new));
                    shared.reload_tenant(&tenant).await;
                    Ok(())
                }
                Keeper::Cluster(cluster) => {
                    let text = own.as_ref().map(|own| &own.text);
                    let kept = cluster.keep_config(&tenant, text, shared.clock.now_ms()).await;
                    kept.map_err(|error| ConfigChangeError::Unkept(error.message))
                }
            }
        });
        changed.await.unwrap_or_else(|error| Err(ConfigChangeError::Unkept(error.to_string())))
    }

    /// Uses what a tenant has set, for whatever begins from now on.
    pub(crate) fn use_own(&self, tenant: &TenantId, own: Option<Arc<Own>>) {
        if let Some(why) = own.as_ref().and_then(|own| own.unusable.as_ref()) {
            tracing::error!(%tenant, why, "a tenant's configuration cannot be used; nobody is told of its alerts");
        }
        let mut all = self.own.write();
        match own {
            Some(own) => drop(all.insert(tenant.clone(), own)),
            None => drop(all.remove(tenant)),
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.own_configs.set(count(all.len()));
        let unusable = all.values().filter(|own| own.unusable.is_some()).count();
        self.metrics.own_configs_unusable.set(count(unusable));
    }

    /// Has a tenant use the configuration that it has now.
    pub(crate) async fn reload_tenant(&self, tenant: &TenantId) {
        if let Some(known) = self.known(tenant) {
            known.reload(self.setup_of(tenant)).await;
        }
        tracing::info!(%tenant, "a tenant's configuration has changed");
    }
}
