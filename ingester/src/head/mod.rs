//! The head: all tenants' recent samples in memory, and how records of the write-ahead log are applied to it.
//!
//! Records are applied one after the other, in the order of the log, by the log's only task; what is live and what is
//! replay run the same code. Readers see a sample only after its record is durable.

pub(crate) mod apply;
pub(crate) mod coverage;
pub(crate) mod cuts;
pub(crate) mod exemplars;
pub(crate) mod held;
pub(crate) mod id_map;
pub(crate) mod late;
pub(crate) mod metadata;
pub(crate) mod open;
pub(crate) mod series;
pub(crate) mod taken;
pub(crate) mod tenant;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::TenantId;
use parking_lot::RwLock;

use crate::chunk_store::ChunkStore;
use crate::head::tenant::Tenant;

/// Everything an ingester has in memory, and its chunk files.
pub(crate) struct Head {
    tenants: RwLock<BTreeMap<TenantId, Arc<Tenant>>>,
    store: ChunkStore,
    /// Counts the rolls of the log for snapshots; 0 during replay.
    epoch: AtomicU32,
}

impl Head {
    /// An empty head over these chunk files, about to replay.
    pub(crate) fn new(store: ChunkStore) -> Self {
        Self { tenants: RwLock::default(), store, epoch: AtomicU32::new(0) }
    }

    /// The chunk files.
    pub(crate) fn store(&self) -> &ChunkStore {
        &self.store
    }

    /// The tenant, if it has sent anything.
    pub(crate) fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.read().get(id).cloned()
    }

    /// The tenant, made where it is new.
    pub(crate) fn tenant_or_new(&self, id: &TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.tenant(id) {
            return tenant;
        }
        self.tenants.write().entry(id.clone()).or_insert_with(|| Arc::new(Tenant::new(id.clone()))).clone()
    }

    /// All tenants, by ID.
    pub(crate) fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.read().values().cloned().collect()
    }

    /// Which roll of the log samples count from; 0 during replay.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Ends replay, or begins a snapshot. To be called in log order, when the log has been rolled.
    pub(crate) fn next_epoch(&self) {
        // 0 means replay: leave it out when the counter wraps.
        let next = self.epoch().checked_add(1).unwrap_or(1);
        self.epoch.store(next, Ordering::Release);
    }
}
