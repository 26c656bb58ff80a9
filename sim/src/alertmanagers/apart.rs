//! Who could not hear of whom, by the faults of a run.

use std::time::Duration;

use super::faults::{Fault, Scheduled};
use crate::site::{ATTEMPT_TIMEOUT, SILENCE_TIMEOUT};
use crate::stage::VOTERS;

/// A time from when to when.
pub(super) type Window = (Duration, Duration);

/// How far the view of a process may be behind that has a lease: as long as a node of the metastore may say nothing, and until one
/// was found that does, which takes an attempt at each and the longest wait in between (`membership`'s watcher).
pub(super) const VIEW_BEHIND: Duration = SILENCE_TIMEOUT
    .saturating_add(ATTEMPT_TIMEOUT.saturating_mul(VOTERS.len() as u32))
    .saturating_add(WATCH_WAIT);
const WATCH_WAIT: Duration = Duration::from_secs(2);

/// The faults of a run, as what keeps machines from hearing of each other.
#[derive(Clone, Copy)]
pub(super) struct Apart<'r>(pub(super) &'r [Scheduled]);

impl Apart<'_> {
    /// Whether something that one of two machines sent within a time may not have come to the other.
    pub(super) fn are(&self, one: &str, other: &str, within: Window) -> bool {
        self.any(within, |fault| match fault {
            Fault::Kill(name) | Fault::Stop(name) | Fault::StandStill(name) => name == one || name == other,
            Fault::Cut(name, from) => {
                (name == one && from.iter().any(|from| from == other))
                    || (name == other && from.iter().any(|from| from == one))
            }
            Fault::Weather => true,
            Fault::KillVoters(_) | Fault::Refusal => false,
        })
    }

    /// Whether a machine's view of the metastore may have fallen behind within a time.
    pub(super) fn is_behind(&self, name: &str, within: Window) -> bool {
        self.any(within, |fault| match fault {
            Fault::StandStill(other) => name == other,
            Fault::Cut(other, from) => {
                name == other && from.iter().any(|from| VOTERS.contains(&from.as_str()))
            }
            Fault::KillVoters(_) | Fault::Weather => true,
            Fault::Kill(_) | Fault::Stop(_) | Fault::Refusal => false,
        })
    }

    /// Whether nothing at all befalls anybody within a time.
    pub(super) fn is_quiet(&self, within: Window) -> bool {
        !self.any(within, |_| true)
    }

    fn any(&self, (from, to): Window, is_one: impl Fn(&Fault) -> bool) -> bool {
        self.0.iter().any(|one| one.begins <= to && from <= one.ends && is_one(&one.fault))
    }
}
