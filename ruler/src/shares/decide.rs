//! Which groups are this process', by what it knows: its lease, who else is a ruler, and where those say that they stand. Pure.
//!
//! While the metastore is there, a group has one owner: who is to take groups over waits until every other ruler has seen the
//! same rulers and has stopped what is not its own any more. A ruler whose lease has run out asks the others whether theirs
//! hold: if one does, the metastore is there for others, who take over, and this one does nothing. If none does, the metastore
//! is gone, and everybody goes on: with what it had, and with what those had that do not answer and whom it follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use membership::{Heard, Own, Share};
use placement::{HashPlacement, Placement as _, Unit};

/// The kind of work that placement spreads.
const KIND: &str = "ruler";

/// Where another ruler stands, as it has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// When it said so.
    pub(crate) at: Duration,
    pub(crate) cluster_id: u64,
    /// Up to which revision it has stopped what is others'.
    pub(crate) settled: u64,
    /// The revision at which the rulers became those that it knows.
    pub(crate) placement: u64,
    /// How long ago, by then, the lease of some ruler was known to hold.
    pub(crate) lease_age: Option<Duration>,
}

impl Standing {
    /// What it said of leases.
    pub(crate) fn heard(&self) -> Heard {
        Heard { at: self.at, lease_age: self.lease_age }
    }
}

/// What is known at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) now: Duration,
    pub(crate) me: Arc<str>,
    /// The token of this process' lease while it holds.
    pub(crate) lease: Option<u64>,
    /// Whether another process has the name of this one, and the lease.
    pub(crate) displaced: bool,
    /// Which cluster, and which revision, is known of the metastore.
    pub(crate) cluster_id: u64,
    pub(crate) revision: u64,
    /// The rulers at that revision.
    pub(crate) placement: Arc<HashPlacement>,
    /// The last answers of others.
    pub(crate) heard: BTreeMap<Arc<str>, Standing>,
    /// Since when the lease has held, or has not, and the rulers have been those.
    pub(crate) since: Duration,
    /// How long others are waited for before groups are taken over: as long as a view can be behind that lives.
    pub(crate) patience: Duration,
}

/// Whether the group of this name is the process' that is called `me`.
pub(crate) fn owns(share: &Share, me: &str, name: &str) -> Own {
    share.owns(me, Unit::new(KIND, name))
}

impl Known {
    /// The other rulers.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Arc<str>> {
        self.placement.members().iter().filter(|name| **name != self.me)
    }

    /// Which groups are this process' now.
    pub(crate) fn share(&self) -> Share {
        match self.lease {
            Some(token) => self.leased(token),
            None if self.displaced => Share::Nothing,
            None => self.lapsed(),
        }
    }

    /// Whether others have to be asked where they stand.
    pub(crate) fn asks(&self, share: &Share) -> bool {
        !matches!(share, Share::Whole(_)) && self.others().next().is_some()
    }

    /// The lease holds.
    fn leased(&self, token: u64) -> Share {
        let is_member = self.placement.members().contains(&self.me);
        if self.revision < token || !is_member {
            // What is known is from before this process was there.
            return Share::Nothing;
        }
        let barrier = self.placement.number().max(token);
        let has_settled = |standing: &Standing| {
            standing.at >= self.since
                && standing.cluster_id == self.cluster_id
                && standing.settled >= barrier
                && standing.placement <= self.revision
        };
        let waited = self.now.saturating_sub(self.since) >= self.patience;
        let all = self.others().all(|name| self.heard.get(name).is_some_and(has_settled));
        let placement = Arc::clone(&self.placement);
        if all || waited { Share::Whole(placement) } else { Share::Kept(placement) }
    }

    /// The lease has run out, or there never was one.
    fn lapsed(&self) -> Share {
        let heard = self.heard.iter().map(|(name, standing)| (Arc::clone(name), standing.heard()));
        Share::without_lease(&self.placement, &self.me, &heard.collect(), (self.since, self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn placement(number: u64, members: &[&str]) -> Arc<HashPlacement> {
        Arc::new(HashPlacement::new(number, members.iter().map(|name| Arc::from(*name))))
    }

    /// `a` among three, of which nothing was heard, with a lease, at second 100 of its life.
    fn known() -> Known {
        Known {
            now: 100 * SECOND,
            me: "a".into(),
            lease: Some(40),
            displaced: false,
            cluster_id: 7,
            revision: 60,
            placement: placement(50, &["a", "b", "c"]),
            heard: BTreeMap::new(),
            since: 90 * SECOND,
            patience: 25 * SECOND,
        }
    }

    fn says(known: &mut Known, name: &str, change: impl FnOnce(&mut Standing)) {
        let (at, cluster_id) = (known.now, known.cluster_id);
        let mut standing = Standing { at, cluster_id, settled: 50, placement: 50, lease_age: None };
        change(&mut standing);
        known.heard.insert(name.into(), standing);
    }

    #[test]
    fn groups_are_taken_over_once_all_others_have_let_go() {
        let mut known = known();
        assert_eq!(known.share(), Share::Kept(Arc::clone(&known.placement)));
        says(&mut known, "b", |_| {});
        says(&mut known, "c", |standing| standing.settled = 49);
        assert_eq!(known.share().name(), "kept", "one has not seen these rulers");
        says(&mut known, "c", |standing| standing.placement = 61);
        assert_eq!(known.share().name(), "kept", "one knows of later ones");
        says(&mut known, "c", |standing| standing.cluster_id = 8);
        assert_eq!(known.share().name(), "kept", "one counts otherwise");
        says(&mut known, "c", |standing| standing.at = 80 * SECOND);
        assert_eq!(known.share().name(), "kept", "it said so of others");
        says(&mut known, "c", |_| {});
        assert_eq!(known.share(), Share::Whole(Arc::clone(&known.placement)));
        assert!(!known.asks(&known.share()));
        // A lease that is newer than the rulers: they have to have seen that, too.
        known.lease = Some(55);
        assert_eq!(known.share().name(), "kept");
        known.lease = Some(61);
        assert_eq!(known.share(), Share::Nothing, "nothing is known of this life");
    }

    #[test]
    fn those_who_do_not_answer_are_waited_for_so_long_and_no_longer() {
        let mut known = known();
        known.now = known.since + known.patience - SECOND;
        assert_eq!(known.share().name(), "kept");
        known.now += SECOND;
        assert_eq!(known.share().name(), "whole");
        known.placement = placement(50, &["b", "c"]);
        assert_eq!(known.share(), Share::Nothing, "it is none of them");
        known.placement = placement(50, &["a"]);
        known.now = known.since;
        assert_eq!(known.share().name(), "whole", "there is nobody else");
    }

    #[test]
    fn without_a_lease_it_goes_by_what_others_say() {
        let mut known = known();
        known.lease = None;
        says(&mut known, "b", |standing| standing.lease_age = Some(2 * SECOND));
        says(&mut known, "c", |_| {});
        assert_eq!(known.share(), Share::Nothing, "another one's holds");
        known.now += SECOND;
        assert_eq!(known.share().name(), "orphaned");
        assert!(known.asks(&known.share()));
        known.displaced = true;
        assert_eq!(known.share(), Share::Nothing, "another process has this one's name, and its groups");
    }
}
