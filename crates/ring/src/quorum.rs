//! How many zones have to store a write or answer a read, and what the replicas' answers about one series add up to.

/// Quorum arithmetic for a replication factor. All numbers are numbers of zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    replication_factor: u8,
}

impl Quorum {
    /// The quorum of a replication factor; 0 counts as 1.
    pub fn new(replication_factor: u8) -> Self {
        Self { replication_factor: replication_factor.max(1) }
    }

    /// The replication factor of a cluster that is set up with `zones` zones: the configured one, or fewer where there
    /// are fewer zones. It is decided once and kept: a zone that goes away later must not make the quorum smaller.
    pub fn at_bootstrap(configured: u8, zones: usize) -> Self {
        Self::new(configured.min(u8::try_from(zones).unwrap_or(u8::MAX)))
    }

    /// How many replicas a series has.
    pub fn replication_factor(self) -> usize {
        usize::from(self.replication_factor)
    }

    /// How many zones have to store a write: floor(RF / 2) + 1.
    pub fn write_zones(self) -> usize {
        self.replication_factor() / 2 + 1
    }

    /// How many of `zones` zones have to answer a read, so that at least one of them has seen every acknowledged write:
    /// all but floor(RF / 2). With as many zones as replicas that is RF - floor(RF / 2).
    pub fn read_zones(self, zones: usize) -> usize {
        zones.saturating_sub(self.replication_factor() / 2).max(1)
    }
}

/// What became of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A quorum has it.
    Stored,
    /// A quorum refuses it: it is wrong, and trying again will not help.
    Refused,
    /// Neither: too few replicas answered. The write has to be repeated.
    Unavailable,
}

/// The answers of the replicas about one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    stored: u8,
    refused: u8,
    failed: u8,
}

impl Tally {
    /// A replica has stored all of it.
    pub fn stored(&mut self) {
        self.stored = self.stored.saturating_add(1);
    }

    /// A replica has refused it or part of it.
    pub fn refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// A replica has failed, or there was none to ask in a zone.
    pub fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// How many replicas have stored all of it.
    pub fn replicas_with_all(self) -> usize {
        self.stored.into()
    }

    /// What the answers add up to; `None` while answers that are still missing can make a difference.
    pub fn outcome(self, quorum: Quorum) -> Option<Outcome> {
        let [stored, refused, failed] = [self.stored, self.refused, self.failed].map(usize::from);
        let needed = quorum.write_zones();
        let missing = quorum.replication_factor().saturating_sub(stored + refused + failed);
        if stored >= needed {
            Some(Outcome::Stored)
        } else if refused >= needed {
            Some(Outcome::Refused)
        } else if stored.max(refused) + missing < needed {
            Some(Outcome::Unavailable)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(replication_factor: u8, answers: &str, expected: Option<Outcome>) {
        let mut tally = Tally::default();
        for answer in answers.chars() {
            match answer {
                's' => tally.stored(),
                'r' => tally.refused(),
                _ => tally.failed(),
            }
        }
        assert_eq!(
            tally.outcome(Quorum::new(replication_factor)),
            expected,
            "{answers} of {replication_factor}"
        );
    }

    #[test]
    fn outcomes() {
        use Outcome::{Refused, Stored, Unavailable};
        check(1, "", None);
        check(1, "s", Some(Stored));
        check(1, "r", Some(Refused));
        check(1, "f", Some(Unavailable));
        check(2, "s", None);
        check(2, "sf", Some(Unavailable));
        check(2, "f", Some(Unavailable));
        check(2, "ss", Some(Stored));
        check(3, "s", None);
        check(3, "ss", Some(Stored));
        check(3, "sf", None);
        check(3, "srf", Some(Unavailable));
        check(3, "rr", Some(Refused));
        check(3, "ff", Some(Unavailable));
        check(3, "sr", None);
        check(3, "srs", Some(Stored));
        check(5, "srfs", None);
        check(5, "srfr", None);
        check(5, "sffr", Some(Unavailable));
    }

    #[test]
    fn any_read_quorum_meets_any_write_quorum() {
        for replication_factor in 1..=7u8 {
            let quorum = Quorum::new(replication_factor);
            for zones in usize::from(replication_factor)..10 {
                assert!(quorum.write_zones() + quorum.read_zones(zones) > zones);
            }
        }
        assert_eq!(Quorum::at_bootstrap(3, 1).replication_factor(), 1);
        assert_eq!(Quorum::at_bootstrap(3, 5).replication_factor(), 3);
        assert_eq!(Quorum::new(3).read_zones(3), 2);
        assert_eq!(Quorum::new(2).read_zones(2), 1);
    }
}
