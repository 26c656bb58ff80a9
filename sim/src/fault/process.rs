//! What operators do to processes: stopping them, letting them leave, restarting all of a role.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Rollout, Victims};
use crate::fleet::Crash;
use crate::node::{Part, Role};

/// How long a process that is asked to stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How long an operator waits for one process before the next is restarted.
const START_PATIENCE: Duration = Duration::from_secs(12);
/// How long a restart takes at least.
const RESTART: Duration = Duration::from_millis(300);

impl Victims {
    /// The links between a machine and some others, in both directions.
    pub(super) fn links_of<'v>(
        &'v self,
        machine: &'v str,
        others: &'v [String],
    ) -> impl Iterator<Item = (String, String)> + 'v {
        let others = others.iter().filter(move |other| *other != machine);
        others
            .flat_map(move |other| [(machine.to_owned(), other.clone()), (other.clone(), machine.to_owned())])
    }

    /// Asks the process of a machine to stop, and waits until it has.
    pub(super) async fn stop(&self, machine: &str) {
        let Some((part, scope)) = self.fleet.part(machine) else { return };
        let stopping = scope.spawn("stop", async move {
            match part {
                Part::Ingester(ingester) => ingester.stop().await,
                Part::Distributor(_, lease) | Part::Querier(_, lease) | Part::Compactor(lease) => {
                    lease.release().await;
                }
                Part::Metastore(node) => node.stop().await,
            }
        });
        let stopped = timeout(STOP_PATIENCE, stopping).await;
        let how = if stopped.is_ok_and(|stopped| stopped.is_ok()) { "has stopped" } else { "did not stop" };
        self.trace.event(format_args!("{machine} {how}"));
    }

    /// Lets an ingester hand over what it has, leave, and stop. Whether it has left.
    pub(super) async fn leave(&self, machine: &str) -> bool {
        let Some((Part::Ingester(ingester), scope)) = self.fleet.part(machine) else { return false };
        let leaving = scope.spawn("leave", {
            let ingester = ingester.clone();
            async move { ingester.leave().await }
        });
        let has_left = leaving.await.unwrap_or(false);
        self.trace.event(format_args!("{machine} {}", if has_left { "has left" } else { "could not leave" }));
        drop(ingester);
        self.stop(machine).await;
        has_left
    }

    /// Restarts all machines of a role, one after the other.
    pub(super) async fn roll_out(&self, role: Role, what: Rollout) {
        for machine in self.fleet.names(role) {
            if !self.fleet.is_up(&machine) {
                continue;
            }
            self.stop(&machine).await;
            self.fleet.crash(&machine, Crash::Killed);
            match what {
                Rollout::Nothing => {}
                Rollout::Configuration(variant) => self.fleet.configure(&machine, variant),
                Rollout::Version => self.network.renew(&machine),
            }
            sleep(RESTART).await;
            self.fleet.release(&machine);
            let until = Instant::now() + START_PATIENCE;
            while !self.fleet.is_up(&machine) && Instant::now() < until {
                sleep(RESTART).await;
            }
        }
    }
}
