//! Renewals of leases, in the leader's memory. Pure: it is told the time.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::metastore::Lease;

/// When each lease is over, as far as this leader knows. A node that becomes leader begins with an empty one.
#[derive(Debug, Default)]
pub(crate) struct LeaseTable {
    leases: BTreeMap<String, Kept>,
    checked: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    token: u64,
    ttl: Duration,
    over: Duration,
}

/// A lease that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) instance: String,
    pub(crate) token: u64,
}

impl LeaseTable {
    /// A node has become leader, or is one no longer: what it knew of renewals counts no more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Renews a lease that lives, from `now` on; whether it was not over yet.
    pub(crate) fn renew(&mut self, now: Duration, lease: &Lease) -> bool {
        let kept = self.keep(now, lease);
        if kept.over <= now {
            return false;
        }
        kept.over = now + kept.ttl;
        true
    }

    /// The leases that are over now. `live` is every lease of the state: those that are new here get a full life from
    /// now on, so a new leader ends nobody before it has led for one. When looking was due `late` ago, this leader was
    /// away itself, and nobody could have renewed: everybody gets another full life.
    pub(crate) fn look(&mut self, now: Duration, late: Duration, live: &[Lease]) -> Vec<Over> {
        let away = self.checked.is_some_and(|checked| now.saturating_sub(checked) > late);
        self.checked = Some(now);
        let mut over = Vec::new();
        for lease in live {
            let kept = self.keep(now, lease);
            if away {
                kept.over = now + kept.ttl;
            }
            if kept.over <= now {
                over.push(Over { instance: lease.instance.clone(), token: lease.token });
            }
        }
        if self.leases.len() > live.len() {
            let live: BTreeMap<&str, u64> =
                live.iter().map(|lease| (lease.instance.as_str(), lease.token)).collect();
            self.leases.retain(|instance, kept| live.get(instance.as_str()) == Some(&kept.token));
        }
        over
    }

    fn keep(&mut self, now: Duration, lease: &Lease) -> &mut Kept {
        let ttl = Duration::from_millis(lease.ttl_ms);
        let new = Kept { token: lease.token, ttl, over: now + ttl };
        let kept = self.leases.entry(lease.instance.clone()).or_insert(new);
        if kept.token != lease.token {
            *kept = new;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lease(instance: &str, token: u64) -> Lease {
        Lease { instance: instance.into(), token, ttl_ms: 10_000, ..Lease::default() }
    }

    fn over(instance: &str, token: u64) -> Vec<Over> {
        vec![Over { instance: instance.into(), token }]
    }

    /// Looks every second from `from` to `to`, and gives what is over at the end.
    fn look(table: &mut LeaseTable, from: u64, to: u64, live: &[Lease]) -> Vec<Over> {
        (from..=to).map(|second| table.look(at(second), LATE, live)).last().unwrap_or_default()
    }

    #[test]
    fn a_new_leader_waits_a_full_lease() {
        let mut table = LeaseTable::default();
        let live = [lease("a", 1)];
        assert_eq!(look(&mut table, 100, 109, &live), []);
        assert_eq!(look(&mut table, 110, 110, &live), over("a", 1));
        table.clear();
        assert_eq!(look(&mut table, 111, 120, &live), []);
        assert_eq!(look(&mut table, 121, 121, &live), over("a", 1));
    }

    #[test]
    fn a_renewal_gives_a_full_lease_from_when_it_came() {
        let mut table = LeaseTable::default();
        let live = [lease("a", 1), lease("b", 2)];
        look(&mut table, 0, 9, &live);
        assert!(table.renew(at(9), &live[0]));
        assert_eq!(look(&mut table, 10, 18, &live), over("b", 2));
        assert_eq!(look(&mut table, 19, 19, &live).len(), 2);
    }

    #[test]
    fn what_is_over_is_not_renewed() {
        let mut table = LeaseTable::default();
        let live = [lease("a", 1)];
        look(&mut table, 0, 10, &live);
        assert!(!table.renew(at(10), &live[0]), "its end may be in the log already");
        // Registered again, it has another token, and lives.
        assert!(table.renew(at(11), &lease("a", 7)));
    }

    #[test]
    fn a_leader_that_was_away_ends_nobody() {
        let mut table = LeaseTable::default();
        let live = [lease("a", 1)];
        look(&mut table, 0, 5, &live);
        assert_eq!(look(&mut table, 60, 69, &live), []);
        assert_eq!(look(&mut table, 70, 70, &live), over("a", 1));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut table = LeaseTable::default();
        look(&mut table, 0, 1, &[lease("a", 1), lease("b", 2)]);
        look(&mut table, 2, 2, &[lease("b", 2)]);
        assert_eq!(table.leases.len(), 1);
    }
}
