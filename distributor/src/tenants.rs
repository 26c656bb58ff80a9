//! What the distributor remembers of each tenant: made at its first write, forgotten when it is idle and room is short.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use model::{TenantId, TenantSeed};
use parking_lot::{Mutex, RwLock};
use ring::{RingView, WriteShard};

use crate::config::WriteLimits;
use crate::metrics::{Metrics, TenantMetrics};
use crate::rate::TokenBucket;

/// How many tenants are remembered; beyond it idle ones are forgotten, and if none is, new ones share no rate limit
/// with their past.
const MAX_TENANTS: usize = 100_000;

/// A tenant without writes for so long may be forgotten; its bucket is full again by then.
const IDLE: Duration = Duration::from_secs(600);

/// One tenant.
pub(crate) struct Tenant {
    pub(crate) seed: TenantSeed,
    pub(crate) metrics: TenantMetrics,
    bucket: Mutex<Option<TokenBucket>>,
    shard: Mutex<Option<CachedShard>>,
    last_used_secs: AtomicU64,
}

impl Tenant {
    /// Who takes the tenant's series.
    pub(crate) fn shard(&self, id: &TenantId, view: &Arc<RingView>) -> Arc<WriteShard> {
        let mut cached = self.shard.lock();
        if let Some(cached) = &*cached
            && std::ptr::eq(cached.view.as_ptr(), Arc::as_ptr(view))
        {
            return Arc::clone(&cached.shard);
        }
        let shard = Arc::new(view.ring().write_shard(self.seed, view.shard_size(id)));
        *cached = Some(CachedShard { view: Arc::downgrade(view), shard: Arc::clone(&shard) });
        shard
    }

    /// Whether the tenant may write so many samples now.
    pub(crate) fn admit(&self, samples: u64, limits: &WriteLimits, now: Duration) -> bool {
        let (rate, burst) = (limits.ingestion_rate, limits.ingestion_burst_size as f64);
        if rate == 0.0 || samples == 0 {
            return true;
        }
        self.bucket.lock().get_or_insert_with(|| TokenBucket::full(burst, now)).take(
            samples as f64,
            rate,
            burst,
            now,
        )
    }
}

/// Who takes a tenant's series, in one view of the ring. An old view is not kept by it.
struct CachedShard {
    view: Weak<RingView>,
    shard: Arc<WriteShard>,
}

/// All tenants.
pub(crate) struct Tenants {
    known: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    metrics: Metrics,
}

impl Tenants {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { known: RwLock::default(), metrics: metrics.clone() }
    }

    /// The tenant, made if it is new.
    pub(crate) fn of(&self, id: &TenantId, now: Duration) -> Arc<Tenant> {
        if let Some(tenant) = self.known.read().get(id) {
            tenant.last_used_secs.store(now.as_secs(), Ordering::Relaxed);
            return Arc::clone(tenant);
        }
        let mut known = self.known.write();
        if known.len() >= MAX_TENANTS {
            let idle = |tenant: &Tenant| {
                let last_used = tenant.last_used_secs.load(Ordering::Relaxed);
                now.as_secs().saturating_sub(last_used) >= IDLE.as_secs()
            };
            for (id, _) in known.extract_if(|_, tenant| idle(tenant)) {
                self.metrics.remove(id.as_str());
            }
        }
        if known.len() >= MAX_TENANTS {
            return Arc::new(self.new_tenant(id, now));
        }
        let new = known.entry(id.clone()).or_insert_with(|| Arc::new(self.new_tenant(id, now)));
        Arc::clone(new)
    }

    fn new_tenant(&self, id: &TenantId, now: Duration) -> Tenant {
        Tenant {
            seed: TenantSeed::of(id),
            metrics: self.metrics.of(id.as_str()),
            bucket: Mutex::new(None),
            shard: Mutex::new(None),
            last_used_secs: AtomicU64::new(now.as_secs()),
        }
    }
}
