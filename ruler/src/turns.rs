//! Whose turn it is: of each tenant, one change of what it has set is kept at a time, and one set of rules taken at a time, so that
//! a tenant whose rules are slow holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::TenantId;
use parking_lot::Mutex;
use tokio::sync::{MutexGuard, OwnedMutexGuard};

/// The turns of all tenants.
#[derive(Default)]
pub(crate) struct Turns(Mutex<BTreeMap<TenantId, Arc<Turn>>>);

/// The turns of a tenant.
#[derive(Default)]
pub(crate) struct Turn {
    keeping: Arc<tokio::sync::Mutex<()>>,
    taking: tokio::sync::Mutex<()>,
    /// Whether somebody waits to take what the rules will be by then.
    waits: AtomicBool,
}

impl Turns {
    /// Those of a tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<Turn> {
        Arc::clone(self.0.lock().entry(tenant.clone()).or_default())
    }
}

impl Turn {
    /// Waits until nobody else changes what is kept.
    pub(crate) async fn keeping(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.keeping).lock_owned().await
    }

    /// Whether nobody waits yet who will take the rules as they are now: then the caller has to.
    pub(crate) fn wait_for_next(&self) -> bool {
        !self.waits.swap(true, Ordering::AcqRel)
    }

    /// Waits until nobody else takes rules. What is set from here on is for the next one.
    pub(crate) async fn taking(&self) -> MutexGuard<'_, ()> {
        let taking = self.taking.lock().await;
        self.waits.store(false, Ordering::Release);
        taking
    }
}
