//! What alerts have to do, said again in the simplest way: each evaluation looks at everything from the beginning.

use std::collections::BTreeMap;

/// A rule of the naive kind: an alert for each series above a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NaiveRule {
    pub(crate) interval_ms: i64,
    pub(crate) hold_ms: i64,
    pub(crate) keep_firing_ms: i64,
    pub(crate) resend_delay_ms: i64,
}

/// A message about an alert.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NaiveMessage {
    pub(crate) at_ms: i64,
    pub(crate) starts_at_ms: i64,
    pub(crate) ends_at_ms: i64,
    /// The value at the last evaluation at which it held.
    pub(crate) value: f64,
}

/// How long an alert that is over is told again.
const RESOLVED_MS: i64 = 15 * 60_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Absent,
    Pending { since: i64 },
    Firing { fired: i64, lingering: Option<i64> },
    Over { fired: i64, resolved: i64 },
}

impl NaiveRule {
    /// The messages about one series, and its states: `values` says for each evaluation what the expression gave.
    pub(crate) fn play(
        &self,
        values: &BTreeMap<i64, Option<f64>>,
    ) -> (Vec<NaiveMessage>, BTreeMap<i64, &'static str>) {
        let (mut messages, mut states) = (Vec::new(), BTreeMap::new());
        let (mut phase, mut sent, mut last) = (Phase::Absent, None::<i64>, 0.0);
        for (&at, &value) in values {
            if let Some(value) = value {
                last = value;
            }
            let before = phase;
            phase = self.step(before, value.is_some(), at);
            if matches!(before, Phase::Absent | Phase::Over { .. })
                && !matches!(phase, Phase::Absent | Phase::Over { .. })
            {
                sent = None;
            }
            match phase {
                Phase::Pending { .. } => drop(states.insert(at, "pending")),
                Phase::Firing { .. } => drop(states.insert(at, "firing")),
                _ => {}
            }
            let (fired, resolved) = match phase {
                Phase::Firing { fired, .. } => (fired, None),
                Phase::Over { fired, resolved } => (fired, Some(resolved)),
                _ => continue,
            };
            let due = match sent {
                None => true,
                Some(sent) => resolved.is_some_and(|r| r > sent) || sent + self.resend_delay_ms < at,
            };
            if due {
                sent = Some(at);
                let valid = 4 * self.interval_ms.max(self.resend_delay_ms);
                let ends_at_ms = resolved.unwrap_or(at + valid);
                messages.push(NaiveMessage { at_ms: at, starts_at_ms: fired, ends_at_ms, value: last });
            }
        }
        (messages, states)
    }

    fn step(&self, phase: Phase, holds: bool, at: i64) -> Phase {
        let begun = || {
            if self.hold_ms == 0 {
                Phase::Firing { fired: at, lingering: None }
            } else {
                Phase::Pending { since: at }
            }
        };
        match (phase, holds) {
            (Phase::Absent | Phase::Over { .. }, true) => begun(),
            (Phase::Pending { since }, true) if at - since >= self.hold_ms => {
                Phase::Firing { fired: at, lingering: None }
            }
            (Phase::Pending { .. }, true) => phase,
            (Phase::Pending { .. } | Phase::Absent, false) => Phase::Absent,
            (Phase::Firing { fired, .. }, true) => Phase::Firing { fired, lingering: None },
            (Phase::Firing { fired, lingering }, false) => {
                let since = lingering.unwrap_or(at);
                match self.keep_firing_ms > 0 && at - since < self.keep_firing_ms {
                    true => Phase::Firing { fired, lingering: Some(since) },
                    false => Phase::Over { fired, resolved: at },
                }
            }
            (Phase::Over { resolved, .. }, false) if at - resolved > RESOLVED_MS => Phase::Absent,
            (Phase::Over { .. }, false) => phase,
        }
    }
}
