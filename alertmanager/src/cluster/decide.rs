//! Which tenants this process tells receivers for, by what it knows: its lease, who else is an Alertmanager, how far those have
//! let go, and whether they answer. Pure.
//!
//! While the metastore is there, one process tells of a tenant: who is to take tenants over waits until every other one has
//! written down that it tells of nothing any more that was placed elsewhere when the youngest of them came. That somebody goes
//! moves nothing among those who stay, so that nobody is waited for then: but the view that has silences and the log has to have
//! come as far as the one that says who has gone. A process whose lease has run out asks the others
//! whether theirs hold: if one does, the metastore is there for others, who take over, and this one tells nobody. If none does,
//! the metastore is gone, and everybody goes on: with what it had, and with what those had that do not answer and whom it
//! follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use membership::{Heard, Own, Share};
use model::TenantId;
use placement::{HashPlacement, Unit};

/// The kind of work that placement spreads.
pub(crate) const KIND: &str = "alertmanager";

/// How far an Alertmanager has let go, as the metastore has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The lease that it was written with.
    pub(crate) token: u64,
    pub(crate) settled: u64,
}

/// What is known at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) now: Duration,
    pub(crate) me: Arc<str>,
    /// The token of this process' lease while it holds.
    pub(crate) lease: Option<u64>,
    /// The tokens of the leases of all Alertmanagers that live, as the metastore has told.
    pub(crate) members: BTreeMap<Arc<str>, u64>,
    /// The revision at which that changed last.
    pub(crate) members_at: u64,
    /// How far the view has come that has silences, the log, and how far others have let go.
    pub(crate) state_at: u64,
    /// Tenants placed among them.
    pub(crate) placement: Arc<HashPlacement>,
    pub(crate) standings: BTreeMap<Arc<str>, Standing>,
    /// The last answers of others.
    pub(crate) heard: BTreeMap<Arc<str>, Heard>,
    /// Since when the lease has held, or has not, and the members have been those.
    pub(crate) since: Duration,
    /// How long others are waited for that have not let go.
    pub(crate) patience: Duration,
}

/// Whether a tenant is the process' that is called `me`.
pub(crate) fn owns(share: &Share, me: &str, tenant: &TenantId) -> Own {
    share.owns(me, Unit::new(KIND, tenant.as_str()))
}

impl Known {
    /// The other Alertmanagers.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.keys().filter(|name| **name != self.me)
    }

    /// The revision at which the youngest of them came: what was placed elsewhere by then has to be let go of.
    pub(crate) fn barrier(&self) -> u64 {
        self.members.values().copied().max().unwrap_or_default()
    }

    /// Which tenants are this process' now.
    pub(crate) fn share(&self) -> Share {
        match self.lease {
            Some(token) => self.leased(token),
            None => self.lapsed(),
        }
    }

    /// Whether others have to be asked whether their leases hold.
    pub(crate) fn asks(&self) -> bool {
        self.lease.is_none() && self.others().next().is_some()
    }

    fn leased(&self, token: u64) -> Share {
        if self.members.get(&self.me) != Some(&token) {
            // What is known is from before this process was there.
            return Share::Nothing;
        }
        let barrier = self.barrier();
        let has_let_go = |name: &Arc<str>| {
            self.standings.get(name).is_some_and(|standing| {
                Some(&standing.token) == self.members.get(name) && standing.settled >= barrier
            })
        };
        let waited = self.now.saturating_sub(self.since) >= self.patience;
        // Whatever those did that have gone was done before they went.
        let has_caught_up = self.state_at >= self.members_at;
        let placement = Arc::clone(&self.placement);
        match waited || (has_caught_up && self.others().all(has_let_go)) {
            true => Share::Whole(placement),
            false => Share::Kept(placement),
        }
    }

    /// The lease has run out, or there never was one.
    fn lapsed(&self) -> Share {
        Share::without_lease(&self.placement, &self.me, &self.heard, (self.since, self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// `a` among three, of which `c` came last, at revision 50; nothing is known of how far they have let go.
    fn known() -> Known {
        let members: BTreeMap<Arc<str>, u64> =
            [("a", 40), ("b", 45), ("c", 50)].map(|(name, t)| (name.into(), t)).into();
        Known {
            now: 100 * SECOND,
            me: "a".into(),
            lease: Some(40),
            placement: Arc::new(HashPlacement::new(50, members.keys().cloned())),
            members,
            members_at: 50,
            state_at: 60,
            standings: BTreeMap::new(),
            heard: BTreeMap::new(),
            since: 90 * SECOND,
            patience: 25 * SECOND,
        }
    }

    fn settled(known: &mut Known, name: &str, token: u64, settled: u64) {
        known.standings.insert(name.into(), Standing { token, settled });
    }

    #[test]
    fn tenants_are_taken_over_once_all_others_have_let_go() {
        let mut known = known();
        let name = |known: &Known| known.share().name();
        assert_eq!(name(&known), "kept");
        settled(&mut known, "b", 45, 60);
        assert_eq!(name(&known), "kept", "one has not said anything");
        settled(&mut known, "c", 50, 49);
        assert_eq!(name(&known), "kept", "one has not seen itself come");
        settled(&mut known, "c", 30, 60);
        assert_eq!(name(&known), "kept", "it said so in a former life");
        settled(&mut known, "c", 50, 50);
        assert_eq!(name(&known), "whole");
        known.members.insert("c".into(), 70);
        assert_eq!(name(&known), "kept", "it began again");
        known.members.remove("c");
        assert_eq!(name(&known), "whole", "who goes leaves nothing to wait for");
        known.members.insert("a".into(), 41);
        assert_eq!(known.share(), Share::Nothing, "the lease is not the one that others see");
    }

    #[test]
    fn tenants_of_one_that_has_gone_are_taken_over_once_all_is_known_of_them() {
        let mut known = known();
        settled(&mut known, "b", 45, 60);
        known.members.remove("c");
        known.members_at = 70;
        assert_eq!(known.share().name(), "kept", "what it told last may be missing");
        known.state_at = 70;
        assert_eq!(known.share().name(), "whole");
        known.members_at = 90;
        known.now = known.since + known.patience;
        assert_eq!(known.share().name(), "whole", "a view is never behind for longer");
    }

    #[test]
    fn those_who_do_not_let_go_are_waited_for_so_long_and_no_longer() {
        let mut known = known();
        known.now = known.since + known.patience - SECOND;
        assert_eq!(known.share().name(), "kept");
        known.now += SECOND;
        assert_eq!(known.share().name(), "whole");
    }

    #[test]
    fn without_a_lease_it_goes_by_what_others_say() {
        let mut known = known();
        known.lease = None;
        assert!(known.asks());
        known.heard.insert("b".into(), Heard { at: known.now, lease_age: Some(2 * SECOND) });
        assert_eq!(known.share(), Share::Nothing, "another one's holds");
        known.now += SECOND;
        assert_eq!(known.share().name(), "orphaned");
    }
}
