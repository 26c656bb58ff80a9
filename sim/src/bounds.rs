//! Queues have bounds: what processes measure of themselves never says that there is more in them.

use std::time::Duration;

use env::Scope;

use crate::fleet::Fleet;
use crate::node::{MAX_PENDING_BYTES, MAX_PUSHES, MAX_QUEUED};
use crate::oracle::Oracle;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(9700);

/// Whose machines measure what, and the most that it may be.
const BOUNDS: [(&str, &str, u64); 3] = [
    ("distributor", "barograph_distributor_inflight_requests", MAX_PUSHES as u64),
    ("ingester", "barograph_ingester_wal_pending_bytes", MAX_PENDING_BYTES),
    ("querier", "barograph_querier_queue_length", MAX_QUEUED as u64),
];

/// Looks at the queues of all processes.
pub(crate) struct Bounds {
    fleet: Fleet,
    oracle: Oracle,
}

impl Bounds {
    /// Of the processes of these machines.
    pub(crate) fn of(fleet: &Fleet, oracle: &Oracle) -> Self {
        Self { fleet: fleet.clone(), oracle: oracle.clone() }
    }

    /// Looks now and then from now on.
    pub(crate) fn watch(self, scope: &Scope) {
        drop(scope.spawn("bounds", async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.check();
            }
        }));
    }

    /// Tells the oracle of a queue that is longer than it may be.
    pub(crate) fn check(&self) {
        for (machine, registry) in self.fleet.registries() {
            let Some((_, name, bound)) = BOUNDS.iter().find(|(role, ..)| machine.starts_with(role)) else {
                continue;
            };
            match value_of(&registry.encode_openmetrics(), name) {
                Some(value) if value <= *bound as f64 => {}
                Some(value) => {
                    self.oracle.is_wrong(format!("{name} of {machine} is {value}, more than {bound}"));
                }
                None => self.oracle.is_wrong(format!("{machine} has no {name}")),
            }
        }
    }
}

/// The value of a metric without labels.
fn value_of(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_its_name() {
        let text = "# TYPE a gauge\na_b 3\na{x=\"y\"} 4\na 5\n";
        assert_eq!(
            (value_of(text, "a"), value_of(text, "a_b"), value_of(text, "b")),
            (Some(5.0), Some(3.0), None)
        );
    }
}
