//! Among whom the compactors of a cluster divide their work: by hash over their leases, jobs leased in the metastore.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use compactor::{Alone, Hold, Leased, LeasedDeps, Owners};
use membership::{Ownership, OwnershipDeps};
use model::TenantId;

use crate::cluster::Cluster;
use crate::compose::Parts;

/// The role, as leases name it.
const ROLE: &str = "compactor";

/// Among whom the work of this process' compactor is divided.
pub(crate) fn owners(parts: &Parts, cluster: Option<&Cluster>) -> Arc<dyn Owners> {
    let Some(cluster) = cluster.filter(|_| parts.roles.compactor) else { return Arc::new(Alone) };
    let late = Late::default();
    let (told, lease) = (late.clone(), cluster.lease());
    let (client, watcher) = (cluster.client(), cluster.watcher());
    let (scope, clock) = (parts.scope.child("compactor owners"), Arc::clone(&parts.clock));
    let (name, margin) = (parts.name.clone(), parts.config.compactor.lease_margin);
    let following = scope.clone();
    let tell = async move {
        let lease = lease.await;
        let deps = OwnershipDeps {
            lease: lease.clone(),
            instance: name.as_str().into(),
            clock: Arc::clone(&clock),
            scope: following,
            margin,
        };
        let ownership = Ownership::start(ROLE, &watcher, deps);
        let leased = Leased::new(LeasedDeps { client, ownership, lease, instance: name, clock, margin });
        // It is set once.
        let _ = told.0.set(leased);
    };
    // It ends with the scope; nobody waits for it.
    drop(scope.spawn("compactor owners", tell));
    Arc::new(late)
}

/// Owners once the lease of this process is there; until then nothing is this process'.
#[derive(Clone, Default)]
struct Late(Arc<OnceLock<Leased>>);

#[async_trait]
impl Owners for Late {
    fn owns(&self, tenant: &TenantId) -> bool {
        self.0.get().is_some_and(|owners| owners.owns(tenant))
    }

    async fn hold(&self, tenant: &TenantId, job: &str) -> Option<Box<dyn Hold>> {
        self.0.get()?.hold(tenant, job).await
    }
}
