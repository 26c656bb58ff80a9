//! Elections in the memory of this process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hashbrown::HashMap;
use model::TenantId;
use parking_lot::Mutex;

use super::{Election, HaTracker};

/// Elections in the memory of this process.
pub(crate) struct MemoryHaTracker {
    failover_timeout: Duration,
    tenants: Mutex<HashMap<TenantId, HashMap<Arc<str>, Elected>>>,
}

struct Elected {
    replica: Arc<str>,
    heard: Duration,
}

impl MemoryHaTracker {
    pub(crate) fn new(failover_timeout: Duration) -> Self {
        Self { failover_timeout, tenants: Mutex::default() }
    }
}

#[async_trait]
impl HaTracker for MemoryHaTracker {
    fn observe(
        &self,
        tenant: &TenantId,
        cluster: &str,
        replica: &str,
        max_clusters: usize,
        now: Duration,
    ) -> Election {
        let mut tenants = self.tenants.lock();
        let clusters = tenants.entry_ref(tenant).or_default();
        let silent = |elected: &Elected| now.saturating_sub(elected.heard) >= self.failover_timeout;
        if let Some(elected) = clusters.get_mut(cluster) {
            if &*elected.replica != replica {
                if !silent(elected) {
                    return Election::NotElected;
                }
                elected.replica = replica.into();
            }
            elected.heard = elected.heard.max(now);
            return Election::Elected;
        }
        if clusters.len() >= max_clusters {
            clusters.retain(|_, elected| !silent(elected));
        }
        if clusters.len() >= max_clusters {
            return Election::TooManyClusters;
        }
        let elected = Elected { replica: replica.into(), heard: now };
        clusters.insert(cluster.into(), elected);
        Election::Elected
    }

    /// There is nothing to wait for.
    async fn elect(&self, _tenant: &TenantId, _cluster: &str, _replica: &str, _max_clusters: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections() {
        let tracker = MemoryHaTracker::new(Duration::from_secs(30));
        let tenant = TenantId::anonymous();
        let check = |cluster, replica, seconds, expected| {
            let now = Duration::from_secs(seconds);
            let election = tracker.observe(&tenant, cluster, replica, 2, now);
            assert_eq!(election, expected, "{cluster} {replica} at {seconds}");
        };
        check("c", "a", 0, Election::Elected);
        check("c", "b", 10, Election::NotElected);
        check("c", "a", 20, Election::Elected);
        check("c", "b", 49, Election::NotElected);
        check("c", "b", 50, Election::Elected);
        check("c", "a", 51, Election::NotElected);
        check("d", "a", 51, Election::Elected);
        check("e", "a", 60, Election::TooManyClusters);
        check("e", "a", 80, Election::Elected);
        let other = TenantId::new("other").unwrap();
        let now = Duration::from_secs(81);
        assert_eq!(tracker.observe(&other, "c", "a", 2, now), Election::Elected);
    }
}
