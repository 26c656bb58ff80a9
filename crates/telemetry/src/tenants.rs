//! Metrics labelled by tenant: bounded in number, and removable once a tenant is idle.
//!
//! Tenants come from outside, so their number is not ours to choose. Beyond the bound further tenants share one label
//! value, which keeps sums right and memory bounded.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Metric;

use crate::registry::Registry;

/// How many tenants one metric tells apart unless told otherwise.
pub const DEFAULT_MAX_TENANTS: usize = 10_000;

/// The label value that tenants beyond the bound share. No tenant ID can be this: `_other tenants` has a space.
pub const OVERFLOW_TENANT: &str = "_other tenants";

/// No labels besides the tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NoLabels;

impl EncodeLabelSet for NoLabels {
    fn encode(&self, _encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        Ok(())
    }
}

/// The tenant's label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TenantLabel {
    tenant: Arc<str>,
}

/// A family of metrics by tenant and, optionally, further labels `L`. Clones share the metrics.
#[derive(Debug, Clone)]
pub struct TenantFamily<M, L = NoLabels>
where
    L: Clone + Hash + Eq,
{
    family: Family<(TenantLabel, L), M>,
    tenants: Arc<RwLock<HashMap<Arc<str>, HashSet<L>>>>,
    max_tenants: usize,
}

impl<M, L> TenantFamily<M, L>
where
    L: Clone + Hash + Eq,
    M: Clone + Default,
    Family<(TenantLabel, L), M>: Metric + Clone,
{
    /// A new family, registered as `<prefix>_<name>`, that tells [`DEFAULT_MAX_TENANTS`] tenants apart.
    pub fn register(registry: &Registry, name: &str, help: &str) -> Self {
        Self::register_bounded(registry, name, help, DEFAULT_MAX_TENANTS)
    }

    /// A new family, registered as `<prefix>_<name>`, that tells `max_tenants` tenants apart.
    pub fn register_bounded(registry: &Registry, name: &str, help: &str, max_tenants: usize) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self { family, tenants: Arc::default(), max_tenants }
    }

    /// The metric of `tenant` and `labels`. Where it is used per request, keep what this returns.
    ///
    /// What has been kept goes on counting unseen after [`Self::remove`].
    pub fn of_labels(&self, tenant: &str, labels: &L) -> M {
        let tenant = self.admit(tenant, labels);
        self.family.get_or_create_owned(&(TenantLabel { tenant }, labels.clone()))
    }

    /// Forgets everything about `tenant`; it is no longer exposed.
    pub fn remove(&self, tenant: &str) {
        let removed = self.tenants.write().unwrap_or_else(PoisonError::into_inner).remove_entry(tenant);
        let Some((tenant, label_sets)) = removed else {
            return;
        };
        for labels in label_sets {
            self.family.remove(&(TenantLabel { tenant: Arc::clone(&tenant) }, labels));
        }
    }

    /// How many tenants are told apart now, the shared overflow among them.
    pub fn tenants(&self) -> usize {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The label value for `tenant`, with `labels` noted for removal.
    fn admit(&self, tenant: &str, labels: &L) -> Arc<str> {
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, label_sets)) = known.get_key_value(tenant)
            && label_sets.contains(labels)
        {
            return Arc::clone(name);
        }
        drop(known);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let full = tenants.len() >= self.max_tenants && !tenants.contains_key(tenant);
        let name: Arc<str> = if full { OVERFLOW_TENANT.into() } else { tenant.into() };
        tenants.entry(Arc::clone(&name)).or_default().insert(labels.clone());
        name
    }
}

impl<M> TenantFamily<M>
where
    M: Clone + Default,
    Family<(TenantLabel, NoLabels), M>: Metric + Clone,
{
    /// The metric of `tenant`, where the tenant is the only label.
    pub fn of(&self, tenant: &str) -> M {
        self.of_labels(tenant, &NoLabels)
    }
}
