//! What one distributor knows of elections that are kept elsewhere, and what it makes of it. Pure.
//!
//! Whether an elected replica is silent is judged by this process' own monotonic time: since when it has neither heard
//! of the replica nor seen its record change. The wall clocks of distributors are never compared.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::TenantId;

use super::Election;

/// What is kept to.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairsPolicy {
    /// How long an elected replica may be silent.
    pub(super) failover: Duration,
    /// How often the others are told that it is not.
    pub(super) refresh: Duration,
    /// For how long all replicas of a pair are taken once an election could not be held.
    pub(super) open: Duration,
}

/// All pairs.
#[derive(Debug)]
pub(super) struct Pairs {
    policy: PairsPolicy,
    tenants: HashMap<TenantId, HashMap<String, Pair>>,
}

/// What is known of a pair.
#[derive(Debug, Default)]
struct Pair {
    elected: Option<Elected>,
    /// Until when all replicas are taken.
    open_until: Duration,
}

#[derive(Debug)]
struct Elected {
    record: Record,
    /// When there was last a sign of it.
    heard: Duration,
    /// When the record last changed, or was last to be changed.
    refreshed: Duration,
}

/// An election as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) replica: Arc<str>,
    pub(super) elected_ms: i64,
    /// The revision that wrote it.
    pub(super) revision: u64,
}

/// What a sample of a replica leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing but this.
    Decided(Election),
    /// It is elected, and others should be told that it is heard of: by this record, written anew.
    Refresh(Record),
}

/// What an election has to compare with, and to replace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidacy {
    /// The revision of the record that there is; 0: there is none.
    pub(super) revision: u64,
    /// Another pair of the tenant, silent for longest, and the revision of its record: it makes room.
    pub(super) instead_of: Option<(String, u64)>,
}

impl Pairs {
    pub(super) fn new(policy: PairsPolicy) -> Self {
        Self { policy, tenants: HashMap::new() }
    }

    /// Notes that a replica was heard of.
    pub(super) fn observe(
        &mut self,
        tenant: &TenantId,
        cluster: &str,
        replica: &str,
        max_clusters: usize,
        now: Duration,
    ) -> Seen {
        let policy = self.policy;
        let pairs = self.tenants.entry_ref(tenant).or_default();
        let Some(pair) = pairs.get_mut(cluster) else {
            let live = pairs.values().filter(|pair| !pair.is_silent(policy, now)).count();
            return Seen::Decided(match live < max_clusters {
                true => Election::Undecided,
                false => Election::TooManyClusters,
            });
        };
        if let Some(elected) = &mut pair.elected
            && *elected.record.replica == *replica
        {
            elected.heard = elected.heard.max(now);
            if now.saturating_sub(elected.refreshed) < policy.refresh {
                return Seen::Decided(Election::Elected);
            }
            elected.refreshed = now;
            return Seen::Refresh(elected.record.clone());
        }
        Seen::Decided(if now < pair.open_until {
            Election::Elected
        } else if pair.is_silent(policy, now) {
            Election::Undecided
        } else {
            Election::NotElected
        })
    }

    /// What to put up a replica of the pair with; `None` where somebody is elected by now.
    pub(super) fn candidacy(
        &self,
        tenant: &TenantId,
        cluster: &str,
        max_clusters: usize,
        now: Duration,
    ) -> Option<Candidacy> {
        let nobody = HashMap::new();
        let pairs = self.tenants.get(tenant).unwrap_or(&nobody);
        let pair = pairs.get(cluster);
        if pair.is_some_and(|pair| now < pair.open_until || !pair.is_silent(self.policy, now)) {
            return None;
        }
        let revision =
            pair.and_then(|pair| pair.elected.as_ref()).map_or(0, |elected| elected.record.revision);
        let recorded = pairs.iter().filter_map(|(cluster, pair)| Some((cluster, pair.elected.as_ref()?)));
        let full = revision == 0 && recorded.clone().count() >= max_clusters;
        let instead_of = recorded
            .filter(|(_, elected)| full && elected.is_silent(self.policy, now))
            .min_by_key(|(_, elected)| elected.heard)
            .map(|(cluster, elected)| (cluster.clone(), elected.record.revision));
        Some(Candidacy { revision, instead_of })
    }

    /// Notes a record, however it came to be known. One that is older than the known one is no news.
    pub(super) fn record(&mut self, tenant: &TenantId, cluster: &str, record: Record, now: Duration) {
        let pairs = self.tenants.entry_ref(tenant).or_default();
        let pair = pairs.entry_ref(cluster).or_default();
        if pair.elected.as_ref().is_some_and(|known| known.record.revision >= record.revision) {
            return;
        }
        pair.open_until = Duration::ZERO;
        pair.elected = Some(Elected { record, heard: now, refreshed: now });
    }

    /// Notes that an election of the pair could not be held.
    pub(super) fn failed(&mut self, tenant: &TenantId, cluster: &str, now: Duration) {
        let pair = self.tenants.entry_ref(tenant).or_default().entry_ref(cluster).or_default();
        pair.open_until = now.saturating_add(self.policy.open);
    }

    /// Forgets records that are not there at a revision, given whether one of a pair is.
    pub(super) fn retain(
        &mut self,
        revision: u64,
        now: Duration,
        is_there: impl Fn(&TenantId, &str) -> bool,
    ) {
        for (tenant, pairs) in &mut self.tenants {
            pairs.retain(|cluster, pair| {
                let newer = pair.elected.as_ref().is_some_and(|elected| elected.record.revision > revision);
                newer || now < pair.open_until || is_there(tenant, cluster)
            });
        }
        self.tenants.retain(|_, pairs| !pairs.is_empty());
    }

    /// Forgets everything: the records are another cluster's.
    pub(super) fn clear(&mut self) {
        self.tenants.clear();
    }
}

impl Pair {
    fn is_silent(&self, policy: PairsPolicy, now: Duration) -> bool {
        self.elected.as_ref().is_none_or(|elected| elected.is_silent(policy, now))
    }
}

impl Elected {
    fn is_silent(&self, policy: PairsPolicy, now: Duration) -> bool {
        now.saturating_sub(self.heard) >= policy.failover
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: PairsPolicy = PairsPolicy {
        failover: Duration::from_secs(30),
        refresh: Duration::from_secs(15),
        open: Duration::from_secs(5),
    };

    fn record(replica: &str, revision: u64) -> Record {
        Record { replica: replica.into(), elected_ms: 1, revision }
    }

    struct World {
        pairs: Pairs,
        tenant: TenantId,
    }

    impl World {
        fn new() -> Self {
            Self { pairs: Pairs::new(POLICY), tenant: TenantId::anonymous() }
        }

        fn record(&mut self, cluster: &str, replica: &str, revision: u64, seconds: u64) {
            let record = record(replica, revision);
            self.pairs.record(&self.tenant, cluster, record, Duration::from_secs(seconds));
        }

        fn observe(&mut self, cluster: &str, replica: &str, seconds: u64) -> Seen {
            self.pairs.observe(&self.tenant, cluster, replica, 2, Duration::from_secs(seconds))
        }

        fn candidacy(&self, cluster: &str, seconds: u64) -> Option<Candidacy> {
            self.pairs.candidacy(&self.tenant, cluster, 2, Duration::from_secs(seconds))
        }

        #[track_caller]
        fn check(&mut self, cluster: &str, replica: &str, seconds: u64, expected: Election) {
            let seen = self.observe(cluster, replica, seconds);
            assert_eq!(seen, Seen::Decided(expected), "{cluster} {replica} at {seconds}");
        }
    }

    #[test]
    fn whoever_is_recorded_is_elected_until_it_is_silent() {
        let mut world = World::new();
        world.check("c", "a", 0, Election::Undecided);
        assert_eq!(world.candidacy("c", 0), Some(Candidacy { revision: 0, instead_of: None }));
        world.record("c", "a", 5, 0);
        world.check("c", "a", 1, Election::Elected);
        world.check("c", "b", 30, Election::NotElected);
        assert_eq!(world.candidacy("c", 30), None, "somebody is");
        world.check("c", "b", 31, Election::Undecided);
        assert_eq!(world.candidacy("c", 31), Some(Candidacy { revision: 5, instead_of: None }));
        world.record("c", "b", 9, 31);
        world.check("c", "a", 31, Election::NotElected);
        world.check("c", "b", 31, Election::Elected);
    }

    #[test]
    fn what_others_hear_counts() {
        let mut world = World::new();
        world.record("c", "a", 5, 0);
        for (revision, seconds) in [(6, 20), (7, 40), (8, 60)] {
            world.record("c", "a", revision, seconds);
            world.check("c", "b", seconds + 19, Election::NotElected);
        }
        // What was known before is no news.
        world.record("c", "a", 8, 89);
        world.check("c", "b", 90, Election::Undecided);
    }

    #[test]
    fn others_are_told_once_in_a_while() {
        let mut world = World::new();
        world.record("c", "a", 5, 0);
        let refreshes: Vec<u64> =
            (0..60).filter(|seconds| matches!(world.observe("c", "a", *seconds), Seen::Refresh(_))).collect();
        assert_eq!(refreshes, [15, 30, 45]);
        assert_eq!(world.observe("c", "a", 60), Seen::Refresh(record("a", 5)));
        world.record("c", "a", 6, 70);
        world.check("c", "a", 84, Election::Elected);
    }

    #[test]
    fn where_nobody_can_be_elected_all_are_taken_for_a_while() {
        let mut world = World::new();
        world.pairs.failed(&world.tenant, "c", Duration::from_secs(10));
        world.check("c", "a", 10, Election::Elected);
        world.check("c", "b", 14, Election::Elected);
        assert_eq!(world.candidacy("c", 14), None);
        world.check("c", "b", 15, Election::Undecided);
        world.record("c", "b", 1, 16);
        world.pairs.failed(&world.tenant, "c", Duration::from_secs(46));
        world.check("c", "a", 47, Election::Elected);
        world.check("c", "c", 48, Election::Elected);
        world.record("c", "b", 2, 49);
        world.check("c", "a", 49, Election::NotElected);
    }

    #[test]
    fn pairs_are_bounded_and_silent_ones_make_room() {
        let mut world = World::new();
        world.record("c", "a", 1, 0);
        world.record("d", "a", 2, 10);
        world.check("e", "a", 29, Election::TooManyClusters);
        world.check("e", "a", 30, Election::Undecided);
        let instead_of = Some(("c".into(), 1));
        assert_eq!(world.candidacy("e", 30), Some(Candidacy { revision: 0, instead_of }));
        assert_eq!(world.candidacy("c", 30), Some(Candidacy { revision: 1, instead_of: None }));
    }

    #[test]
    fn what_was_removed_is_forgotten_unless_it_is_newer() {
        let mut world = World::new();
        world.record("c", "a", 4, 0);
        world.record("d", "a", 6, 0);
        world.record("e", "a", 3, 0);
        world.pairs.retain(5, Duration::ZERO, |_, cluster| cluster == "e");
        assert_eq!(world.candidacy("c", 1), Some(Candidacy { revision: 0, instead_of: None }));
        world.check("d", "b", 1, Election::NotElected);
        world.check("e", "b", 1, Election::NotElected);
    }
}
