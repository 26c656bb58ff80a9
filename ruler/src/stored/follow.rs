//! What the metastore says of rules is taken as it comes.

use std::sync::Arc;

use membership::View;
use model::TenantId;

use super::Keeper;
use crate::service::Shared;

impl Shared {
    /// Takes what is known already, and follows from now on; nothing where there is no cluster.
    pub(crate) async fn begin_to_follow(self: &Arc<Self>) {
        let Keeper::Metastore(records) = &self.keeper else { return };
        let mut views = records.changes();
        let view = Arc::clone(&views.borrow_and_update());
        self.take_view(&view).await;
        let shared = Arc::clone(self);
        // The scope ends the task.
        drop(self.scope.spawn("rules of tenants", async move {
            while views.changed().await.is_ok() {
                let view = Arc::clone(&views.borrow_and_update());
                for tenant in shared.take_view(&view).await {
                    shared.apply_soon(&tenant);
                }
            }
        }));
    }

    /// Takes what is new in a view; whose rules are others.
    async fn take_view(self: &Arc<Self>, view: &Arc<View>) -> Vec<TenantId> {
        let Keeper::Metastore(records) = &self.keeper else { return Vec::new() };
        if !view.is_known() {
            return Vec::new();
        }
        let (reading, seen, query) =
            (Arc::clone(records), Arc::clone(view), Arc::clone(&self.evaluator.query));
        let read = self.scope.run_blocking(move || reading.read(&seen, |tenant| query.parse_options(tenant)));
        let changed = match read.await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::error!(%error, "the rules that the metastore has cannot be read; those that are known stay");
                return Vec::new();
            }
        };
        let tenants: Vec<TenantId> = changed.keys().cloned().collect();
        {
            let mut stored = self.stored.lock();
            for (tenant, namespaces) in changed {
                match namespaces.is_empty() {
                    true => drop(stored.remove(&tenant)),
                    false => drop(stored.insert(tenant, namespaces)),
                }
            }
        }
        records.took(view);
        if !tenants.is_empty() {
            self.count_unusable(0);
        }
        tenants
    }
}
