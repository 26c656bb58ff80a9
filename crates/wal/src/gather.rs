//! When to wait for more records before a group is written. Pure arithmetic; why, says `docs/decisions/0005-wal-groups.md`.

use std::time::Duration;

/// Company is waited for as long as the last sync took, but at least this long: on a fast disk a sync still costs
/// processor time, and the way back of a writer that was answered takes longer than the sync.
const LEAST_WAIT: Duration = Duration::from_micros(500);
/// However slow the disk, nobody waits longer for company.
const LONGEST_WAIT: Duration = Duration::from_millis(1);
/// So many bytes make a group worth its sync without company.
const ENOUGH_BYTES: usize = 256 << 10;
/// After company failed to come, so many groups go without waiting.
const SKIPPED_GROUPS: u32 = 32;

/// Decides how long the next group gathers, from how the last ones went.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// So many more groups are written without waiting.
    skip: u32,
}

impl Gather {
    /// After a group of `answered` records, whose writers are likely to come back with another, while `waiting` entries
    /// of `bytes` gathered meanwhile: for how many entries to wait, and how long. `None`: not at all.
    pub(crate) fn plan(
        &mut self,
        answered: usize,
        (waiting, bytes): (usize, usize),
        last_sync: Duration,
    ) -> Option<(usize, Duration)> {
        // One that waits is written anyway when nobody else is expected; where syncs are not waited for they are not dear.
        if answered == 0 || answered + waiting < 2 || bytes >= ENOUGH_BYTES || last_sync.is_zero() {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        Some((answered + waiting, last_sync.clamp(LEAST_WAIT, LONGEST_WAIT)))
    }

    /// What came of a wait for `wanted` entries, of which `before` were there at its beginning and `after` at its end.
    /// Where less than half of the company came, the next groups do without.
    pub(crate) fn waited(&mut self, wanted: usize, before: usize, after: usize) {
        if 2 * after.saturating_sub(before) < wanted.saturating_sub(before) {
            self.skip = SKIPPED_GROUPS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(800);

    #[test]
    fn waits_for_those_who_were_answered() {
        let mut gather = Gather::default();
        assert_eq!(gather.plan(2, (2, 1_000), SYNC), Some((4, SYNC)));
        assert_eq!(gather.plan(1, (1, 1_000), SYNC), Some((2, SYNC)));
        assert_eq!(gather.plan(4, (0, 0), Duration::from_secs(9)), Some((4, LONGEST_WAIT)));
        assert_eq!(gather.plan(4, (0, 0), Duration::from_micros(80)), Some((4, LEAST_WAIT)));
    }

    #[test]
    fn does_not_wait_where_that_gains_nothing() {
        let mut gather = Gather::default();
        assert_eq!(gather.plan(1, (0, 0), SYNC), None, "a single writer");
        assert_eq!(gather.plan(0, (3, 1_000), SYNC), None, "nobody was answered");
        assert_eq!(gather.plan(2, (2, ENOUGH_BYTES), SYNC), None, "a large group");
        assert_eq!(gather.plan(2, (2, 1_000), Duration::ZERO), None, "nobody waits for syncs");
    }

    #[test]
    fn stops_waiting_for_a_while_when_company_does_not_come() {
        let mut gather = Gather::default();
        gather.waited(4, 2, 3);
        assert!(gather.plan(2, (2, 1_000), SYNC).is_some(), "half came");
        gather.waited(4, 1, 2);
        for _ in 0..SKIPPED_GROUPS {
            assert_eq!(gather.plan(2, (2, 1_000), SYNC), None);
        }
        assert!(gather.plan(2, (2, 1_000), SYNC).is_some(), "another try");
    }
}
